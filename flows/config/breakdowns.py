"""By what numbers are broken down: a field with a closed list of values, or what is computed of several fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args

from pydantic import Field, model_validator

from flows.config.channels import LINK, VALUES, Computed, Kind
from flows.config.fields import FieldPath, Hosts, Section, Sources, Value
from flows.config.mistakes import Finding, Path, shown
from flows.config.notation import field_text, keys_of, says_something, slug

OTHER: Final = "other"
UNKNOWN: Final = "unknown"
TAKEN_SLUGS: Final = (OTHER, UNKNOWN)

MAX_VALUES: Final = 253
"""A breakdown's code is one byte; `other` and `unknown` take two of its values, and one stays free."""

BrokenDown = Literal[
    "events",
    "active_users",
    "visitors",
    "goals",
    "features",
    "sessions",
    "funnels",
    "milestones",
    "users",
    "retention",
    "orders",
    "surveys",
    "tickets",
    "feedback",
]
"""What breakdowns can apply to: `Family.broken_down_as`."""

RESERVED_LABELS: Final = frozenset(
    {
        *("product", "window", "event", "goal", "feature", "milestone", "funnel", "step", "state", "stage", "kind"),
        *("transition", "movement", "of", "day", "days", "currency", "reason", "topic", "partition", "le", "quantile"),
        *("definition", "survey", "score", "spend_category", "job", "instance"),
    }
)
"""Labels that the published families use themselves, or that Prometheus adds."""

BY_OWN_VALUE_ONLY: Final = {
    "events": "counted as events arrive, before it is known which came first",
    "active_users": "counted as events arrive, before it is known which came first",
    "tickets": "which are no user's",
}
"""What can be broken down by an event's own value only, and why."""


class Breakdown(Section):
    """One dimension: the field that holds its value and the closed list of values to distinguish, or how it is
    computed.
    """

    field: FieldPath | None = None
    """The field that holds the value: `context.device.type`, `properties."Plan Type"`, `channel`. A breakdown has a
    field and values, or it is computed."""
    values: tuple[Value, ...] = Field((), max_length=MAX_VALUES)
    """The values to distinguish, compared as slugs; any other counts as `other`, a missing one as `unknown`."""
    computed: Computed | None = None
    """How users arrive, instead of a field's value: `channel` is one of 19, such as `paid_search`; `traffic` is `paid`,
    `organic`, `direct`, `referral` or `other`. flows/ACQUISITION.md has the rules."""
    own_hosts: Hosts = ()
    """Of a computed one: your own hosts. A referrer that is one of them, or below it, is none."""
    sources: dict[Kind, Sources] = Field({})
    """Of a computed one: further sources and hosts of search engines, social networks, video, shops and assistants:
    {search: [suche.example]}."""
    organic: Literal["search", "all"] = "search"
    """Of `traffic`: `organic` is organic search alone (`search`), or every organic channel (`all`)."""
    direct: Literal["last", "own"] = "last"
    """Of a computed one by scope `session`, for a session that comes direct: it has the user's last other value, of a
    session that began at most 90 days before (`last`), or is direct (`own`)."""
    scope: Literal["event", "session", "first"] = "event"
    """Whose value an event counts under: its own (`event`), that of the first event of the session that is open for the
    user then (`session`), or that of the user's first event that shows presence (`first`). Where there is none yet, its
    own."""
    of: tuple[BrokenDown, ...] = Field(
        ("active_users", "sessions", "funnels"), min_length=1, max_length=len(get_args(BrokenDown))
    )
    """Which metrics are broken down. Those used as they arrive (`events`, `active_users`) and `tickets`, which are no
    user's, can be by scope `event` only; with another scope `sessions` and `funnels` are the default. Views are broken
    down with `visitors`."""

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, values: Any) -> Any:
        """What a scope can serve, and the values of what is computed, where the file does not say."""
        if not isinstance(values, dict):
            return values
        if values.get("scope") in ("session", "first") and values.get("of") is None:
            values = values | {"of": ("sessions", "funnels")}
        computed = values.get("computed")
        if isinstance(computed, str) and computed in VALUES and values.get("values") is None:
            values = values | {"values": VALUES[computed]}
        return values

    @model_validator(mode="after")
    def _either_a_field_or_computed(self) -> Breakdown:
        if found := list(_contradictions(self)):
            raise Finding.error(found)
        return self

    @property
    def looks_back(self) -> bool:
        """Whether a session that comes direct has the user's last other value."""
        return self.computed is not None and self.scope == "session" and self.direct == "last"

    def keys(self) -> tuple[str, ...]:
        """The keys that lead to its field; of a computed one there are none."""
        return () if self.field is None else keys_of(self.field) or ()

    def reads(self) -> list[tuple[str, ...]]:
        """The keys of every field that it looks at."""
        return [self.keys()] if self.computed is None else list(LINK)

    def labels(self) -> list[str]:
        """Slugs of all values a cell can carry: those listed, `other`, `unknown`; the index is the code."""
        return [*(slug(value) for value in self.values), OTHER, UNKNOWN]


