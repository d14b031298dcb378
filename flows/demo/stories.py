"""What the events of one user amount to, told straightforwardly: sessions, funnel attempts, comings and
goings.

Every function takes the user's events in event-time order and retells METRICS.md 3.3 to 3.5. Nothing is
shared with the pipeline, for this is what its numbers are checked against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from flows.config.model import Config, Funnel
from flows.config.model import slug as slug_of
from flows.config.selectors import Selector

SESSION_KINDS = ("track", "page", "screen")
VIEWS = ("page", "screen")

slug = lru_cache(maxsize=10_000)(slug_of)


class Happened(NamedTuple):
    """One accepted event of a user."""

    ts_ms: int
    kind: str
    name: str  # slug of what it counts as
    labels: tuple[str, ...]  # "{platform=ios}": one for each breakdown of the config
    shows: bool = True  # that somebody was there
    carries: frozenset[tuple[str, tuple[str, ...]]] = frozenset()  # conditions of selectors, as (field, values)


def chosen_by(selectors: Iterable[Selector]) -> Callable[[Happened], bool]:
    """Whether an event is one of those that any of `selectors` chooses."""
    rules = [(frozenset(map(slug, selector.event)), frozenset(selector.where.items())) for selector in selectors]
    return lambda event: any(event.name in names and where <= event.carries for names, where in rules)


@dataclass(slots=True)
class Session:
    """From the first event to the last; it closes one timeout after that."""

    first: Happened
    last_ms: int
    events: int = 0
    views: int = 0
    key_actions: int = 0

    @property
    def start_ms(self) -> int:
        """Time of the first event."""
        return self.first.ts_ms

    @property
    def duration_ms(self) -> int:
        """From the first event to the last."""
        return self.last_ms - self.first.ts_ms

    def engaged(self, config: Config) -> bool:
        """Whether it counts as engaged with what has happened so far."""
        if config.sessions.bounce == "single_event":
            return self.events >= 2
        rules = config.sessions.engaged
        return (
            (rules.longer_than is not None and self.duration_ms > rules.longer_than)
            or (rules.views is not None and self.views >= rules.views)
            or (rules.key_actions is not None and self.key_actions >= rules.key_actions)
        )


def sessions(story: Sequence[Happened], config: Config) -> list[Session]:
    """The user's sessions, the last one possibly still open."""
    rules = config.sessions
    is_key_action = chosen_by(config.key_actions)
    told: list[Session] = []
    for event in story:
        if event.kind not in SESSION_KINDS or not event.shows:
            continue
        current = told[-1] if told else None
        if (
            current is None
            or event.ts_ms - current.last_ms > rules.timeout
            or event.ts_ms - current.start_ms > rules.max_duration
        ):
            current = Session(first=event, last_ms=event.ts_ms)
            told.append(current)
        current.last_ms = event.ts_ms
        current.events += 1
        current.views += event.kind in VIEWS
        current.key_actions += is_key_action(event)
    return told


def scoped(story: Sequence[Happened], config: Config) -> Sequence[Happened]:
    """The same events under the values of their breakdowns' scopes."""
    scopes = [breakdown.scope for breakdown in config.breakdowns.values()]
    if set(scopes) <= {"event"}:
        return story
    began = {id(visit.first) for visit in sessions(story, config)}
    told: list[Happened] = []
    first: Happened | None = None
    entry, closes_ms = story[0], story[0].ts_ms - 1
    for event in story:
        first = first or (event if event.shows else None)
        if id(event) in began:
            entry = event
        if event.kind in SESSION_KINDS and event.shows:
            closes_ms = event.ts_ms + config.sessions.timeout
        shown = {
            "event": event,
            "session": entry if event.ts_ms <= closes_ms else event,
            "first": first or event,
        }
        told.append(event._replace(labels=tuple(shown[scope].labels[place] for place, scope in enumerate(scopes))))
    return told


@dataclass(slots=True)
class Attempt:
    """One way into a funnel."""

    entry: Happened
    reached: int = 1  # steps
    converted_ms: int | None = None

    @property
    def start_ms(self) -> int:
        """When it began; the funnel's window counts from here."""
        return self.entry.ts_ms

    def state(self, funnel: Funnel, watermark_ms: int) -> Literal["converted", "in_progress", "dropped"]:
        """What has become of it when the stream is complete up to the watermark."""
        if self.converted_ms is not None:
            return "converted"
        return "dropped" if watermark_ms > self.start_ms + funnel.window else "in_progress"


def attempts(story: Sequence[Happened], funnel: Funnel) -> list[Attempt]:
    """The user's attempts at a funnel, the last one possibly still in progress."""
    steps = [chosen_by(step) for step in funnel.steps]
    told: list[Attempt] = []
    current: Attempt | None = None
    for event in story:
        if current is not None and event.ts_ms > current.start_ms + funnel.window:
            current = None
        if current is None:
            if steps[0](event):
                current = Attempt(event)
                told.append(current)
        elif steps[current.reached](event):
            current.reached += 1
            if current.reached == len(steps):
                current.converted_ms = event.ts_ms
                current = None
        elif funnel.reentry == "latest" and current.reached == 1 and steps[0](event):
            current.entry = event
    return told


class Transition(NamedTuple):
    """A user joins, is lost, or comes back."""

    kind: Literal["new", "resurrected", "churned"]
    at_ms: int


def transitions(story: Sequence[Happened], churn_after_ms: int, watermark_ms: int) -> list[Transition]:
    """The user's transitions before the watermark; the user is alive unless the last one is a loss."""
    told = [Transition("new", story[0].ts_ms)]
    for before, event in pairwise(story):
        lost_ms = before.ts_ms + churn_after_ms
        if event.ts_ms > lost_ms:
            told += [Transition("churned", lost_ms), Transition("resurrected", event.ts_ms)]
    lost_ms = story[-1].ts_ms + churn_after_ms
    if watermark_ms > lost_ms:
        told.append(Transition("churned", lost_ms))
    return told
