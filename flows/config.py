"""The user's file: what to measure, and by which definitions.

Durations are written `10s`, `5m`, `1h`, `30d` and held in integer milliseconds. What one field cannot say
about itself (names that collide, lists that contradict each other) is in `config_rules.py`; a `Config` that
exists obeys both. Funnels, breakdowns and the vocabulary stand in alphabetical order, so that moving lines in
the file changes nothing: neither the meaning of stored state nor its fingerprint (`fingerprint.py`).
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from flows.columns import MAX_BREAKDOWNS
from flows.config_rules import broken_rules, check_time_zone, check_windows
from flows.mistakes import Finding
from flows.notation import DURATION_PATTERN, UNITS_MS, format_duration, parse_duration, slug

__all__ = [
    "OTHER",
    "UNITS_MS",
    "UNKNOWN",
    "ActiveUsers",
    "Breakdown",
    "Config",
    "DurationMs",
    "Engaged",
    "Exclude",
    "Funnel",
    "Section",
    "Sessions",
    "Subscriptions",
    "format_duration",
    "parse_duration",
    "slug",
]

OTHER: Final = "other"
UNKNOWN: Final = "unknown"

SLUG_PATTERN: Final = r"^[a-z0-9_]*[a-z0-9][a-z0-9_]*$"
LABEL_PATTERN: Final = r"^[a-z][a-z0-9_]*$"  # a Prometheus label
FIELD_PATTERN: Final = r"^(context|properties|traits)(\.[A-Za-z_][A-Za-z0-9_]*)+$"

CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"

MINOR_DIGITS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"), 0),
    **dict.fromkeys(("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Digits of the minor unit where they are not 2 (ISO 4217, list one)."""

MAX_VALUES: Final = 253
"""A breakdown's code is one byte; `other` and `unknown` take two of its values, and one stays free."""


@dataclass(frozen=True, slots=True)
class Between:
    """Accepts a duration (ms) from `low` to `high`, inclusive."""

    low: str
    high: str

    def __call__(self, ms: int) -> int:
        if not parse_duration(self.low) <= ms <= parse_duration(self.high):
            raise ValueError(f"expected a duration from {self.low} to {self.high}")
        return ms


def written(value: Any) -> Any:
    """Text as it would be written in JSON: an unquoted `7` or `true` in a list of names is a name."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _alternatives(step: Any) -> Any:
    """A step is a list of alternatives; one name is a list of one."""
    return (step,) if isinstance(step, str | int) else step


DurationMs = Annotated[
    int,
    BeforeValidator(parse_duration),
    Field(ge=0),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["10s", "30m", "1h", "30d"]}),
]
"""Written `10s`, held in ms."""

WindowMs = Annotated[DurationMs, AfterValidator(Between("1m", "400d"))]
Slug = Annotated[str, BeforeValidator(written), Field(pattern=SLUG_PATTERN, max_length=64)]
Label = Annotated[str, BeforeValidator(written), Field(pattern=LABEL_PATTERN, max_length=64)]
EventName = Annotated[str, BeforeValidator(written), Field(min_length=1, max_length=200)]
Names = Annotated[tuple[EventName, ...], Field(max_length=1000)]
Value = Annotated[str, BeforeValidator(written), Field(min_length=1, max_length=100)]
Step = Annotated[
    tuple[EventName, ...],
    BeforeValidator(_alternatives),
    Field(min_length=1, max_length=50),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 200},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 200},
                    "minItems": 1,
                    "maxItems": 50,
                },
            ]
        }
    ),
]
"""One event name, or a list of alternatives; the step is named after the first."""


def _durations(*texts: str) -> tuple[int, ...]:
    return tuple(parse_duration(text) for text in texts)


class Section(BaseModel):
    """Strict and frozen: an unknown key is a mistake, not a wish; one without a value is as if absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return {
            key: value
            for key, value in values.items()
            if value is not None or key not in fields or _admits_none(fields[key].annotation)
        }


def _admits_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and types.NoneType in get_args(annotation)


