"""What has to be published after a config has changed in the midst of a stream: the reference, part by part.

The past stays as it was read. An event read before the change has the name and the values that it had then: its name is
`other` where it was not told apart, a value of a breakdown that is new is `unknown`. A part that goes on equals the
reference over the whole stream; one that starts afresh, or is new, equals that over the events from S on, the first
millisecond after everything that had been read at the change. A window that is new holds what was alive at the change,
what was concluded of each user last, since an event that is late but in order may take that back, and what has been
booked since, at whatever time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flows.audit import Record
from flows.audit.activity import active_user_cells, event_cells
from flows.audit.cells import Cells, by_user, groups, put_ratio
from flows.audit.clock import Read, judge
from flows.audit.engagement import engagement_cells
from flows.audit.funnels import Attempt, all_attempts, funnel_cells, put_matured
from flows.audit.lifecycle import Lifecycle, lifecycle_cells, lifecycle_of
from flows.audit.minutes import MINUTE_MS, Course, Latecomer, is_same, late_by_user, minute_history, minute_of
from flows.audit.parse import parse
from flows.audit.recompute import in_place
from flows.audit.records import Event
from flows.audit.scopes import scoped
from flows.audit.sessions import Session, all_sessions, session_cells
from flows.audit.uses import Use, all_uses, goal_cells, visitor_cells
from flows.config.model import OTHER, UNKNOWN, Breakdown, Config, Sessions, format_duration
from flows.metrics.visitors import Visitors


@dataclass(frozen=True)
class Moment:
    """When the config changed: after so many records, at this T; all that was known of had been used."""

    records: int
    as_of_ms: int
    since_ms: int  # S


def begins(records: Sequence[Record], config: Config, as_of_ms: int) -> int:
    """S, after these records at this T."""
    times = [event.ts for event in (parse(record, config) for record in records) if isinstance(event, Event)]
    return max([as_of_ms, *times]) + 1


@dataclass
class Expected:
    """What the change from `old` to `new` at `moment` has to come to."""

    records: Sequence[Record]
    old: Config
    new: Config
    moment: Moment

    def __post_init__(self) -> None:
        before = [self._as_read(parse(record, self.old)) for record in self.records[: self.moment.records]]
        after = [parse(record, self.new) for record in self.records[self.moment.records :]]
        self._readings = [*before, *after]
        self._read_before = {id(event) for event in before}
        self.watermark_ms = self.moment.as_of_ms - self.new.lateness

    def _as_read(self, event: Read) -> Read:
        if not isinstance(event, Event):
            return event
        name = event.name if event.name in self.old.vocabulary() else OTHER
        return replace(event, name=name, values={b: self._value(event, b) for b in self.new.breakdowns})

    def _value(self, event: Event, breakdown: str) -> str:
        return event.values[breakdown] if self._goes_on(breakdown) else UNKNOWN

    def _goes_on(self, breakdown: str) -> bool:
        one, other = self.old.breakdowns.get(breakdown), self.new.breakdowns[breakdown]
        if one is None or not set(one.labels()) <= set(other.labels()):
            return False
        return all(getattr(one, key) == getattr(other, key) for key in Breakdown.model_fields.keys() - {"values", "of"})

    def _for(self, family: str, events: Sequence[Event], used: Sequence[Event]) -> list[Event]:
        """The events as a family sees them that may be broken down only now."""
        late = [name for name in self.new.breakdowns if self._goes_on(name) and self._is_of_now(name, family)]
        earlier = {place_of(event) for event in used}
        return [
            replace(event, values={**event.values, **dict.fromkeys(late, UNKNOWN)})
            if place_of(event) in earlier
            else event
            for event in events
        ]

    def _is_of_now(self, breakdown: str, family: str) -> bool:
        return family in self.new.breakdowns[breakdown].of and family not in self.old.breakdowns[breakdown].of

    def _of_part(self, kept: bool, events: Sequence[Event]) -> list[Event]:
        return [event for event in events if kept or event.ts >= self.moment.since_ms]

    def keeps(self, part: str) -> bool:
        """Whether a family, or a funnel, has the definition that it had."""
        one, other = self.old, self.new
        same_presence = self._same_presence()
        match part:
            case "events":
                return True
            case "active_users" | "minutes":
                return same_presence and one.active_users == other.active_users
            case "engagement":
                return same_presence and one.active_users == other.active_users and one.time_zone == other.time_zone
            case "visitors":
                same = Visitors(one).definition().words == Visitors(other).definition().words
                return one.measures_visitors and same and same_presence
            case "sessions":
                return (
                    same_presence
                    and _rules(one) == _rules(other)
                    and {action.selection() for action in one.key_actions}
                    == {action.selection() for action in other.key_actions}
                )
            case "lifecycle":
                return same_presence and one.churn_after == other.churn_after
        if part.startswith("goal."):
            name = part.removeprefix("goal.")
            return name in one.goals and one.goals[name] == other.goals[name]
        same_presence = same_presence or other.funnels[part].order != "strict"
        return same_presence and part in one.funnels and one.funnels[part] == other.funnels[part]

    def _same_presence(self) -> bool:
        """Whether the same events show presence. Names that facts add to those which do not may have shown it before,
        but only as `other`.
        """
        if self.old.presence != self.new.presence:
            return False
        if self.new.presence.only is not None:
            return True
        hid, hides = self.old.events_of_nobody(), self.new.events_of_nobody()
        return hid <= hides and (hides - hid).isdisjoint(self.old.vocabulary())

    def cells(self, as_of_ms: int) -> Cells:
        """All cells at this T, when all records have been read."""
        new = self.new
        judgement = judge(self.records, self._readings, new, as_of_ms)
        watermark = as_of_ms - new.lateness
        ordered = in_place(judgement.on_time, judgement.late_in_order, watermark)
        before = [event for event in judgement.accepted if id(event) in self._read_before]
        arrived = [event for event in before if event.ts <= self.moment.as_of_ms]
        passed = in_place(
            [event for event in judgement.on_time if id(event) in self._read_before],
            [late for late in judgement.late_in_order if id(late.event) in self._read_before],
            self.watermark_ms,
        )
        self._passed = {place_of(event) for event in passed}
        ordered = self._scoped(ordered)
        passed = self._had_passed(ordered)
        self._judgement, self._ordered, self._final_watermark = judgement, ordered, watermark
        self._late = [late for late in judgement.late_in_order if late.bound_ms <= watermark]

        of_events = self._for("events", judgement.accepted, arrived)
        cells: Cells = event_cells(of_events, new, as_of_ms)
        used = {id(event) for event in arrived}
        recent = [one for one, event in zip(of_events, judgement.accepted, strict=True) if id(event) not in used]
        for config in self._new_windows():
            cells |= event_cells(recent, config, as_of_ms)
        active = self._for("active_users", self._of_part(self.keeps("active_users"), judgement.accepted), arrived)
        cells |= active_user_cells(active, new, as_of_ms)
        cells |= engagement_cells(self._of_part(self.keeps("engagement"), judgement.accepted), new, as_of_ms)
        if new.measures_visitors:
            cells |= self._visitors(ordered, passed, watermark)
        for name in new.goals:
            cells |= self._goal(name, ordered, passed, watermark, cells)

        kept = self.keeps("sessions")
        visits = self._for("sessions", self._of_part(kept, ordered), passed)
        cells |= session_cells(all_sessions(visits, new), new, watermark, cells)
        lived = self._lived(visits) if kept else all_sessions(visits, new)
        for config in self._new_windows():
            found = session_cells(lived, config, watermark, cells)
            cells |= {name: cell for name, cell in found.items() if _is_windowed(name, config)}
            cells = _without(cells, found, config, "session", "bounce_rate", "events_per", "views_per_s", "key_action")
            cells = _without(cells, found, config, "returning_share")
        for definition in set(new.sessions.definitions) - set(self.old.sessions.definitions):
            stem = f"sessions.bounced_by.{definition}."
            for name, bounced in session_cells(lived, new, watermark, cells).items():
                rate = f"bounce_rate_by.{definition}.{name.removeprefix(stem)}"
                if name.startswith(stem):
                    cells[name] = bounced
                    if rate in cells:
                        put_ratio(cells, rate, int(bounced), int(cells[f"sessions.closed.{name.removeprefix(stem)}"]))
        for name in new.funnels:
            cells |= self._funnel(name, ordered, passed, watermark)
        lives = self._for("users", self._of_part(self.keeps("lifecycle"), ordered), passed)
        lifecycle = lifecycle_of(lives, new, watermark)
        cells |= lifecycle_cells(lifecycle, new, watermark)
        if self.keeps("lifecycle"):
            for config in self._new_windows():
                found = lifecycle_cells(self._lately(lives, lifecycle.alive, watermark), config, watermark)
                del found["users.known"]
                cells = _without(cells | found, found, config, "user")
        return cells

    def since(self) -> dict[str, int]:
        """When every family began."""
        parts = ["events", "active_users", "engagement", "sessions", "lifecycle", "minutes", *self.new.funnels]
        parts += [*(["visitors"] if self.new.measures_visitors else []), *(f"goal.{name}" for name in self.new.goals)]
        names = {part: f"funnel.{part}" if part in self.new.funnels else part for part in parts}
        return {names[part]: 0 if self.keeps(part) else self.moment.since_ms for part in parts}

    def _scoped(self, ordered: list[Event]) -> list[Event]:
        """Under the values of their scopes. A breakdown that is new begins with what users and sessions begin with from
        the change on; of a session that is open then it has `unknown`, where sessions were known.
        """
        known = any(breakdown.scope == "session" for breakdown in self.old.breakdowns.values())
        later = [event for event in ordered if place_of(event) not in self._passed]
        lately = {place_of(event): event for event in scoped(later, self.new)}
        anew = [
            name
            for name, one in self.new.breakdowns.items()
            if not self._goes_on(name) and (one.scope == "first" or (one.scope == "session" and not known))
        ]
        return [
            replace(event, values={**event.values, **{name: lately[place_of(event)].values[name] for name in anew}})
            if place_of(event) in lately
            else event
            for event in scoped(ordered, self.new)
        ]

    def _had_passed(self, events: Sequence[Event]) -> list[Event]:
        """Those that had been used when the config changed."""
        return [event for event in events if place_of(event) in self._passed]

    def _lived(self, visits: list[Event]) -> list[Session]:
        """The sessions that were open at the change, the latest of each user, and those that began later."""
        lived = []
        for events in by_user(visits).values():
            known = len(all_sessions(self._had_passed(events), self.new))
            for number, session in enumerate(all_sessions(events, self.new), 1):
                if number >= known or session.closes_at >= self.watermark_ms:
                    lived.append(session)
        return lived

    def _lately(self, lives: list[Event], alive: int, watermark: int) -> Lifecycle:
        """What became of each user after the last event that had been used at the change."""
        lately = Lifecycle(alive=alive)
        for events in by_user(lives).values():
            last = max((event.ts for event in self._had_passed(events) if event.shows_presence), default=-1)
            life = lifecycle_of(events, self.new, watermark)
            lately.new += [passage for passage in life.new if passage.at > last]
            lately.resurrected += [passage for passage in life.resurrected if passage.at > last]
            lately.churned += [passage for passage in life.churned if passage.at > last]
        return lately

    def _new_windows(self) -> list[Config]:
        """The config with each of the windows alone that are new."""
        fresh = [window for window in self.new.windows if window not in self.old.windows]
        return [self._with(window) for window in fresh]

    def _with(self, *windows: int) -> Config:
        ratio = tuple(window for window in windows if window in self.new.ratio_windows)
        long = tuple(window for window in windows if window in self.new.long_windows)
        return self.new.model_copy(update={"windows": windows, "ratio_windows": ratio, "long_windows": long})

    def _visitors(self, ordered: Sequence[Event], passed: Sequence[Event], watermark: int) -> Cells:
        kept = self.keeps("visitors")
        events = self._for("visitors", self._of_part(kept, ordered), passed)
        cells = visitor_cells(events, self.new, watermark)
        gone = self._passed if kept else set()
        lately = [event for event in events if place_of(event) not in gone]
        for config in self._new_windows():
            for name, views in visitor_cells(lately, config, watermark).items():
                if name.startswith("views."):
                    at = name.removeprefix("views.")
                    cells[name] = views
                    put_ratio(cells, f"views_per_visitor.{at}", int(views), int(cells[f"visitors.{at}"]))
        return cells

    def _goal(
        self, name: str, ordered: Sequence[Event], passed: Sequence[Event], watermark: int, visitors: Cells
    ) -> Cells:
        """In a window that is new, users are all there, for their latest uses are known; the rest begins."""
        kept = self.keeps(f"goal.{name}")
        uses = all_uses(self._for("goals", self._of_part(kept, ordered), passed), self.new.goals[name])
        cells: Cells = goal_cells(name, uses, self.new, watermark, visitors)
        gone = self._passed if kept else set()
        lately: list[Use] = [use for use in uses if place_of(use.event) not in gone]
        for config in self._new_windows():
            found = goal_cells(name, lately, config, watermark, visitors)
            of_users = (f"goal.{name}.users.", f"conversion_rate.{name}.")
            cells |= {cell: value for cell, value in found.items() if not cell.startswith(of_users)}
        return cells

    def _funnel(self, name: str, ordered: Sequence[Event], passed: Sequence[Event], watermark: int) -> Cells:
        new = self.new
        funnel, kept = new.funnels[name], self.keeps(name)
        events = self._for("funnels", self._of_part(kept, ordered), passed)
        attempts: list[Attempt] = []
        alive: list[Attempt] = []
        for of_user in by_user(events).values():
            theirs, known = all_attempts(of_user, funnel), all_attempts(self._had_passed(of_user), funnel)
            over = bool(known) and (known[-1].converted_at is not None or known[-1].ended_at is not None)
            attempts += theirs
            alive += theirs[len(known) - (bool(known) and not over) :]
        cells: Cells = funnel_cells(name, funnel, attempts, new, watermark)
        if not kept:
            return cells
        for config in self._new_windows():
            found = funnel_cells(name, funnel, alive, config, watermark)
            cells |= {cell: value for cell, value in found.items() if _is_windowed(cell, config)}
            cells = _without(cells, found, config, f"funnel.{name}")
        living = {id(attempt) for attempt in alive}
        unripe = [one for one in attempts if one.start + funnel.window >= self.watermark_ms or id(one) in living]
        old = set(self.old.ratio_windows) if self.old.funnels else set()
        for window in new.ratio_windows:
            some = attempts if window in old else unripe
            for suffix, group in groups(some, lambda one: one.values, new, "funnels"):
                at = f"{format_duration(window)}{suffix}"
                cells.pop(f"funnel.{name}.conversion_matured.{at}", None)
                put_matured(cells, name, funnel, at, group, window, watermark)
        return cells

    def minutes(self, published: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
        """All closed minutes, once `cells` was asked; `published`: those closed before the change."""
        new, open_from = self.new, minute_of(self.watermark_ms)
        found = minute_history(self._course(self._ordered), new, self._final_watermark, list(self._latecomers()))
        fields = next(iter(found.values()), None) or next(iter(published.values()), {})
        names = [name for name in fields if not name.startswith("funnel.")]
        names += [f"funnel.{name}.{what}" for name in new.funnels for what in ("entered", "converted")]
        result = {minute: values for minute, values in found.items() if minute >= open_from}
        for minute, values in published.items():
            if minute >= self._final_watermark - new.minute_history:
                result[minute] = {name: values.get(name, 0) for name in names}
        return {
            minute: values
            for minute, values in sorted(result.items())
            if any(values.values()) and minute + MINUTE_MS <= self._final_watermark
        }

    def _course(self, ordered: list[Event]) -> Course:
        """What some events come to, each part of it since it began."""
        of = {part: self._of_part(self.keeps(part), ordered) for part in ("minutes", "sessions", "lifecycle")}
        attempts = {
            name: all_attempts(self._of_part(self.keeps(name), ordered), funnel)
            for name, funnel in self.new.funnels.items()
        }
        lifecycle = lifecycle_of(of["lifecycle"], self.new, self._final_watermark)
        return Course(of["minutes"], all_sessions(of["sessions"], self.new), attempts, lifecycle)

    def _latecomers(self) -> Iterator[Latecomer]:
        """The events that came late, each with its user's course with it and without it, those read last first."""
        of_users = by_user(self._ordered)
        for user, late in late_by_user(self._late).items():
            events = of_users[user]
            for one in reversed(late):
                without = [event for event in events if not is_same(event, one.event)]
                yield Latecomer(one.bound_ms, self._course(events), self._course(without))
                events = without


def place_of(event: Event) -> tuple[int, int]:
    """Of its record."""
    return event.partition, event.offset


def _rules(config: Config) -> Sessions:
    """What sessions start afresh with."""
    return config.sessions.model_copy(update={"definitions": ()})


def _is_windowed(cell: str, config: Config) -> bool:
    return cell.partition("{")[0].endswith(f".{format_duration(config.windows[0])}")


def _without(cells: Cells, found: Cells, config: Config, *prefixes: str) -> Cells:
    """Less the ratios that the new window does not have, though the whole stream has them."""
    return {
        name: value
        for name, value in cells.items()
        if name in found or not _is_windowed(name, config) or not name.startswith(prefixes)
    }
