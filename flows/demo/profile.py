"""What a simulated product consists of: who comes, what they do there, at which hours, and what it costs.

A profile is data. A visit goes from scene to scene. What may follow one is tried in the order of its list, each with
its chance; where nothing follows, the visit ends. `walk` does that, and `billing` lets subscriptions live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

END: Final = ""
"""In place of a scene: the visit is over."""
BOUNCES: Final = "bounces"
"""The chance of leaving with the first view; trouble may raise it for everybody."""

Chance: TypeAlias = float | str
"""A probability, or the name of a persona's own."""
Facts: TypeAlias = dict[str, Any]
"""What later scenes have to know of earlier ones, such as the order that is refunded."""
Properties: TypeAlias = Callable[[Facts, Random], Mapping[str, object]]


def none(facts: Facts, rng: Random) -> Mapping[str, object]:
    """No properties."""
    return {}


@dataclass(frozen=True, slots=True)
class Persona:
    """A way of using the product."""

    name: str
    share: float  # of new visitors
    returns: float  # probability of coming back after a visit
    chances: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Later:
    """A scene that may follow another one when the visit is long over."""

    scene: str
    chance: float
    mean_days: float
    newcomer: bool = False  # somebody new does it, who has been invited


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens, and what may follow it."""

    kind: Literal["view", "track", "identify", ""]  # a view is a page or, on a phone, a screen; "" sends nothing
    name: str = ""  # of the event or the page
    then: Mapping[str, Chance] = field(default_factory=dict)  # scene -> chance, tried in this order
    properties: Properties = none
    later: Sequence[Later] = ()
    only: Literal["stranger", "user", ""] = ""  # whom it can happen to: who has not signed up, or has
    pause_s: float | None = None  # mean, before it; None: that of its kind
    path: str = ""  # of the page
    arrives: bool = False  # says in its context which way led here
    signs_up: bool = False
    sells: bool = False  # a step of a purchase, which trouble may make rarer
    subscribes: float = 0.0  # probability that a subscription begins
    server: bool = False  # told by a server, so it shows nobody's presence


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the product."""

    share: float  # of visits that arrive
    context: Mapping[str, object] = field(default_factory=dict)  # of the first event
    channel: str = ""  # where its cost is booked
    cost: float = 0.0  # of a visit, in the currency's major unit


@dataclass(frozen=True, slots=True)
class Expense:
    """What is spent each day, whoever comes."""

    category: Literal["sales", "marketing", "other"]
    amount: float  # major unit
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Subscribers:
    """Who pays every month."""

    there: int  # subscriptions when the history begins
    prices: Sequence[str]  # by plan, a month
    trials: float  # share of subscriptions that begin with a trial
    life: Mapping[str, Mapping[str, float]]  # status -> what happens -> how often a month


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Traffic over the day and the week, as weights."""

    hours: Sequence[float]  # at each full hour
    weekdays: Sequence[float]  # Monday to Sunday

    def level(self, at_ms: int, zone: ZoneInfo) -> float:
        """Traffic as a multiple of its mean; linear between full hours."""
        local = datetime.fromtimestamp(at_ms / 1000, zone)
        here, following = self.hours[local.hour], self.hours[(local.hour + 1) % 24]
        hour = here + (following - here) * local.minute / 60
        return 24 * hour / sum(self.hours) * 7 * self.weekdays[local.weekday()] / sum(self.weekdays)


@dataclass(frozen=True, slots=True)
class Profile:
    """A product."""

    name: str
    help: str  # what it is, as `a web shop`
    personas: Sequence[Persona]
    platforms: Mapping[str | None, float]  # shares of device types; some clients do not say
    ways: Sequence[Way]
    begins: Mapping[str, Chance]  # the first scene of a visit
    scenes: Mapping[str, Scene]
    rhythm: Rhythm
    events_per_visit: float  # measured; turns events per second into visits per second
    subscribers: Subscribers
    returning: float = 0.75  # largest share of visits by returning visitors, at any hour
    same_day: float = 0.2  # of returns
    next_days: float = 1.0  # mean of how many days later than tomorrow the other returns are
    expenses: Sequence[Expense] = ()
