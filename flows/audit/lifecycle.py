"""METRICS.md 3.5: who is new, alive, churned and back, from the gaps between each user's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from flows.audit.cells import Cells, by_user, put_ratio, ratio_windows, windows
from flows.audit.clock import ordered_window_holds
from flows.audit.records import Event
from flows.config.model import Config


@dataclass
class Lifecycle:
    """The times of all transitions since the beginning, and how many users are alive now."""

    new: list[int] = field(default_factory=list)
    resurrected: list[int] = field(default_factory=list)
    churned: list[int] = field(default_factory=list)
    alive: int = 0


def lifecycle_of(ordered: list[Event], config: Config, watermark_ms: int) -> Lifecycle:
    """METRICS.md 3.5: "a user with no event for longer is churned, at `last event + churn_after`, once `W` is
    beyond that. `users.alive`; in the window: `users.new.<w>` (first event ever known),
    `users.resurrected.<w>` (an event after having churned), `users.churned.<w>`." Every event on time that
    shows presence is activity, of any kind.
    """
    lifecycle = Lifecycle()
    for events in by_user(event for event in ordered if event.shows_presence).values():
        times = [event.ts for event in events]
        lifecycle.new.append(times[0])
        for last, following in pairwise(times):
            if following > last + config.churn_after:
                lifecycle.churned.append(last + config.churn_after)
                lifecycle.resurrected.append(following)
        if watermark_ms > times[-1] + config.churn_after:
            lifecycle.churned.append(times[-1] + config.churn_after)
        else:
            lifecycle.alive += 1
    return lifecycle


def lifecycle_cells(lifecycle: Lifecycle, config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 3.5: "Derived `user_churn_rate.<w>` = churned / alive at the window's start = churned /
    (alive - new - resurrected + churned)." "Panes of these windows apply to the time of the transition."
    """
    cells: Cells = {
        "users.alive": lifecycle.alive,
        "users.known": len(lifecycle.new),
        "users.evicted": 0,
    }
    for window_name, window in windows(config):
        new, resurrected, churned = (
            sum(ordered_window_holds(time, window, watermark_ms) for time in times)
            for times in (lifecycle.new, lifecycle.resurrected, lifecycle.churned)
        )
        cells[f"users.new.{window_name}"] = new
        cells[f"users.resurrected.{window_name}"] = resurrected
        cells[f"users.churned.{window_name}"] = churned
        if window_name in ratio_windows(config):
            alive_at_start = lifecycle.alive - new - resurrected + churned
            put_ratio(cells, f"user_churn_rate.{window_name}", churned, alive_at_start)
    return cells