def _contradictions(section: Breakdown) -> Iterator[Finding]:
    """What a breakdown says that does not go together, or is missing."""
    if section.computed is None:
        if section.field is None:
            yield Finding(("field",), "this is missing", at_key=True)
        if not section.values:
            given = "values" in section.model_fields_set
            message = f"found {shown(section.values)}, expected at least 1" if given else "this is missing"
            yield Finding(("values",), message, at_key=not given)
        for key in ("own_hosts", "sources", "organic", "direct"):
            if getattr(section, key) != Breakdown.model_fields[key].default:
                yield Finding((key,), "only a computed breakdown has this: take it out, or say what is computed")
        return
    if section.field is not None:
        yield Finding(("field",), "found beside computed: take out one of the two", because_of=[("computed",)])
    if section.values != VALUES[section.computed]:
        yield Finding(
            ("values",), f"the values of {section.computed} are given: take this out", because_of=[("computed",)]
        )
    if section.organic != "search" and section.computed != "traffic":
        yield Finding(
            ("organic",),
            f"found with computed: {section.computed}, where organic channels are told apart: take it out",
            because_of=[("computed",)],
        )
    if section.direct != "last" and section.scope != "session":
        yield Finding(
            ("direct",),
            f"found with scope {section.scope}, and only sessions look back: take it out, or give scope: session",
            because_of=[("scope",)],
        )
    kinds: dict[str, str] = {}
    for kind, sources in section.sources.items():
        for index, source in enumerate(sources):
            if (other := kinds.setdefault(source.lower(), kind)) != kind:
                yield Finding(("sources", kind, index), f"{shown(source)} is listed under {other} as well")


def clashing_breakdowns(breakdowns: Mapping[str, Breakdown]) -> Iterator[Finding]:
    """Names, values and fields that cannot be told apart, and what a scope cannot serve."""
    fields = {one.keys(): name for name, one in breakdowns.items() if one.computed is None}
    for name, breakdown in breakdowns.items():
        place: Path = ("breakdowns", name)
        if name in RESERVED_LABELS:
            yield Finding(place, f"{name} is a label of its own in Prometheus", f"{name}_name", True)
        if breakdown.computed is None:
            yield from _values_that_clash(place, breakdown)
        yield from _of_what_it_cannot_be(place, breakdown)
        for keys in breakdown.reads():
            for other, owner in fields.items():
                if len(keys) > len(other) and keys[: len(other)] == other:
                    yield Finding(
                        (*place, "field" if breakdown.computed is None else "computed"),
                        f"{field_text(keys)} lies inside {field_text(other)}, which {owner} reads as a plain value",
                    )


def _values_that_clash(place: Path, breakdown: Breakdown) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for index, value in enumerate(breakdown.values):
        code = slug(value)
        if code in TAKEN_SLUGS:
            yield Finding((*place, "values", index), f"`{code}` is added by itself and cannot be listed")
        elif code in seen and says_something(value):
            yield Finding(
                (*place, "values", index),
                f"{shown(value)} cannot be told from {shown(seen[code])}: both are `{code}`",
            )
        seen.setdefault(code, value)


def _of_what_it_cannot_be(place: Path, breakdown: Breakdown) -> Iterator[Finding]:
    for index, family in enumerate(breakdown.of):
        if family in breakdown.of[:index]:
            yield Finding((*place, "of", index), f"{family} is listed twice")
        if breakdown.scope != "event" and family in BY_OWN_VALUE_ONLY:
            yield Finding(
                (*place, "of", index),
                f"scope {breakdown.scope} cannot serve {family}, {BY_OWN_VALUE_ONLY[family]}: take it out, or give"
                " it a breakdown of its own without a scope",
                because_of=[(*place, "scope")],
            )