class Engaged(Section):
    """What makes a session engaged; each rule can be off (null)."""

    longer_than: Annotated[DurationMs, AfterValidator(Between("0s", "24h"))] | None = 10_000
    """The session has lasted longer than this."""
    views: Annotated[int, Field(ge=1, le=100)] | None = 2
    """It has at least so many events of type `page` or `screen`."""
    key_actions: Annotated[int, Field(ge=1, le=100)] | None = 1
    """It has at least so many key actions."""


class Sessions(Section):
    """How a session ends, and when it counts as bounced."""

    timeout: Annotated[DurationMs, AfterValidator(Between("1s", "24h"))] = 30 * 60_000
    """A session ends when the user's next event comes more than this after the last."""
    max_duration: Annotated[DurationMs, AfterValidator(Between("1s", "30d"))] = 24 * 3_600_000
    """A session never gets longer than this; not less than the timeout."""
    engaged: Engaged = Engaged()
    bounce: Literal["not_engaged", "single_event"] = "not_engaged"
    """Which closed sessions bounced: those not engaged, or those of exactly one event."""


class Funnel(Section):
    """Ordered steps within a window; a step is an event name or a list of alternatives."""

    window: Annotated[DurationMs, AfterValidator(Between("1s", "90d"))]
    """Time from the first step to the last; exactly so long is still in time."""
    steps: tuple[Step, ...] = Field(min_length=2, max_length=20)
    """Event names in order; a list in place of a name: any of them."""
    reentry: Literal["first", "latest"] = "first"
    """`latest`: a repeated first step restarts the attempt while it has reached no further."""

    def step_names(self) -> list[str]:
        """`01_product_viewed`, ...: number and slug of each step's first alternative."""
        return [f"{number:02d}_{slug(step[0])}" for number, step in enumerate(self.steps, 1)]


class Breakdown(Section):
    """One dimension: where its value is found in an event, and the closed list of values told apart."""

    field: str = Field(pattern=FIELD_PATTERN, max_length=200)
    """Where the value stands: `context.device.type`, `properties.plan`, `traits.country`."""
    values: tuple[Value, ...] = Field(min_length=1, max_length=MAX_VALUES)
    """The values told apart; all others count as `other`, none as `unknown`. Compared as slugs."""
    of: tuple[Literal["events", "active_users", "sessions", "funnels"], ...] = Field(
        ("active_users", "sessions", "funnels"), min_length=1, max_length=4
    )
    """Which metrics are broken down."""

    def labels(self) -> list[str]:
        """Slugs of all values a cell can carry: those listed, `other`, `unknown`; the index is the code."""
        return [*(slug(value) for value in self.values), OTHER, UNKNOWN]


class ActiveUsers(Section):
    """Which events make a user active: all, or a list of names."""

    events: Annotated[tuple[EventName, ...], Field(min_length=1, max_length=1000)] | None = None


class Exclude(Section):
    """Events that are valid but not wanted."""

    events: Names = ()
    """Names of events that are left out of everything."""
    bots: bool = True
    """Leave out events with `context.bot == true`."""


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Currency = Annotated[
    str,
    BeforeValidator(_upper),
    Field(pattern=CURRENCY_PATTERN, examples=["USD", "EUR", "JPY"]),
]
Status = Literal["trialing", "active", "past_due", "paused", "cancelled", "expired"]


