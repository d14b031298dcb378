"""METRICS.md 3.5 and 5.5: who is new, alive, churned and back, from the gaps between each user's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flows.audit.cells import Cells, by_user, groups, long_windows, put_ratio, windows
from flows.audit.clock import ordered_window_holds
from flows.audit.records import Event
from flows.config.model import Config


@dataclass(frozen=True)
class Passage:
    """One user is new, resurrected or churned."""

    at: int  # ms
    values: Mapping[str, str]  # breakdown -> label: of the event of the transition, of a churn those of the last event
    came_at: int  # when the user was last new or resurrected, ms


@dataclass
class Lifecycle:
    """All transitions since the beginning, and how many users are alive now."""

    new: list[Passage] = field(default_factory=list)
    resurrected: list[Passage] = field(default_factory=list)
    churned: list[Passage] = field(default_factory=list)
    alive: int = 0


def lifecycle_of(ordered: list[Event], config: Config, watermark_ms: int) -> Lifecycle:
    """METRICS.md 3.5: "a user with no event for longer is churned, at `last event + churn_after`, once `W` is
    beyond that. `users.alive`; in the window: `users.new.<w>` (first event ever known),
    `users.resurrected.<w>` (an event after having churned), `users.churned.<w>`." Every event that shows presence is
    activity, of any kind.
    """
    lifecycle = Lifecycle()
    for events in by_user(event for event in ordered if event.shows_presence).values():
        came_at = events[0].ts
        lifecycle.new.append(Passage(came_at, events[0].values, came_at))
        for last, following in zip(events, [*events[1:], None], strict=True):
            churns_at = last.ts + config.churn_after
            if following is None and watermark_ms <= churns_at:
                lifecycle.alive += 1
            elif following is None or following.ts > churns_at:
                lifecycle.churned.append(Passage(churns_at, last.values, came_at))
                if following is not None:
                    came_at = following.ts
                    lifecycle.resurrected.append(Passage(came_at, following.values, came_at))
    return lifecycle


def lifecycle_cells(lifecycle: Lifecycle, config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 5: "`churned_inside.<w>` counts those who came and went within the window ...; `user_churn_rate.<w>`
    = (churned - churned_inside) / there at the start, ... absent unless more than 0 were there at the start"; 5.5:
    "`user_retention_rate.<w>`, `user_quick_ratio.<l>` = (new + resurrected) / churned". 3.5: "Panes of these windows
    apply to the time of the transition."
    """
    cells: Cells = {
        "users.alive": lifecycle.alive,
        "users.known": len(lifecycle.new),
        "users.evicted": 0,
    }
    every = {"new": lifecycle.new, "resurrected": lifecycle.resurrected, "churned": lifecycle.churned}
    for window_name, window in windows(config):
        for kind, passages in every.items():
            held = [passage for passage in passages if ordered_window_holds(passage.at, window, watermark_ms)]
            for suffix, some in groups(held, lambda passage: passage.values, config, "users"):
                at = f"{window_name}{suffix}"
                cells[f"users.{kind}.{at}"] = len(some)
                if kind == "churned":
                    inside = [one for one in some if ordered_window_holds(one.came_at, window, watermark_ms)]
                    cells[f"users.churned_inside.{at}"] = len(inside)
        put_rates(cells, window_name)
    for window_name, _ in long_windows(config):
        for suffix, _ in groups(list[Passage](), lambda passage: passage.values, config, "users"):
            at = f"{window_name}{suffix}"
            gained = int(cells[f"users.new.{at}"]) + int(cells[f"users.resurrected.{at}"])
            put_ratio(cells, f"user_quick_ratio.{at}", gained, int(cells[f"users.churned.{at}"]))
    put_shares(cells, config)
    return cells


def put_shares(cells: Cells, config: Config) -> None:
    """METRICS.md 5.7: "Derived `referral_share.<l>`, `paid_share.<l>` of new users, where there is such a breakdown";
    of several the first by name.
    """
    of_users = [name for name, one in config.breakdowns.items() if one.computed and "users" in one.of]
    for name in of_users[:1]:
        for window, _ in long_windows(config):
            by = {way: int(cells[f"users.new.{window}{{{name}={way}}}"]) for way in config.breakdowns[name].labels()}
            paid = sum(count for way, count in by.items() if way in ("paid", "display") or way.startswith("paid_"))
            new = int(cells[f"users.new.{window}"])
            put_ratio(cells, f"referral_share.{window}", by["referral"], new)
            put_ratio(cells, f"paid_share.{window}", paid, new)


def put_rates(cells: Cells, at: str) -> None:
    """Of everybody who was alive at the start of the window."""
    kinds = ("new", "resurrected", "churned", "churned_inside")
    new, resurrected, churned, inside = (int(cells[f"users.{kind}.{at}"]) for kind in kinds)
    alive_at_start = int(cells["users.alive"]) - new - resurrected + churned
    if alive_at_start > 0:
        put_ratio(cells, f"user_churn_rate.{at}", churned - inside, alive_at_start)
        put_ratio(cells, f"user_retention_rate.{at}", alive_at_start - (churned - inside), alive_at_start)
