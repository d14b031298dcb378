"""The user's file: what to measure, and by which definitions.

What single fields may hold is in `fields.py`, how events are chosen in `selectors.py`. What one field cannot say
about itself (names that collide, lists that contradict each other) is in `rules.py`; a `Config` that
exists obeys all three. Funnels, breakdowns and the vocabulary stand in alphabetical order, so that moving lines in
the file changes nothing: neither the meaning of stored state nor its definitions (`metrics/parts.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from flows.config.breakdowns import OTHER, UNKNOWN, Breakdown, BrokenDown
from flows.config.channels import CHANNELS
from flows.config.checks import check_time_zone, check_windows
from flows.config.event_codes import FROM_SERVERS, NOT_INTERACTIVE, Codes, Condition, Selection
from flows.config.fields import (
    Between,
    DurationMs,
    FactSection,
    Label,
    Names,
    Section,
    Slug,
    WindowMs,
    section_of,
)
from flows.config.funnel import Funnel
from flows.config.mistakes import Finding, Path
from flows.config.money import MINOR_DIGITS
from flows.config.notation import UNITS_MS, field_text, format_duration, keys_of, parse_duration, slug
from flows.config.orders import Orders
from flows.config.rules import broken_rules
from flows.config.selectors import Events, Presence, Selector, Selectors
from flows.config.sessions import Engaged, Sessions
from flows.config.spend import CHANNEL, Acquisition, Economics, Spend
from flows.config.starts import Milestone, Retention
from flows.config.subscriptions import Subscriptions
from flows.config.tickets import Tickets
from flows.config.top import MAX_LISTS, TopList
from flows.config.tree import MAX_NODES, Node
from flows.config.voices import Feedback, Survey
from flows.messages.columns import MAX_BREAKDOWNS

__all__ = [
    "OTHER",
    "UNITS_MS",
    "UNKNOWN",
    "ActiveUsers",
    "Breakdown",
    "BrokenDown",
    "Config",
    "Engaged",
    "Exclude",
    "Funnel",
    "Milestone",
    "Retention",
    "Sessions",
    "Subscriptions",
    "Survey",
    "format_duration",
    "keys_of",
    "parse_duration",
    "slug",
]


def _durations(*texts: str) -> tuple[int, ...]:
    return tuple(parse_duration(text) for text in texts)


LONG_WINDOWS: Final = _durations("24h", "7d", "30d")


class ActiveUsers(Section):
    """Which events make a user active: all that show presence, or only some of them."""

    events: Annotated[Selectors, Field(min_length=1)] | None = None
    """Only these events; without this key, all events that show presence."""


class Exclude(Section):
    """Events that are valid but unwanted."""

    events: Selectors = ()
    """Events to leave out of everything."""
    bots: bool | Literal["user_agent"] = True
    """Whether to leave out events that a collector has marked as a bot's: `context.bot` or `context.isBot` is true, or
    `context.bot` is an object. `user_agent` also leaves out those whose `context.userAgent` is a known crawler's."""


class Referrals(Section):
    """Users who bring users: which events are invites, and which are joins that an invite led to."""

    invites: Events
    """Events that are invites: `Invite Sent`."""
    joins: Events
    """Events of users who join by an invite: `{event: Signed Up, where: {properties.referred: true}}`."""


