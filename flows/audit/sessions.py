"""METRICS.md 3.3: sessions, engagement, bounces; by cutting each user's sorted events at the gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from flows.audit.cells import (
    BOUNDS_SECONDS,
    Cells,
    by_user,
    cumulative,
    groups,
    put_one_minus_ratio,
    put_quantile,
    put_ratio,
    ratio_windows,
    suffixes,
    windows,
)
from flows.audit.clock import ordered_window_holds
from flows.audit.records import Event
from flows.audit.selectors import chosen, interactive
from flows.config.model import Config

SESSION_KINDS = ("track", "page", "screen")
VIEWS = ("page", "screen")
SETTLING_PANE_MS = 15_000
QUANTILES = {"p50": Fraction(50, 100), "p90": Fraction(90, 100), "p95": Fraction(95, 100)}


@dataclass
class Session:
    """One session, of the events known so far; all that is asked of it is decided when it is made."""

    start: int
    duration: int  # last - first, ms
    closes_at: int  # last + timeout
    events: int
    views: int
    key_actions: int
    bounced_by: Mapping[str, bool]  # definition -> whether it is a bounce, if it closes as it is
    bounces: bool  # by the definition of the config
    gap: int | None  # ms from the last event of the user's session before; None: there was none
    values: Mapping[str, str]  # "a session, its first event's"


def all_sessions(ordered: list[Event], config: Config) -> list[Session]:
    """METRICS.md 3.3: "A session ends when the user's next event comes more than `timeout` (... `gap >
    timeout`, so exactly 30 m still belongs) after the last, or when that event would make it longer than
    `max_duration`."

    "Session events are `track`, `page` and `screen`", where they show presence.
    """
    rules = config.sessions
    sessions = []
    for events in by_user(event for event in ordered if event.kind in SESSION_KINDS and event.shows_presence).values():
        before: list[Event] = []
        current: list[Event] = []
        for event in events:
            if current and (event.ts - current[-1].ts > rules.timeout or event.ts - current[0].ts > rules.max_duration):
                sessions.append(session_of(current, before, config))
                before, current = current, []
            current.append(event)
        sessions.append(session_of(current, before, config))
    return sessions


def session_of(events: list[Event], before: list[Event], config: Config) -> Session:
    """METRICS.md 5.4: "`sessions.gap_ms.<w>`: sum of start - last event of the session before"; `before` has the events
    of that, if there was one.
    """
    start, last = events[0].ts, events[-1].ts
    bounced_by = bounces(events, config)
    return Session(
        start=start,
        duration=last - start,
        closes_at=last + config.sessions.timeout,
        events=len(events),
        views=sum(event.kind in VIEWS for event in events),
        key_actions=sum(chosen(config.key_actions, event) for event in events),
        bounced_by=bounced_by,
        bounces=bounced_by[config.sessions.bounce],
        gap=start - before[-1].ts if before else None,
        values=events[0].values,
    )


def bounces(events: list[Event], config: Config) -> dict[str, bool]:
    """METRICS.md 3.3: "**Engaged**: it has lasted more than 10 s, or has >= 2 events of type `page` or
    `screen`, or >= 1 key action (each configurable, each can be off). **Bounced** = closed and not engaged."

    5.4: "`single_view` (at most one page or screen event)"; "`no_interaction` (less than 2 views and no `track` event
    but those with `properties.interactive = false`)"; "`sessions.bounce` takes any of them".
    """
    views = sum(event.kind in VIEWS for event in events)
    key_actions = sum(chosen(config.key_actions, event) for event in events)
    rule = config.sessions.engaged
    engaged = (
        (rule.longer_than is not None and events[-1].ts - events[0].ts > rule.longer_than)
        or (rule.views is not None and views >= rule.views)
        or (rule.key_actions is not None and key_actions >= rule.key_actions)
    )
    return {
        "engaged": not engaged,
        "single_event": len(events) == 1,
        "single_view": views <= 1,
        "no_interaction": views < 2 and not any(event.kind == "track" and interactive(event) for event in events),
    }


def session_cells(all_of_them: list[Session], config: Config, watermark_ms: int, active_users: Cells) -> Cells:
    """METRICS.md 3.3: "By start time: `sessions.started.<w>`. By closing time: closed, bounced, duration_ms,
    events, key_actions, and a histogram of duration. Now: `sessions.open`." "It closes at `last event +
    timeout`, and counts as closed once `W` is beyond that."
    """
    cells: Cells = {}
    for suffix, sessions in groups(all_of_them, lambda session: session.values, config, "sessions"):
        cells[f"sessions.open{suffix}"] = sum(not watermark_ms > session.closes_at for session in sessions)
        for window_name, window in windows(config):
            at = f"{window_name}{suffix}"
            started = [s for s in sessions if ordered_window_holds(s.start, window, watermark_ms)]
            gaps = [session.gap for session in started if session.gap is not None]
            cells[f"sessions.started.{at}"] = len(started)
            cells[f"sessions.returning.{at}"] = len(gaps)
            cells[f"sessions.gap_ms.{at}"] = sum(gaps)
            put_ratio(cells, f"returning_share.{at}", len(gaps), len(started))
            put_ratio(cells, f"session_gap_mean.{at}", sum(gaps), len(gaps))
            closed = [s for s in sessions if ordered_window_holds(s.closes_at, window, watermark_ms)]
            cells[f"sessions.closed.{at}"] = len(closed)
            cells[f"sessions.bounced.{at}"] = sum(session.bounces for session in closed)
            cells[f"sessions.duration_ms.{at}"] = sum(session.duration for session in closed)
            cells[f"sessions.events.{at}"] = sum(session.events for session in closed)
            cells[f"sessions.views.{at}"] = sum(session.views for session in closed)
            cells[f"sessions.key_actions.{at}"] = sum(session.key_actions for session in closed)
            cells[f"sessions.with_key_action.{at}"] = sum(session.key_actions > 0 for session in closed)
            for definition in config.sessions.definitions:
                cells[f"sessions.bounced_by.{definition}.{at}"] = sum(s.bounced_by[definition] for s in closed)
            buckets = cumulative(session.duration for session in closed)
            for bound, count in zip(BOUNDS_SECONDS, buckets, strict=True):
                cells[f"sessions.duration_le_{bound}.{at}"] = count
            if window_name in ratio_windows(config):
                put_derived(cells, at, buckets)
                put_bounce_rates(cells, at, config)
        put_settling(cells, suffix, sessions, watermark_ms)
    put_per_user(cells, config, active_users)
    return cells


def put_derived(cells: Cells, at: str, buckets: list[int]) -> None:
    """METRICS.md 3.3: "Derived: `bounce_rate.<w>` = bounced / closed; `session_duration_mean.<w>`, `_p50 _p90
    _p95` ...; `events_per_session.<w>`, `key_actions_per_session.<w>`"; 5.4: "`views_per_session.<rw>`,
    `key_action_share.<rw>`".
    """
    closed = int(cells[f"sessions.closed.{at}"])
    put_ratio(cells, f"bounce_rate.{at}", int(cells[f"sessions.bounced.{at}"]), closed)
    put_ratio(cells, f"session_duration_mean.{at}", int(cells[f"sessions.duration_ms.{at}"]), closed)
    put_ratio(cells, f"events_per_session.{at}", int(cells[f"sessions.events.{at}"]), closed)
    put_ratio(cells, f"key_actions_per_session.{at}", int(cells[f"sessions.key_actions.{at}"]), closed)
    put_ratio(cells, f"views_per_session.{at}", int(cells[f"sessions.views.{at}"]), closed)
    put_ratio(cells, f"key_action_share.{at}", int(cells[f"sessions.with_key_action.{at}"]), closed)
    for name, quantile in QUANTILES.items():
        put_quantile(cells, f"session_duration_{name}.{at}", quantile, buckets, closed)


def put_bounce_rates(cells: Cells, at: str, config: Config) -> None:
    """METRICS.md 5.4: "derived `bounce_rate_by.<definition>.<rw>`"."""
    for definition in config.sessions.definitions:
        bounced = int(cells[f"sessions.bounced_by.{definition}.{at}"])
        put_ratio(cells, f"bounce_rate_by.{definition}.{at}", bounced, int(cells[f"sessions.closed.{at}"]))


def put_settling(cells: Cells, suffix: str, sessions: list[Session], watermark_ms: int) -> None:
    """METRICS.md 3.3: "among sessions *started* in `(W - 15m, W - 5m]` (panes `p` of b = 15 s with
    `floor(W/b) - 60 < p <= floor(W/b) - 20`) the share not yet engaged".
    """
    now = watermark_ms // SETTLING_PANE_MS
    settling = [s for s in sessions if now - 60 < s.start // SETTLING_PANE_MS <= now - 20]
    engaged = sum(not session.bounces for session in settling)
    cells[f"sessions.settling{suffix}"] = len(settling)
    cells[f"sessions.settling_engaged{suffix}"] = engaged
    put_one_minus_ratio(cells, f"bounce_rate_provisional{suffix}", engaged, len(settling))


def put_per_user(cells: Cells, config: Config, active_users: Cells) -> None:
    """METRICS.md 3.3: "`sessions_per_user.<w>` = started / active_users (same window)"; 5.4:
    "`session_time_per_user.<w>` = duration_ms / active_users, `key_actions_per_user.<w>`"; broken down only where both
    are.
    """
    for suffix in suffixes(config, "sessions"):
        for window_name, _ in windows(config):
            at = f"{window_name}{suffix}"
            if f"active_users.{at}" not in active_users:
                continue
            users = int(active_users[f"active_users.{at}"])
            put_ratio(cells, f"session_time_per_user.{at}", int(cells[f"sessions.duration_ms.{at}"]), users)
            put_ratio(cells, f"key_actions_per_user.{at}", int(cells[f"sessions.key_actions.{at}"]), users)
            if window_name in ratio_windows(config):
                put_ratio(cells, f"sessions_per_user.{at}", int(cells[f"sessions.started.{at}"]), users)
