"""METRICS.md 3.7: the final numbers of each closed minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from flows.audit.activity import counts_as_active
from flows.audit.cells import by_user
from flows.audit.clock import LateEvent
from flows.audit.funnels import Attempt, all_attempts
from flows.audit.lifecycle import Lifecycle, lifecycle_of
from flows.audit.records import Event
from flows.audit.sessions import Session, all_sessions
from flows.config.model import Config

MINUTE_MS = 60_000
Period = TypeVar("Period", int, date)


@dataclass(frozen=True)
class Course:
    """What some events come to."""

    events: list[Event]
    sessions: list[Session]
    attempts: dict[str, list[Attempt]]  # by funnel
    lifecycle: Lifecycle


@dataclass(frozen=True)
class Latecomer:
    """A late event's user with it and without it."""

    bound_ms: int  # "the bound that it missed"
    known: Course
    unknown: Course


def course_of(ordered: list[Event], config: Config, watermark_ms: int) -> Course:
    """Of events in order."""
    attempts = {name: all_attempts(ordered, funnel) for name, funnel in config.funnels.items()}
    return Course(ordered, all_sessions(ordered, config), attempts, lifecycle_of(ordered, config, watermark_ms))


def latecomers_of(
    ordered: list[Event], late: Sequence[LateEvent], config: Config, watermark_ms: int
) -> list[Latecomer]:
    """Those of the events that came late: of each user the last that was read first."""
    of_users = by_user(ordered) if late else {}
    found = []
    for user, events in late_by_user(late).items():
        known = course_of(of_users.get(user, []), config, watermark_ms)
        for one in reversed(events):
            without = [event for event in known.events if not is_same(event, one.event)]
            unknown = course_of(without, config, watermark_ms)
            found.append(Latecomer(one.bound_ms, known, unknown))
            known = unknown
    return found


def minute_history(
    course: Course,
    config: Config,
    watermark_ms: int,
    late: Sequence[Latecomer] = (),
    touched: MutableMapping[tuple[int | date, str], int] | None = None,
) -> dict[int, dict[str, int]]:
    """METRICS.md 3.7: "For each closed minute, its final numbers: `events, active_users, new_users,
    sessions_started, sessions_closed, sessions_bounced`, per funnel `entered` and `converted`." D13: "A
    minute m (UTC) is closed when W >= its end."

    Start of the minute (epoch ms) -> field -> number; minutes in which all numbers are 0 are left out, and so
    are those that start before `W - minute_history`. Numbers that depend on when `late` events were read are put into
    `touched`, with how much at most.
    """
    fields = fields_of(minute_of, course, config)
    leave_out_what_came_after_the_end(
        fields,
        lambda some: fields_of(minute_of, some, config),
        late,
        lambda name, minute, bound: minute < minute_of(bound),
        touched,
    )
    return {
        minute: {name: counts[minute] for name, counts in fields.items()}
        for minute in sorted(set().union(*fields.values()))
        if minute + MINUTE_MS <= watermark_ms
        and minute >= watermark_ms - config.minute_history
        and any(counts[minute] for counts in fields.values())
    }


def leave_out_what_came_after_the_end(
    fields: dict[str, Counter[Period]],
    of_course: Callable[[Course], dict[str, Counter[Period]]],
    late: Sequence[Latecomer],
    is_closed: Callable[[str, Period, int], bool],
    touched: MutableMapping[tuple[int | date, str], int] | None,
) -> None:
    """METRICS.md 1: "closed minutes stay as they are": those that end before its bound do not know of a late event.

    `fields` know of all events; `of_course` gives the fields of some.
    """
    for latecomer in late:
        known, unknown = of_course(latecomer.known), of_course(latecomer.unknown)
        for name in fields:
            for period in known[name].keys() | unknown[name].keys():
                change = unknown[name][period] - known[name][period]
                if change and touched is not None:
                    touched[period, name] = touched.get((period, name), 0) + abs(change)
                if is_closed(name, period, latecomer.bound_ms):
                    fields[name][period] += change


def late_by_user(late: Sequence[LateEvent]) -> dict[str, list[LateEvent]]:
    """Each user's, in the order read."""
    found: dict[str, list[LateEvent]] = {}
    for latecomer in late:
        found.setdefault(latecomer.event.user, []).append(latecomer)
    return found


def is_same(event: Event, other: Event) -> bool:
    """Whether both are of one record: the values of their breakdowns may differ."""
    return (event.partition, event.offset) == (other.partition, other.offset)


def fields_of(period_of: Callable[[int], Period], course: Course, config: Config) -> dict[str, Counter[Period]]:
    """What minutes and days have, by field: how many in each."""

    def in_periods(times_ms: Iterable[int]) -> Counter[Period]:
        return Counter(period_of(time_ms) for time_ms in times_ms)

    active = {(period_of(e.ts), e.user) for e in course.events if counts_as_active(e, config)}
    fields = {
        "events": in_periods(event.ts for event in course.events),
        "active_users": Counter(period for period, _ in active),
        "new_users": in_periods(passage.at for passage in course.lifecycle.new),
        "sessions_started": in_periods(session.start for session in course.sessions),
        "sessions_closed": in_periods(session.closes_at for session in course.sessions),
        "sessions_bounced": in_periods(session.closes_at for session in course.sessions if session.bounces),
    }
    for name, every_attempt in course.attempts.items():
        fields[f"funnel.{name}.entered"] = in_periods(attempt.began for attempt in every_attempt)
        fields[f"funnel.{name}.converted"] = in_periods(
            attempt.converted_at for attempt in every_attempt if attempt.converted_at is not None
        )
    return fields


def minute_of(time_ms: int) -> int:
    """The start of the minute (UTC) that holds `time_ms`."""
    return time_ms // MINUTE_MS * MINUTE_MS
