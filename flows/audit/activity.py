"""METRICS.md 3.1 and 3.2: events and active users, straight from the accepted events (late ones too)."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from zoneinfo import ZoneInfo

from flows.audit.cells import Cells, groups, put_ratio, suffixes, windows
from flows.audit.clock import arrival_window_holds
from flows.audit.records import Event
from flows.audit.selectors import chosen
from flows.config.model import OTHER, Config

DAY_MS = 86_400_000


def event_cells(accepted: list[Event], config: Config, as_of_ms: int) -> Cells:
    """METRICS.md 3.1: "`events.<window>` (every type), `events.<event>.<window>`: accepted events in the
    window. Event names: those named anywhere in the config; the rest `other`."
    """
    cells: Cells = {}
    vocabulary = config.vocabulary()
    for suffix, events in groups(accepted, lambda event: event.values, config, "events"):
        for window_name, window in windows(config):
            names = Counter(event.name for event in events if arrival_window_holds(event.ts, window, as_of_ms))
            cells[f"events.{window_name}{suffix}"] = names.total()
            named = {name: names[name] for name in vocabulary if name != OTHER}
            for name, count in named.items():
                cells[f"events.{name}.{window_name}{suffix}"] = count
            cells[f"events.{OTHER}.{window_name}{suffix}"] = names.total() - sum(named.values())
    return cells


def counts_as_active(event: Event, config: Config) -> bool:
    """METRICS.md 3.2: "Which events count: all (default), or the list `active_users.events`" of selectors, of those
    that show presence: "`active_users.events` narrows active users further".
    """
    selectors = config.active_users.events
    return event.shows_presence and (selectors is None or chosen(selectors, event))


def active_user_cells(accepted: list[Event], config: Config, as_of_ms: int) -> Cells:
    """METRICS.md 3.2: "`active_users.<window>`: distinct users whose latest event lies in the window.
    `active_users.day`: distinct users with an event today. `stickiness` (derived) = `active_users.24h /
    active_users.30d`."

    A breakdown counts a user under "every value the user showed in the window".
    """
    cells: Cells = {}
    accepted = [event for event in accepted if counts_as_active(event, config)]
    today = local_date(as_of_ms, config.time_zone)
    for suffix, events in groups(accepted, lambda event: event.values, config, "active_users"):
        for window_name, window in windows(config):
            users = {event.user for event in events if arrival_window_holds(event.ts, window, as_of_ms)}
            cells[f"active_users.{window_name}{suffix}"] = len(users)
        users_today = {
            event.user
            for event in events
            if as_of_ms - 2 * DAY_MS < event.ts <= as_of_ms and local_date(event.ts, config.time_zone) == today
        }
        cells[f"active_users.day{suffix}"] = len(users_today)
    for suffix in suffixes(config, "active_users"):
        daily, monthly = f"active_users.24h{suffix}", f"active_users.30d{suffix}"
        if daily in cells and monthly in cells:
            put_ratio(cells, f"stickiness{suffix}", int(cells[daily]), int(cells[monthly]))
    return cells


def local_date(time_ms: int, time_zone: str) -> date:
    """The calendar day in `time_zone` at an instant."""
    return datetime.fromtimestamp(time_ms // 1000, ZoneInfo(time_zone)).date()