class Config(Section):
    """What Tidegauge measures for one product."""

    version: Literal[1] = 1
    """Version of this file's format."""
    product: Slug = "product"
    """Names the Redis keys and the Prometheus label."""
    time_zone: str = "UTC"
    """IANA name of the time zone in which a `day` begins."""
    lateness: Annotated[DurationMs, AfterValidator(Between("0s", "24h"))] = 10_000
    """How far out of order events may arrive; sessions, funnels and lifecycle lag the clock by this much."""
    windows: tuple[WindowMs, ...] = Field(
        _durations("1m", "5m", "30m", "1h", "24h", "7d", "30d"), min_length=1, max_length=20
    )
    """Trailing windows of all counts."""
    ratio_windows: tuple[WindowMs, ...] = Field(_durations("5m", "1h", "24h"), max_length=20)
    """The `windows` for which rates and ratios are published."""
    long_windows: tuple[WindowMs, ...] = Field(LONG_WINDOWS, max_length=20, validate_default=True)
    """The `windows` of what is slow, such as retention; without this key, the default's that are in `windows`."""
    events: Names = ()
    """Event names to count by name, in addition to those named elsewhere in the config."""
    exclude: Exclude = Exclude()
    presence: Presence = Field(default_factory=lambda: Presence.model_validate({}))
    active_users: ActiveUsers = ActiveUsers()
    sessions: Sessions = Sessions()
    key_actions: Selectors = ()
    """Events that a session is meant to lead to, such as an order."""
    churn_after: Annotated[DurationMs, AfterValidator(Between("1s", "400d"))] = 30 * 86_400_000
    """A user without an event for longer than this has churned."""
    goals: dict[Slug, Events] = Field({}, max_length=50)
    """What visitors should do, by name: an event or several. Gives conversion rates: users of a goal over visitors."""
    features: dict[Slug, Events] = Field({}, max_length=100)
    """What users can use, by name: an event or several. Gives adoption: users of a feature over visitors."""
    milestones: dict[Slug, Milestone] = Field({}, max_length=50)
    retention: Retention | None = None
    """Who comes back. Without this part, it is not measured."""
    funnels: dict[Slug, Funnel] = Field({}, max_length=50)
    breakdowns: dict[Label, Breakdown] = Field({}, max_length=MAX_BREAKDOWNS)
    subscriptions: Subscriptions | None = None
    """Customers, recurring revenue and churn. Without this part, none of them is measured."""
    orders: Orders | None = None
    """Orders, revenue, buyers and refunds. Without this part, none of them is measured."""
    spend: Spend | None = None
    """Money spent on marketing and sales, and what a new customer costs. Without this part, it is not measured."""
    acquisition: Acquisition = Acquisition()
    economics: Economics | None = None
    """What a customer is worth. Without this part and `spend`, it is not computed."""
    surveys: dict[Slug, Survey] = Field({}, max_length=50)
    """What users are asked, by name: net promoter score, satisfaction, effort."""
    feedback: Feedback | None = None
    """What users write, and which features they ask for. Without this part, none of it is measured."""
    tickets: Tickets | None = None
    """Tickets of the support. Without this part, none is measured."""
    tree: dict[Slug, Node] = Field({}, max_length=MAX_NODES)
    """The number that matters most, the numbers that drive it, and their targets. It changes no other number."""
    referrals: Referrals | None = None
    """Invites, joins by an invite and the K-factor. Without this part, none of them is measured."""
    top: dict[Slug, TopList] = Field({}, max_length=MAX_LISTS)
    """Lists of the values of a field that occur most in 5m, 1h and 24h, by name: pages, products, countries."""
    dedup_horizon: Annotated[DurationMs, AfterValidator(Between("1s", "24h"))] = 600_000
    """For how long at least a repeated `messageId` is dropped."""
    minute_history: Annotated[DurationMs, AfterValidator(Between("1m", "31d"))] = 48 * 3_600_000
    """How long the final numbers of each minute are kept."""
    shards: int = Field(16, ge=1, le=256)
    """Number of parts that the users are divided into; fixed for the life of the stored state."""

    _in_order = field_validator("windows", "ratio_windows", "long_windows")(check_windows)

    @field_validator("long_windows", mode="wrap")
    @classmethod
    def _of_the_default_those_that_are_windows(
        cls, chosen: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        windows = info.data.get("windows", ())  # missing where these are mistaken
        return tuple(one for one in LONG_WINDOWS if one in windows) if chosen is LONG_WINDOWS else validate(chosen)

    _a_known_zone = field_validator("time_zone")(check_time_zone)

    @field_validator("goals", "features", "milestones", "funnels", "breakdowns", "surveys", "top")
    @classmethod
    def _alphabetical(cls, sections: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(sections.items()))

    @model_validator(mode="after")
    def _rules_are_kept(self) -> Config:
        broken = list(broken_rules(self))
        if broken:
            raise Finding.error(broken)
        return self

    @classmethod
    def keys_of_facts(cls) -> list[str]:
        """The keys of all parts whose events carry facts."""
        sections = {name: section_of(field.annotation) for name, field in cls.model_fields.items()}
        return [name for name, section in sections.items() if section and issubclass(section, FactSection)]

    def fact_sections(self) -> dict[tuple[str, ...], FactSection]:
        """The parts that are there whose events carry facts, by their places in the file."""
        found: dict[tuple[str, ...], Any] = {(name,): getattr(self, name) for name in type(self).model_fields}
        found |= {("surveys", name): survey for name, survey in self.surveys.items()}
        return {place: section for place, section in found.items() if isinstance(section, FactSection)}

    @property
    def measures_visitors(self) -> bool:
        """Whether anything needs visitors."""
        return bool(self.goals or self.features) or any("visitors" in one.of for one in self.breakdowns.values())

    @property
    def new_customers(self) -> Literal["subscriptions", "orders"] | None:
        """Whose new customers spending is compared with; None: nobody's are measured."""
        if self.acquisition.customers is not None:
            return self.acquisition.customers
        if self.subscriptions is not None:
            return "subscriptions"
        return None if self.orders is None else "orders"

    @property
    def spend_currency(self) -> str:
        """The currency of spending: its own, else that of orders, else of subscriptions."""
        own = self.spend.currency if self.spend else None
        earning = self.orders or self.subscriptions
        return own or (earning.currency if earning else "USD")

    @property
    def spend_decimals(self) -> int:
        """Digits after the point of the minor unit of that currency."""
        return MINOR_DIGITS.get(self.spend_currency, 2)

    def spend_channels(self) -> list[str]:
        """Slugs of the channels of spending, `other`, `unknown`; the index is the code."""
        breakdown = self.breakdowns.get(CHANNEL)
        return [*CHANNELS, OTHER, UNKNOWN] if breakdown is None else breakdown.labels()

    def events_of_nobody(self) -> frozenset[str]:
        """Slugs of the events that show nobody because of what they tell."""
        hidden = (section.events_of_nobody() for section in self.fact_sections().values())
        return frozenset(slug(name) for events in hidden for name in events)

    def vocabulary(self) -> list[str]:
        """Slugs of the event names told apart, `other` first, then sorted; the index is the name's code."""
        named = [
            *self.events,
            *(name for section in self.fact_sections().values() for name in section.events),
            *(
                name
                for path, selectors in self.selectors()
                for selector in selectors
                if selector.where or path[0] != "exclude"  # events left out altogether count for nothing
                for name in selector.event
            ),
        ]
        return [OTHER, *sorted({slug(name) for name in named} - {OTHER})]

    def selectors(self) -> Iterator[tuple[Path, tuple[Selector, ...]]]:
        """Every list of selectors, with its place; events to be left out come last."""
        yield ("key_actions",), self.key_actions
        yield ("active_users", "events"), self.active_users.events or ()
        for key, things in (("goals", self.goals), ("features", self.features)):
            for name, events in things.items():
                yield (key, name), events
        if self.referrals is not None:
            yield ("referrals", "invites"), self.referrals.invites
            yield ("referrals", "joins"), self.referrals.joins
        for name, milestone in self.milestones.items():
            if not milestone.from_first_seen:
                yield ("milestones", name, "from"), milestone.from_
            yield ("milestones", name, "to"), milestone.to
        if self.retention is not None and not self.retention.from_first_seen:
            yield ("retention", "start"), self.retention.start
        if self.retention is not None and not self.retention.any_returns:
            yield ("retention", "events"), self.retention.events
        for name, funnel in self.funnels.items():
            for index, step in enumerate(funnel.steps):
                yield ("funnels", name, "steps", index), step
            yield ("funnels", name, "exclude"), funnel.exclude
        yield ("presence", "except"), self.presence.except_
        yield ("presence", "only"), self.presence.only or ()
        yield ("exclude", "events"), self.exclude.events

    def held_fields(self) -> dict[str, list[Selector]]:
        """The fields that funnels hold constant, each in one spelling, and the steps of these funnels."""
        found: dict[str, list[Selector]] = {}
        for funnel in self.funnels.values():
            if funnel.hold is not None:
                steps = found.setdefault(field_text(keys_of(funnel.hold) or ()), [])
                steps += [selector for step in funnel.steps for selector in step]
        return dict(sorted(found.items()))

    def _selections(self) -> list[Selection]:
        """What will be asked of events besides their names."""
        asked: list[Selection] = [one.selection() for _, some in self.selectors() for one in some if one.where]
        if not self.presence.server:
            asked.append((None, FROM_SERVERS))
        if self.sessions.asks_for("no_interaction"):
            asked.append((None, (NOT_INTERACTIVE,)))
        return asked

    def asked_of_names(self) -> dict[str, set[Condition]]:
        """Which conditions are asked of the events of each name."""
        asked: dict[str, set[Condition]] = {name: set() for name in self.vocabulary()}
        for names, conditions in self._selections():
            for name in asked if names is None else names:
                asked[name].update(conditions)
        return asked

    def __copy__(self) -> Self:
        """What was found out of a config does not hold for a copy with other fields."""
        copied = super().__copy__()
        copied.__dict__.pop("codes", None)
        return copied

    @functools.cached_property
    def codes(self) -> Codes:
        """The event codes: a code says an event's name, and which conditions of selectors on that name it meets."""
        return Codes(self.asked_of_names())

    def interacts(self, codes: Codes) -> NDArray[np.bool_]:
        """By code: whether such an event, if of type `track`, is an interaction, as far as anything asks for that."""
        if not self.sessions.asks_for("no_interaction"):
            return np.ones(len(codes), np.bool_)
        return ~codes.matching([(None, (NOT_INTERACTIVE,))])

    def excluded(self, codes: Codes) -> NDArray[np.bool_]:
        """By code: whether such events are left out of everything. (Names without a code of their own are not here.)"""
        return codes.matching(selector.selection() for selector in self.exclude.events)

    def shows_presence(self, codes: Codes) -> NDArray[np.bool_]:
        """By code: whether such an event shows that somebody was there."""
        rules = self.presence
        if rules.only is None:
            shows = ~codes.matching([(self.events_of_nobody(), ())])
        else:
            shows = codes.matching(selector.selection() for selector in rules.only)
        hides: list[Selection] = [selector.selection() for selector in rules.except_]
        if not rules.server:
            hides += [(None, (condition,)) for condition in FROM_SERVERS]
        return shows & ~codes.matching(hides)
