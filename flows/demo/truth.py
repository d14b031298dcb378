"""The simulator's own knowledge of its true numbers, at any stream clock and watermark.

It is told every record that was sent, in the order of sending, and knows what the pipeline has to find out:
which are copies, broken or unwanted, and when each event happened. Lateness follows from the order within
the partition: an event is late when its partition had already moved on by more than the lateness (the
simulator sees to it that no other reading is possible). From that, `cells` recomputes METRICS.md 3.1 to 3.5
from scratch with plain loops.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from flows.config.model import OTHER, UNKNOWN, Breakdown, Config, Funnel, format_duration, keys_of
from flows.config.selectors import Selector
from flows.demo.ledger import Ledger, Told
from flows.demo.simulator import Record
from flows.demo.stories import Attempt, Happened, Session, attempts, chosen_by, scoped, sessions, slug, transitions

BOUNDS_S = (0, 5, 10, 30, 60, 180, 600, 1800, 3600, 14400)
DAY_MS = 86_400_000
Carries = frozenset[tuple[str, tuple[str, ...]]]
"""Conditions of selectors (field, values) that an event meets."""
MOST_EVENTS = 2_000_000
"""More is not remembered (1.8 hours at 300/s), and then there is nothing to compare with."""


def window_from_ms(now_ms: int, window_ms: int) -> int:
    """The first millisecond of a trailing window: of 60 panes, the last of which holds `now_ms`."""
    first_pane = now_ms * 60 // window_ms - 59
    return -(-first_pane * window_ms // 60)


class Tally(Counter[str]):
    """Numbers by cell name; one thing is counted in total and under its breakdown labels."""

    def count(self, name: str, labels: Iterable[str], amount: int = 1) -> None:
        """Add `amount` to the cell and to the same cell of each label."""
        self[name] += amount
        for label in labels:
            self[name + label] += amount


class Truth:
    """What was sent, and what is true of it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._clocks: dict[int, int] = {}
        self._accounting: Counter[str] = Counter()
        self._users: dict[str, int] = {}
        # One accepted event each, in the order of sending.
        self._ts_ms = array("q")
        self._user = array("l")
        self._sort = array("L")  # index into _sorts
        self._late = array("b")
        self._sorts: dict[tuple[str, str, tuple[str, ...], bool, Carries], int] = {}  # what Happened has but the time
        section = config.subscriptions
        self._states_in = set() if section is None else {slug(name) for name in section.events}
        self._told: list[Told] = []
        self.complete = True  # False: more was sent than is remembered

    def record(self, record: Record) -> None:
        """Note one record as sent; to be called in the order of sending."""
        for fate in self._judge(record):
            self._accounting[fate] += 1
            self._accounting[f"{fate}{{partition={record.partition}}}"] += 1

    def _judge(self, record: Record) -> tuple[str, ...]:
        """Under which names of the accounting the record counts; an accepted event is remembered."""
        if record.event is None:
            return "consumed", f"rejected.{record.reason}"
        body = record.event.body
        kind = str(body["type"])
        names = {"page": "page_viewed", "screen": "screen_viewed", "track": slug(str(body.get("event")))}
        name = names.get(kind, kind)
        if _selects(self._config.exclude.events, name, body):
            return "consumed", "excluded", "excluded.event"
        if self._config.exclude.bots and _found(body, "context.bot") is True:
            return "consumed", "excluded", "excluded.bot"
        ts_ms = record.event.ts_ms
        reading_ms = min(ts_ms, record.arrival_ms)
        clock_ms = self._clocks.get(record.partition, reading_ms)
        self._clocks[record.partition] = max(clock_ms, reading_ms)
        if record.resent:
            return "consumed", "duplicate"
        late = ts_ms < clock_ms - self._config.lateness
        labels = tuple(
            f"{{{dimension}={_label(body, breakdown)}}}" for dimension, breakdown in self._config.breakdowns.items()
        )
        carries = frozenset(
            (field, values)
            for _, selectors in self._config.selectors()
            for selector in selectors
            for field, values in selector.where.items()
            if _carries(body, field, values)
        )
        sort = (kind, name, labels, self._shows(kind, name, body), carries)
        if len(self._ts_ms) < MOST_EVENTS:
            self._ts_ms.append(ts_ms)
            self._user.append(self._users.setdefault(record.event.user, len(self._users)))
            self._sort.append(self._sorts.setdefault(sort, len(self._sorts)))
            self._late.append(late)
            if kind == "track" and name in self._states_in:
                assert not late, "the simulated billing system is never late"
                properties = body["properties"]
                assert isinstance(properties, Mapping)
                self._told.append(Told(ts_ms, record.event.user, properties))
        else:
            self.complete = False
        clamped = ("clamped",) if record.clamped else ()
        return "consumed", "accepted", "late" if late else "on_time", *clamped

    def _shows(self, kind: str, name: str, body: Mapping[str, object]) -> bool:
        """Whether such an event shows that somebody was there."""
        rules = self._config.presence
        shows = name not in self._states_in if rules.only is None else _selects(rules.only, name, body)
        from_server = "server" in (_found(body, "channel"), _found(body, "context.channel"))
        return shows and not _selects(rules.except_, name, body) and (rules.server or not from_server)

    def accounting(self) -> Counter[str]:
        """Records by what has to become of them (`late`, `rejected.empty`), in total and `{partition=0}`."""
        return self._accounting.copy()

    def cells(self, as_of_ms: int, watermark_ms: int) -> dict[str, int | float]:
        """All numbers of events, active users, sessions, funnels, lifecycle and subscriptions.

        Counts of nothing and ratios with nothing below are left out.
        """
        tally = Tally()
        self._count_arrivals(tally, as_of_ms)
        book = _Book(self._config, watermark_ms, tally)
        for story in self._stories(watermark_ms):
            book.tell(story)
        derived = dict(_derived(self._config, tally))
        return {**tally, **derived, **book.conversion_live(), **self._subscriptions(watermark_ms)}

    def _subscriptions(self, watermark_ms: int) -> dict[str, int | float]:
        section = self._config.subscriptions
        if section is None:
            return {}
        windows = {format_duration(window): window_from_ms(watermark_ms, window) for window in self._config.windows}
        ratio_windows = map(format_duration, self._config.ratio_windows)
        return Ledger(section, self._told, watermark_ms).cells(windows, ratio_windows)

    def _of(self, family: str, labels: Sequence[str]) -> tuple[str, ...]:
        return _labels_of(self._config, family, labels)

    def _count_arrivals(self, tally: Tally, as_of_ms: int) -> None:
        config = self._config
        names = set(config.vocabulary())
        sorts = list(self._sorts)
        for window in config.windows:
            w, from_ms = format_duration(window), window_from_ms(as_of_ms, window)
            arrived = Counter(
                sort for ts_ms, sort in zip(self._ts_ms, self._sort, strict=True) if from_ms <= ts_ms <= as_of_ms
            )
            for sort, events in arrived.items():
                _, name, labels, *_ = sorts[sort]
                of_events = self._of("events", labels)
                tally.count(f"events.{w}", of_events, events)
                tally.count(f"events.{name if name in names else OTHER}.{w}", of_events, events)
        now = datetime.fromtimestamp(as_of_ms / 1000, ZoneInfo(config.time_zone))
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        for label, latest in self._last_seen(as_of_ms).items():
            for window in config.windows:
                from_ms = window_from_ms(as_of_ms, window)
                tally[f"active_users.{format_duration(window)}{label}"] = sum(ts >= from_ms for ts in latest.values())
            today = sum(ts >= midnight.timestamp() * 1000 for ts in latest.values())
            tally[f"active_users.day{label}"] = today

    def _last_seen(self, as_of_ms: int) -> dict[str, dict[int, int]]:
        """For everybody ("") and each breakdown label: user -> time of the latest event that makes active."""
        selectors = self._config.active_users.events
        active = None if selectors is None else chosen_by(selectors)
        groups: list[list[dict[int, int]]] = []  # by sort: where its events leave a trace
        seen: dict[str, dict[int, int]] = {"": {}}
        for sort_of_event in self._sorts:
            event = Happened(0, *sort_of_event)
            makes_active = event.shows and (active is None or active(event))
            of_users = ("", *self._of("active_users", event.labels)) if makes_active else ()
            groups.append([seen.setdefault(label, {}) for label in of_users])
        for ts_ms, user, sort in zip(self._ts_ms, self._user, self._sort, strict=True):
            if ts_ms <= as_of_ms:
                for latest in groups[sort]:
                    latest[user] = max(latest.get(user, ts_ms), ts_ms)
        return seen

    def _stories(self, watermark_ms: int) -> Iterable[list[Happened]]:
        """The on-time events before the watermark, by user, in event-time order (ties: order of sending)."""
        sorts = list(self._sorts)
        stories: dict[int, list[Happened]] = {}
        for ts_ms, user, sort, late in zip(self._ts_ms, self._user, self._sort, self._late, strict=True):
            if not late and ts_ms < watermark_ms:
                stories.setdefault(user, []).append(Happened(ts_ms, *sorts[sort]))
        for story in stories.values():
            story.sort(key=lambda event: event.ts_ms)
            yield story