class Subscriptions(Section):
    """Customers who pay again and again: what they pay a month, who stops and who comes back."""

    currency: Currency = "USD"
    """The reporting currency (ISO 4217); a state in another is rejected as `unsupported_currency`."""
    plans: tuple[Value, ...] = Field((), max_length=30)
    """The plans told apart; all others count as `other`, none as `unknown`. Compared as slugs."""
    moves: tuple[tuple[Value, Value], ...] | None = Field(None, max_length=900)
    """Pairs of listed plans, [from, to], whose moves are counted one by one; without this key all pairs."""
    events: dict[EventName, Status | None] = Field({"Subscription Changed": None}, min_length=1, max_length=50)
    """Events that carry the state of a subscription, with the status that one without `status` stands for."""
    statuses: dict[Value, Status] = Field({}, max_length=50)
    """Other words for a status, as your billing system has them: {unpaid: past_due, in_trial: trialing}."""
    amount_unit: Literal["major", "minor"] = "major"
    """What `amount` and `discount` count: `major` units (19.99), or `minor` ones (1999), as Stripe and Chargebee do."""

    @property
    def decimals(self) -> int:
        """Digits after the point of the currency's minor unit."""
        return MINOR_DIGITS.get(self.currency, 2)

    def labels(self) -> list[str]:
        """Slugs of the plans listed, `other`, `unknown`; the index is the code."""
        return [*(slug(plan) for plan in self.plans), OTHER, UNKNOWN]

    def pairs(self) -> list[tuple[str, str]]:
        """Slugs of the plans, from and to, whose moves are counted one by one."""
        plans = self.labels()[:-2]
        if self.moves is None:
            return [(one, other) for one in plans for other in plans if one != other]
        return sorted({(slug(one), slug(other)) for one, other in self.moves})

    @field_validator("events", "statuses")
    @classmethod
    def _alphabetical(cls, words: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(words.items()))


class Config(Section):
    """What Tidegauge measures for one product."""

    version: Literal[1] = 1
    """Version of this file's format."""
    product: Slug = "product"
    """Names the Redis keys and the Prometheus label."""
    time_zone: str = "UTC"
    """IANA name; decides when a `day` begins."""
    lateness: Annotated[DurationMs, AfterValidator(Between("0s", "24h"))] = 10_000
    """How much disorder is put right: sessions, funnels and lifecycle stand so far behind the clock."""
    windows: tuple[WindowMs, ...] = Field(
        _durations("1m", "5m", "30m", "1h", "24h", "7d", "30d"), min_length=1, max_length=20
    )
    """Trailing windows of all counts."""
    ratio_windows: tuple[WindowMs, ...] = Field(_durations("5m", "1h", "24h"), max_length=20)
    """Those of them for which rates and ratios are published."""
    events: Names = ()
    """Event names counted by name, besides those named elsewhere."""
    exclude: Exclude = Exclude()
    active_users: ActiveUsers = ActiveUsers()
    sessions: Sessions = Sessions()
    key_actions: Names = ()
    """Events that show a session to be worth something."""
    churn_after: Annotated[DurationMs, AfterValidator(Between("1s", "400d"))] = 30 * 86_400_000
    """A user without any event for longer has churned."""
    funnels: dict[Slug, Funnel] = Field({}, max_length=50)
    breakdowns: dict[Label, Breakdown] = Field({}, max_length=MAX_BREAKDOWNS)
    subscriptions: Subscriptions | None = None
    """Customers, recurring revenue and churn; without this part nothing of them is measured."""
    dedup_horizon: Annotated[DurationMs, AfterValidator(Between("1s", "24h"))] = 600_000
    """A repeated messageId is dropped for at least so long."""
    minute_history: Annotated[DurationMs, AfterValidator(Between("1m", "31d"))] = 48 * 3_600_000
    """How long the final numbers of each minute are kept."""
    shards: int = Field(16, ge=1, le=256)
    """Parts the users are dealt out to; fixed for the life of the stored state."""

    _in_order = field_validator("windows", "ratio_windows")(check_windows)
    _a_known_zone = field_validator("time_zone")(check_time_zone)

    @field_validator("funnels", "breakdowns")
    @classmethod
    def _alphabetical(cls, sections: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(sections.items()))

    @model_validator(mode="after")
    def _rules_are_kept(self) -> Config:
        broken = list(broken_rules(self))
        if broken:
            raise Finding.error(broken)
        return self

    def vocabulary(self) -> list[str]:
        """Slugs of the event names told apart, `other` first, then sorted; the index is the event code."""
        named = [
            *self.events,
            *self.key_actions,
            *(self.active_users.events or ()),
            *(name for funnel in self.funnels.values() for step in funnel.steps for name in step),
            *(self.subscriptions.events if self.subscriptions else ()),
        ]
        return [OTHER, *sorted({slug(name) for name in named} - {OTHER})]


def section_of(annotation: Any) -> type[Section] | None:
    """The Section that an annotation holds itself, as the values of a mapping, or beside None; else None."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)
