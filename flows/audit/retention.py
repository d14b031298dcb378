"""METRICS.md 5.6: retention, from the list of each user's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from flows.audit.cells import Cells, by_user, groups, long_windows, put_ratio
from flows.audit.clock import pane
from flows.audit.records import Event
from flows.audit.selectors import chosen
from flows.config.model import Config, Retention

DAY_MS = 86_400_000


@dataclass
class Started:
    """One user who has started, and the days of the returns."""

    at: int  # ms
    values: Mapping[str, str]  # of the event that started
    days: set[int]  # "day index" of every return


def all_started(ordered: list[Event], retention: Retention, zone: ZoneInfo) -> list[Started]:
    """METRICS.md 5.6: "Day index of an event: `rolling` floor((ts - start) / 24 h); `calendar` difference of local
    dates. `start`: as milestones. Return events: any that shows presence, or those selected."
    """
    users = []
    for events in by_user(ordered).values():
        starts = [event for event in events if is_start(event, retention)]
        if not starts:
            continue
        start = starts[0]
        returns = [event for event in events[events.index(start) :] if is_return(event, retention)]
        if retention.mode == "calendar":
            days = {(local_date(event.ts, zone) - local_date(start.ts, zone)).days for event in returns}
        else:
            days = {(event.ts - start.ts) // DAY_MS for event in returns}
        users.append(Started(start.ts, start.values, days))
    return users


def is_start(event: Event, retention: Retention) -> bool:
    """Whether a user can start with this event."""
    return event.shows_presence if retention.from_first_seen else chosen(retention.start, event)


def is_return(event: Event, retention: Retention) -> bool:
    """Whether this event is a return."""
    return event.shows_presence if retention.any_returns else chosen(retention.events, event)


def local_date(time_ms: int, zone: ZoneInfo) -> date:
    """METRICS.md 1: "*Calendar* periods use the product's `time_zone`"."""
    return datetime.fromtimestamp(time_ms // 1000, zone).date()


def retention_cells(ordered: list[Event], config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 5.6: `retention.d<N>.cohort|returned|returned_later.<l>`; "Derived `retention_rate.d<N>.<l>` (on the
    day) and `retention_rate_or_later.d<N>.<l>` (on or after)."
    """
    if config.retention is None:
        return {}
    cells: Cells = {}
    zone = ZoneInfo(config.time_zone)
    users = all_started(ordered, config.retention, zone)
    for suffix, some in groups(users, lambda user: user.values, config, "retention"):
        for n in config.retention.days:
            for window_name, window in long_windows(config):
                at = f"{window_name}{suffix}"
                if config.retention.mode == "calendar":
                    cohort = [user for user in some if in_dates(user, n, window, watermark_ms, zone)]
                else:
                    cohort = [user for user in some if in_window(user, n, window, watermark_ms)]
                returned = sum(n in user.days for user in cohort)
                later = sum(any(day >= n for day in user.days) for user in cohort)
                cells[f"retention.d{n}.cohort.{at}"] = len(cohort)
                cells[f"retention.d{n}.returned.{at}"] = returned
                cells[f"retention.d{n}.returned_later.{at}"] = later
                put_ratio(cells, f"retention_rate.d{n}.{at}", returned, len(cohort))
                put_ratio(cells, f"retention_rate_or_later.d{n}.{at}", later, len(cohort))
    return cells


def in_window(user: Started, n: int, window: int, watermark_ms: int) -> bool:
    """METRICS.md 5.6: "users whose start lies in the window as it stood at `W - (N+1) x 24 h`, strictly before it"."""
    then = watermark_ms - (n + 1) * DAY_MS
    return user.at < then and pane(user.at, window) > pane(then, window) - 60


def in_dates(user: Started, n: int, window: int, watermark_ms: int, zone: ZoneInfo) -> bool:
    """METRICS.md 5.6: "calendar: whose start date D is one of the last l/24h dates with D + N before the date of W"."""
    ago = (local_date(watermark_ms, zone) - local_date(user.at, zone)).days
    return n < ago <= n + window // DAY_MS
