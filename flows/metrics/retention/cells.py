"""What is published of retention, by name, and the counters that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from flows.config.model import Config, Retention
from flows.metrics.cells import Metric
from flows.metrics.formulas import ratio
from flows.metrics.rows import Block, Count, Formula

PANEL: Final = "Retention"
COHORT, RETURNED, RETURNED_LATER = range(3)
"""Counters of a group and day."""
FIELDS: Final = 3

STATES = {
    "cohort": Metric(
        "retention.d<N>.cohort",
        "Users who started in the window as of N + 1 days ago: their day N is over.",
        "users",
        PANEL,
        "retention_users",
    ),
    "returned": Metric(
        "retention.d<N>.returned", "Of these users, those who returned on day N.", "users", PANEL, "retention_users"
    ),
    "returned_later": Metric(
        "retention.d<N>.returned_later",
        "Of these users, those who have returned on day N or later.",
        "users",
        PANEL,
        "retention_users",
    ),
}
RATE = Metric("retention_rate.d<N>", "Share of the users who returned on day N.", "ratio", PANEL, "retention_ratio")
RATE_OR_LATER = Metric(
    "retention_rate_or_later.d<N>",
    "Share of the users who have returned on day N or later.",
    "ratio",
    PANEL,
    "retention_ratio",
)


def blocks_of(config: Config, section: Retention, groups: Sequence[Mapping[str, str]]) -> list[Block]:
    """The vector of a shard, as `Retained.read()` gives it."""
    return [
        Block(
            [Count(metric, f"retention.d{day}.{state}", _labels(day, state)) for state, metric in STATES.items()],
            config.long_windows,
            groups,
        )
        for day in section.days
    ]


def formulas_of(section: Retention) -> Iterator[Formula]:
    """Numbers derived from sums over shards."""
    for day in section.days:
        stem = f"retention.d{day}"
        for metric, state, name in ((RATE, "returned", "rate"), (RATE_OR_LATER, "returned_later", "rate_or_later")):
            operands = (f"{stem}.{state}", f"{stem}.cohort")
            yield Formula(metric, operands, ratio, f"retention_{name}.d{day}", _labels(day, state))


def _labels(day: int, state: str) -> dict[str, str]:
    return {"day": str(day), "state": state}
