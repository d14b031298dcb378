"""What is published of a milestone, by name, and the counters that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from flows.config.model import Config
from flows.metrics.cells import Metric
from flows.metrics.formulas import ratio
from flows.metrics.histograms import LONG_BOUNDS_S, Durations
from flows.metrics.rows import Block, Count, Formula
from flows.metrics.survival import age_rows, estimate

PANEL: Final = "Milestones"
STARTED, REACHED, PENDING, MISSED, REACH_MS, BUCKETS = range(6)
FIELDS: Final = BUCKETS + len(LONG_BOUNDS_S)
"""Counters of a group."""

STATES = {
    "started": Metric(
        "milestone.<name>.started", "Users who started in the window.", "users", PANEL, "milestone_users"
    ),
    "reached": Metric(
        "milestone.<name>.reached",
        "Of the users who started in the window, those who have reached the milestone.",
        "users",
        PANEL,
        "milestone_users",
    ),
    "pending": Metric(
        "milestone.<name>.pending",
        "Of the users who started in the window, those who may yet reach it.",
        "users",
        PANEL,
        "milestone_users",
    ),
    "missed": Metric(
        "milestone.<name>.missed",
        "Of the users who started in the window, those who ran out of time.",
        "users",
        PANEL,
        "milestone_users",
    ),
}
REACH_SUM = Metric("milestone.<name>.reach_ms", "Sum of the times from start to milestone.", "ms", PANEL)
REACH_LE = Metric(
    "milestone.<name>.reach_le_<bound>", "Users who reached it within at most <bound> seconds.", "users", PANEL
)
TIME_MEAN = Metric(
    "milestone_time_mean.<name>",
    "Mean time from start to milestone, of the users who started in the window and have reached it.",
    "ms",
    PANEL,
    "milestone_time_mean_seconds",
    0.001,
)
TIME_QUANTILE = Metric(
    "milestone_time_<quantile>.<name>",
    "Quantile of the time from start to milestone.",
    "ms",
    PANEL,
    "milestone_time_quantile_seconds",
    0.001,
)
MATURED = Metric(
    "milestone.<name>.matured",
    "Users whose time is up: those who started in the window as of `within` ago.",
    "users",
    PANEL,
    "milestone_matured",
)
MATURED_REACHED = Metric(
    "milestone.<name>.matured_reached",
    "Users whose time is up and who have reached the milestone.",
    "users",
    PANEL,
    "milestone_matured_reached",
)
RATE = Metric(
    "milestone_rate.<name>",
    "Share of the users whose time is up who have reached the milestone.",
    "ratio",
    PANEL,
    "milestone_ratio",
)
RATE_LIVE = Metric(
    "milestone_rate_live.<name>",
    "Kaplan-Meier estimate of the share that will reach the milestone, over the users under way.",
    "ratio",
    PANEL,
    "milestone_ratio",
)
RATE_LIVE_SE = Metric(
    "milestone_rate_live_se.<name>",
    "Standard error of the live rate (Greenwood).",
    "ratio",
    PANEL,
    "milestone_standard_error",
)


def blocks_of(config: Config, name: str, groups: Sequence[Mapping[str, str]]) -> list[Block]:
    """The vector of a shard, as `Milestones.read()` gives it."""
    stem = f"milestone.{name}"
    windowed = [
        *(Count(metric, f"{stem}.{state}", {"state": state}) for state, metric in STATES.items()),
        Count(REACH_SUM, f"{stem}.reach_ms"),
        *_durations(name).counts(),
    ]
    matured = [Count(MATURED, f"{stem}.matured"), Count(MATURED_REACHED, f"{stem}.matured_reached")]
    return [
        Block(_labelled(windowed, name), config.windows, groups),
        Block(_labelled(matured, name), config.long_windows, groups),
        Block(age_rows(stem), groups=groups),
    ]


def formulas_of(config: Config, name: str) -> list[Formula]:
    """Numbers derived from sums over shards."""
    stem = f"milestone.{name}"
    found = [
        *_durations(name).formulas(config.windows),
        Formula(
            RATE, (f"{stem}.matured_reached", f"{stem}.matured"), ratio, f"milestone_rate.{name}", {"kind": "matured"}
        ),
        *estimate(
            stem,
            (RATE_LIVE, f"milestone_rate_live.{name}"),
            (RATE_LIVE_SE, f"milestone_rate_live_se.{name}"),
            {"kind": "live"},
        ),
    ]
    return [replace(formula, labels={"milestone": name, **formula.labels}) for formula in found]


def _labelled(rows: Sequence[Count], name: str) -> list[Count]:
    return [replace(row, labels={"milestone": name, **row.labels}) for row in rows]


def _durations(name: str) -> Durations:
    return Durations(
        count=f"milestone.{name}.reached",
        sum_ms=f"milestone.{name}.reach_ms",
        below=f"milestone.{name}.reach_le_{{}}",
        below_metric=REACH_LE,
        mean=TIME_MEAN,
        mean_stem=f"milestone_time_mean.{name}",
        quantile=TIME_QUANTILE,
        quantile_stem=f"milestone_time_{{}}.{name}",
        bounds_s=LONG_BOUNDS_S,
    )
