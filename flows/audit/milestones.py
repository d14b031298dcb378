"""METRICS.md 5.2: milestones, by walking each user's sorted events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flows.audit.cells import (
    QUANTILES,
    Cells,
    by_user,
    cumulative,
    groups,
    long_windows,
    put_quantile,
    put_ratio,
    windows,
)
from flows.audit.clock import ordered_window_holds, pane
from flows.audit.records import Event
from flows.audit.selectors import chosen
from flows.audit.survival import kaplan_meier
from flows.config.model import Config, Milestone

BOUNDS = (60, 300, 900, 3600, 21600, 86400, 259200, 604800, 1209600, 2592000)


@dataclass
class Start:
    """One user who has started, and when the milestone was reached in time."""

    at: int  # ms
    values: Mapping[str, str]  # of the event that started
    reached_at: int | None = None


def all_starts(ordered: list[Event], milestone: Milestone) -> list[Start]:
    """METRICS.md 5.2: "A user *starts* once, at the first `from` event ever (`first_seen`: the first event on time
    that shows presence), and *reaches* it with the first `to` event after that, at most `within` later (exactly
    `within` is in time; with `first_seen` the same event may be both, at 0 ms)." "Whatever comes later changes
    nothing."
    """
    starts = []
    for events in by_user(ordered).values():
        if milestone.from_first_seen:
            begins = [event.shows_presence for event in events]
        else:
            begins = [chosen(milestone.from_, event) for event in events]
        if True not in begins:
            continue
        place = begins.index(True)
        start = Start(events[place].ts, events[place].values)
        starts.append(start)
        candidates = events[place:] if milestone.from_first_seen else events[place + 1 :]
        first = next((event for event in candidates if chosen(milestone.to, event)), None)
        if first is not None and first.ts <= start.at + milestone.within:
            start.reached_at = first.ts
    return starts


def milestone_cells(
    name: str, milestone: Milestone, every_start: list[Start], config: Config, watermark_ms: int
) -> Cells:
    """METRICS.md 5.2: "By start time: `milestone.<name>.started.<w>`, `.reached.<w>`, `.pending.<w>`, `.missed.<w>`."
    "*missed*, once `W > start + within`; until then *pending*." "Time to reach: `.reach_ms.<w>` (sum),
    `.reach_le_<bound>.<w>`; derived `milestone_time_mean|p50|p90.<name>.<w>`."
    """
    cells: Cells = {}
    stem = f"milestone.{name}"
    for suffix, starts in groups(every_start, lambda start: start.values, config, "milestones"):
        for window_name, window in windows(config):
            at = f"{window_name}{suffix}"
            started = [start for start in starts if ordered_window_holds(start.at, window, watermark_ms)]
            waiting = [start for start in started if start.reached_at is None]
            missed = [start for start in waiting if watermark_ms > start.at + milestone.within]
            times = [start.reached_at - start.at for start in started if start.reached_at is not None]
            cells[f"{stem}.started.{at}"] = len(started)
            cells[f"{stem}.reached.{at}"] = len(times)
            cells[f"{stem}.pending.{at}"] = len(waiting) - len(missed)
            cells[f"{stem}.missed.{at}"] = len(missed)
            cells[f"{stem}.reach_ms.{at}"] = sum(times)
            buckets = cumulative(times, BOUNDS)
            for bound, count in zip(BOUNDS, buckets, strict=True):
                cells[f"{stem}.reach_le_{bound}.{at}"] = count
            put_ratio(cells, f"milestone_time_mean.{name}.{at}", sum(times), len(times))
            for quantile_name, quantile in QUANTILES.items():
                place = f"milestone_time_{quantile_name}.{name}.{at}"
                put_quantile(cells, place, quantile, buckets, len(times), BOUNDS)
        for window_name, window in long_windows(config):
            put_matured(cells, name, milestone, f"{window_name}{suffix}", starts, window, watermark_ms)
        live = kaplan_meier([(start.at, start.reached_at) for start in starts], milestone.within, watermark_ms)
        if live is not None:
            cells[f"milestone_rate_live.{name}{suffix}"], cells[f"milestone_rate_live_se.{name}{suffix}"] = live
    return cells


def put_matured(
    cells: Cells, name: str, milestone: Milestone, at: str, starts: list[Start], window: int, watermark_ms: int
) -> None:
    """METRICS.md 5.2: "`milestone.<name>.matured.<l>`, `.matured_reached.<l>`: of the users who started in the window
    as it stood at `W - within`, before `W - within` strictly."
    """
    then = watermark_ms - milestone.within
    matured = [start for start in starts if start.at < then and pane(start.at, window) > pane(then, window) - 60]
    reached = sum(start.reached_at is not None for start in matured)
    cells[f"milestone.{name}.matured.{at}"] = len(matured)
    cells[f"milestone.{name}.matured_reached.{at}"] = reached
    put_ratio(cells, f"milestone_rate.{name}.{at}", reached, len(matured))