class _Book:
    """Counts what the stories of users tell, as it stands at a watermark."""

    def __init__(self, config: Config, watermark_ms: int, tally: Tally) -> None:
        self._config = config
        self._now_ms = watermark_ms
        self._tally = tally
        self._ages: dict[str, tuple[Counter[int], Counter[int]]] = {}  # conversion_live cell -> converted, censored

    def tell(self, story: Sequence[Happened]) -> None:
        """Count one user."""
        story = scoped(story, self._config)
        for session in sessions(story, self._config):
            self._count_session(session)
        for name, funnel in self._config.funnels.items():
            for attempt in attempts(story, funnel):
                self._count_attempt(f"funnel.{name}", funnel, attempt)
        self._count_transitions(story)

    def _windows_of(self, time_ms: int, windows: Iterable[int] | None = None) -> list[str]:
        """The windows in which something of that time counts now."""
        chosen = self._config.windows if windows is None else windows
        return [format_duration(w) for w in chosen if time_ms >= window_from_ms(self._now_ms, w)]

    def _count_session(self, session: Session) -> None:
        config, count = self._config, self._tally.count
        labels = _labels_of(config, "sessions", session.first.labels)
        engaged = session.engaged(config)
        for w in self._windows_of(session.start_ms):
            count(f"sessions.started.{w}", labels)
        settling_pane = self._now_ms // 15_000 - session.start_ms // 15_000
        if 20 <= settling_pane < 60:
            count("sessions.settling", labels)
            count("sessions.settling_engaged", labels, engaged)
        closing_ms = session.last_ms + config.sessions.timeout
        if not self._now_ms > closing_ms:
            count("sessions.open", labels)
            return
        for w in self._windows_of(closing_ms):
            count(f"sessions.closed.{w}", labels)
            count(f"sessions.bounced.{w}", labels, not engaged)
            count(f"sessions.duration_ms.{w}", labels, session.duration_ms)
            count(f"sessions.events.{w}", labels, session.events)
            count(f"sessions.key_actions.{w}", labels, session.key_actions)
            for bound in BOUNDS_S:
                count(f"sessions.duration_le_{bound}.{w}", labels, session.duration_ms <= bound * 1000)

    def _count_attempt(self, prefix: str, funnel: Funnel, attempt: Attempt) -> None:
        count = self._tally.count
        labels = _labels_of(self._config, "funnels", attempt.entry.labels)
        for w in self._windows_of(attempt.start_ms):
            for step in funnel.step_names()[: attempt.reached]:
                count(f"{prefix}.{step}.{w}", labels)
            count(f"{prefix}.{attempt.state(funnel, self._now_ms)}.{w}", labels)
            if attempt.converted_ms is not None:
                took_ms = attempt.converted_ms - attempt.start_ms
                count(f"{prefix}.convert_ms.{w}", labels, took_ms)
                for bound in BOUNDS_S:
                    count(f"{prefix}.convert_le_{bound}.{w}", labels, took_ms <= bound * 1000)
        matured_ms = self._now_ms - funnel.window
        if matured_ms > attempt.start_ms:
            for window in self._config.ratio_windows:
                if attempt.start_ms >= window_from_ms(matured_ms, window):
                    w = format_duration(window)
                    count(f"{prefix}.matured.{w}", labels)
                    count(f"{prefix}.matured_converted.{w}", labels, attempt.converted_ms is not None)
        self._count_age(prefix, funnel, attempt, labels)

    def _count_age(self, prefix: str, funnel: Funnel, attempt: Attempt, labels: Iterable[str]) -> None:
        if attempt.start_ms < window_from_ms(self._now_ms, funnel.window):
            return
        until_ms = self._now_ms if attempt.converted_ms is None else attempt.converted_ms
        age = min(until_ms * 60 // funnel.window - attempt.start_ms * 60 // funnel.window, 59)
        for label in ("", *labels):
            converted, censored = self._ages.setdefault(prefix + label, (Counter(), Counter()))
            (censored if attempt.converted_ms is None else converted)[age] += 1

    def _count_transitions(self, story: Sequence[Happened]) -> None:
        story = [event for event in story if event.shows]
        if not story:
            return
        told = transitions(story, self._config.churn_after, self._now_ms)
        for transition in told:
            for w in self._windows_of(transition.at_ms):
                self._tally[f"users.{transition.kind}.{w}"] += 1
        self._tally["users.known"] += 1
        self._tally["users.alive"] += told[-1].kind != "churned"

    def conversion_live(self) -> dict[str, float]:
        """Kaplan-Meier over the attempts of the trailing funnel window, and its standard error."""
        cells = {}
        for cell, (converted, censored) in self._ages.items():
            prefix, brace, label = cell.partition("{")
            at_risk = converted.total() + censored.total()
            survival, variance = 1.0, 0.0
            for age in range(60):
                if at_risk:
                    survival *= 1 - converted[age] / at_risk
                    if converted[age] < at_risk:
                        variance += converted[age] / (at_risk * (at_risk - converted[age]))
                at_risk -= converted[age] + censored[age]
            cells[f"{prefix}.conversion_live{brace}{label}"] = 1 - survival
            cells[f"{prefix}.conversion_live_se{brace}{label}"] = survival * math.sqrt(variance)
        return cells


def _label(body: Mapping[str, object], breakdown: Breakdown) -> str:
    """The breakdown value that an event counts under."""
    found = _found(body, breakdown.field)
    if found is None or found == "":
        return UNKNOWN
    code = _slug_of(found)
    return OTHER if code is None or code not in {slug(value) for value in breakdown.values} else code


def _selects(selectors: Iterable[Selector], name: str, body: Mapping[str, object]) -> bool:
    """Whether an event is one of those."""
    return any(
        name in {slug(event) for event in selector.event}
        and all(_carries(body, field, values) for field, values in selector.where.items())
        for selector in selectors
    )


def _carries(body: Mapping[str, object], field: str, values: Sequence[str]) -> bool:
    return _slug_of(_found(body, field)) in {slug(value) for value in values}


def _found(body: Mapping[str, object], field: str) -> object:
    found: object = body
    for key in keys_of(field) or ():
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _slug_of(found: object) -> str | None:
    """A single value as it is compared; None for nothing, and for objects and arrays."""
    if found is None or found == "" or isinstance(found, Mapping | list):
        return None
    return slug(found if isinstance(found, str) else msgspec.json.encode(found).decode())


def _labels_of(config: Config, family: str, labels: Sequence[str]) -> tuple[str, ...]:
    """Those of an event's labels that the config wants for a family."""
    wanted = [family in breakdown.of for breakdown in config.breakdowns.values()]
    return tuple(label for label, wants in zip(labels, wanted, strict=True) if wants)


def _derived(config: Config, tally: Tally) -> Iterable[tuple[str, float]]:
    """Ratios of what was counted, for every label that was seen; undefined ones are left out."""
    labels = {"", *(brace + rest for _, brace, rest in (cell.partition("{") for cell in tally))}
    for label in labels:

        def n(cell: str, label: str = label) -> int:
            return tally[cell + label]

        for cell, top, bottom in _ratios(config, n):
            if bottom:
                yield cell + label, top / bottom
        for cell, q, total, histogram in _histograms(config):
            if n(total):
                bounds = [n(histogram.format(bound)) for bound in BOUNDS_S]
                yield cell + label, quantile_ms(q, n(total), bounds)


def _ratios(config: Config, n: Callable[[str], int]) -> Iterable[tuple[str, float, float]]:
    """(cell, numerator, denominator) of every ratio, from the counts."""
    if {DAY_MS, 30 * DAY_MS} <= set(config.windows):
        yield "stickiness", n("active_users.24h"), n("active_users.30d")
    settling = n("sessions.settling")
    yield "bounce_rate_provisional", settling - n("sessions.settling_engaged"), settling
    for w in map(format_duration, config.ratio_windows):
        closed, started = n(f"sessions.closed.{w}"), n(f"sessions.started.{w}")
        yield f"bounce_rate.{w}", n(f"sessions.bounced.{w}"), closed
        yield f"session_duration_mean.{w}", n(f"sessions.duration_ms.{w}"), closed
        yield f"events_per_session.{w}", n(f"sessions.events.{w}"), closed
        yield f"key_actions_per_session.{w}", n(f"sessions.key_actions.{w}"), closed
        yield f"sessions_per_user.{w}", started, n(f"active_users.{w}")
        churned = n(f"users.churned.{w}")
        at_start = n("users.alive") - n(f"users.new.{w}") - n(f"users.resurrected.{w}") + churned
        yield f"user_churn_rate.{w}", churned, at_start
        for name, funnel in config.funnels.items():
            f = f"funnel.{name}"
            reached = [n(f"{f}.{step}.{w}") for step in funnel.step_names()]
            for number, (before, after) in enumerate(pairwise(reached), 2):
                yield f"{f}.drop_off_{number:02d}.{w}", before - after, before
            yield f"{f}.convert_mean.{w}", n(f"{f}.convert_ms.{w}"), n(f"{f}.converted.{w}")
            yield f"{f}.conversion_matured.{w}", n(f"{f}.matured_converted.{w}"), n(f"{f}.matured.{w}")


def _histograms(config: Config) -> Iterable[tuple[str, float, str, str]]:
    """(cell, q, cell of the count, cells of the cumulative histogram) of every quantile."""
    for w in map(format_duration, config.ratio_windows):
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
            bounds = f"sessions.duration_le_{{}}.{w}"
            yield f"session_duration_{name}.{w}", q, f"sessions.closed.{w}", bounds
            if name == "p95":
                continue
            for funnel in config.funnels:
                f = f"funnel.{funnel}"
                yield f"{f}.convert_{name}.{w}", q, f"{f}.converted.{w}", f"{f}.convert_le_{{}}.{w}"


def quantile_ms(q: float, count: int, cumulative: Sequence[int]) -> float:
    """The q-quantile of a cumulative histogram over BOUNDS_S, linear inside its bucket."""
    rank, before, lower_s = q * count, 0, 0
    for bound_s, reached in zip(BOUNDS_S, cumulative, strict=True):
        if reached >= rank:
            if bound_s == 0:
                return 0.0
            return 1000 * (lower_s + (bound_s - lower_s) * (rank - before) / (reached - before))
        before, lower_s = reached, bound_s
    return 1000.0 * BOUNDS_S[-1]
