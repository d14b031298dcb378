"""METRICS.md 5.4, power users: the local dates on which each user was active."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from flows.audit.activity import counts_as_active, local_date
from flows.audit.cells import Cells, by_user, put_ratio
from flows.audit.records import Event
from flows.config.model import Config


def engagement_cells(accepted: list[Event], config: Config, as_of_ms: int) -> Cells:
    """METRICS.md 5.4: "active days among the last 7 and 30 local days, today included, of events that count for active
    users: `engagement.days_<k>_of_7` (k = 1..7), `engagement.days_<k>_of_30` (k = 1..30): users with exactly k. Derived
    `l7_mean`, `l30_mean` = mean k."
    """
    cells: Cells = {}
    today = local_date(as_of_ms, config.time_zone)
    users = by_user(event for event in accepted if event.ts <= as_of_ms and counts_as_active(event, config)).values()
    dates = [{local_date(event.ts, config.time_zone) for event in events} for events in users]
    for length in (7, 30):
        active_days = [_days_of(of_user, today, length) for of_user in dates]
        for k in range(1, length + 1):
            cells[f"engagement.days_{k}_of_{length}"] = active_days.count(k)
        put_ratio(cells, f"l{length}_mean", sum(active_days), sum(days > 0 for days in active_days))
    return cells


def _days_of(dates: Iterable[date], today: date, length: int) -> int:
    """How many of the dates are among the last `length` ones up to today."""
    return sum(today - timedelta(length - 1) <= day <= today for day in dates)
