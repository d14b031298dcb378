"""What is published of the lifecycle, by name, and the counters that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flows.config.model import Config
from flows.metrics.cells import Metric
from flows.metrics.formulas import user_churn_rate, user_quick_ratio, user_retention_rate
from flows.metrics.rows import Block, Count, Formula

PANEL: Final = "Lifecycle"
NEW, RESURRECTED, LOST, LOST_INSIDE = range(4)
"""Counters of a group, in the order of MOVES."""

ALIVE_USERS = Metric("users.alive", "Known users who have not churned.", "users", PANEL, "users_alive")
KNOWN_USERS = Metric("users.known", "Users ever seen, minus evicted users.", "users", PANEL, "users_known")
EVICTED_USERS = Metric(
    "users.evicted", "Known users forgotten because of the limit users_per_shard.", "users", PANEL, "users_evicted"
)
MOVES = {
    "new": Metric("users.new", "Users whose first event ever is in the window.", "users", PANEL, "window_users"),
    "resurrected": Metric(
        "users.resurrected", "Users who came back after they had churned.", "users", PANEL, "window_users"
    ),
    "churned": Metric(
        "users.churned", "Users who passed churn_after without an event.", "users", PANEL, "window_users"
    ),
    "churned_inside": Metric(
        "users.churned_inside",
        "Users who came and churned within the window, counted when they came.",
        "users",
        PANEL,
        "window_users",
    ),
}
CHURN_RATE = Metric(
    "user_churn_rate",
    "Of the users alive at the window's start, the share that churned.",
    "ratio",
    PANEL,
    "user_churn_ratio",
)
RETENTION_RATE = Metric(
    "user_retention_rate",
    "Of the users alive at the window's start, the share that did not churn.",
    "ratio",
    PANEL,
    "user_retention_ratio",
)
QUICK_RATIO = Metric(
    "user_quick_ratio",
    "Users gained (new and back) over users lost in the window; below 1 the product shrinks.",
    "users gained per user lost",
    PANEL,
    "user_quick_ratio",
)


def blocks_of(config: Config, groups: Sequence[Mapping[str, str]]) -> list[Block]:
    """The vector of a shard, as `Lifecycle.read()` gives it."""
    moves = [Count(metric, labels={"transition": transition}) for transition, metric in MOVES.items()]
    return [
        Block([Count(ALIVE_USERS), Count(KNOWN_USERS), Count(EVICTED_USERS)]),
        Block(moves, config.windows, groups),
    ]


def formulas_of(config: Config) -> list[Formula]:
    """Numbers derived from sums over shards."""
    of_the_start = ("users.churned", "users.alive", "users.new", "users.resurrected", "users.churned_inside")
    return [
        Formula(CHURN_RATE, of_the_start, user_churn_rate, total_only=True),
        Formula(RETENTION_RATE, of_the_start, user_retention_rate, total_only=True),
        Formula(
            QUICK_RATIO,
            ("users.new", "users.resurrected", "users.churned"),
            user_quick_ratio,
            windows=config.long_windows,
        ),
    ]
