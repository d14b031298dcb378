"""What is published of a funnel, by name, and the counters that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from flows.config.model import Config, Funnel
from flows.metrics.cells import Metric
from flows.metrics.formulas import ratio, shortfall
from flows.metrics.histograms import BOUNDS_S, Durations
from flows.metrics.rows import Block, Count, Formula
from flows.metrics.survival import age_rows, estimate

CONVERTED, IN_PROGRESS, DROPPED, CONVERT_MS, BUCKETS = range(5)
OUTCOMES: Final = BUCKETS + len(BOUNDS_S)
"""Counters of a group: attempts by step reached come first, as many as the funnel has, then these many."""
EXCLUDED: Final = OUTCOMES
"""One more, where the funnel has exclusions."""
ENTERED, COMPLETED = range(2)  # counters of matured attempts

STEP = Metric(
    "funnel.<name>.<nn_step>",
    "Attempts entered in the window that reached the step.",
    "attempts",
    "Funnels",
    "funnel_attempts",
)
STATES = {
    "converted": Metric(
        "funnel.<name>.converted",
        "Attempts entered in the window that reached the last step.",
        "attempts",
        "Funnels",
        "funnel_attempts_by_state",
    ),
    "in_progress": Metric(
        "funnel.<name>.in_progress",
        "Attempts entered in the window that are still in progress.",
        "attempts",
        "Funnels",
        "funnel_attempts_by_state",
    ),
    "dropped": Metric(
        "funnel.<name>.dropped",
        "Attempts entered in the window that ran out of time, or with `order: strict` left the way.",
        "attempts",
        "Funnels",
        "funnel_attempts_by_state",
    ),
}
EXCLUDED_STATE = Metric(
    "funnel.<name>.excluded",
    "Attempts entered in the window that an event of the funnel's `exclude` has ended.",
    "attempts",
    "Funnels",
    "funnel_attempts_by_state",
)
CONVERT_SUM = Metric("funnel.<name>.convert_ms", "Sum of the times from entry to the last step.", "ms", "Funnels")
CONVERT_LE = Metric(
    "funnel.<name>.convert_le_<bound>",
    "Attempts that converted within at most <bound> seconds.",
    "attempts",
    "Funnels",
)
CONVERT_MEAN = Metric(
    "funnel.<name>.convert_mean",
    "Mean time from entry to the last step.",
    "ms",
    "Funnels",
    "funnel_convert_mean_seconds",
    0.001,
)
CONVERT_QUANTILE = Metric(
    "funnel.<name>.convert_<quantile>",
    "Quantile of the time from entry to the last step.",
    "ms",
    "Funnels",
    "funnel_convert_quantile_seconds",
    0.001,
)
DROP_OFF = Metric(
    "funnel.<name>.drop_off_<nn>",
    "Share of the attempts at the previous step that did not reach step <nn>.",
    "ratio",
    "Funnels",
    "funnel_drop_off_ratio",
)
MATURED = Metric(
    "funnel.<name>.matured",
    "Matured attempts: those entered in the window as of one funnel window ago.",
    "attempts",
    "Funnels",
    "funnel_matured_attempts",
)
MATURED_CONVERTED = Metric(
    "funnel.<name>.matured_converted",
    "Matured attempts that converted.",
    "attempts",
    "Funnels",
    "funnel_matured_converted",
)
CONVERSION = Metric(
    "funnel.<name>.conversion_matured",
    "Converted over entered, of the matured attempts.",
    "ratio",
    "Funnels",
    "funnel_conversion_ratio",
)
CONVERSION_LIVE = Metric(
    "funnel.<name>.conversion_live",
    "Kaplan-Meier estimate of the conversion of the attempts in progress.",
    "ratio",
    "Funnels",
    "funnel_conversion_ratio",
)
CONVERSION_LIVE_SE = Metric(
    "funnel.<name>.conversion_live_se",
    "Standard error of the live conversion (Greenwood).",
    "ratio",
    "Funnels",
    "funnel_conversion_standard_error",
)


def counters_of(funnel: Funnel) -> int:
    """How many counters a group has in a window."""
    return len(funnel.steps) + OUTCOMES + bool(funnel.exclude)


def blocks_of(config: Config, name: str, groups: Sequence[Mapping[str, str]]) -> list[Block]:
    """The vector of a shard, as `Funnel.read()` gives it."""
    stem, funnel = f"funnel.{name}", {"funnel": name}
    windowed = [
        *(Count(STEP, f"{stem}.{step}", {"step": step}) for step in config.funnels[name].step_names()),
        *(Count(metric, f"{stem}.{state}", {"state": state}) for state, metric in STATES.items()),
        Count(CONVERT_SUM, f"{stem}.convert_ms"),
        *_durations(stem).counts(),
    ]
    if config.funnels[name].exclude:
        windowed.append(Count(EXCLUDED_STATE, f"{stem}.excluded", {"state": "excluded"}))
    matured = [Count(MATURED, f"{stem}.matured"), Count(MATURED_CONVERTED, f"{stem}.matured_converted")]
    return [
        Block(_labelled(windowed, funnel), config.windows, groups),
        Block(_labelled(matured, funnel), config.ratio_windows, groups),
        Block(age_rows(stem), groups=groups),
    ]


def formulas_of(config: Config, name: str) -> list[Formula]:
    """Numbers derived from sums over shards."""
    stem, windows = f"funnel.{name}", config.ratio_windows
    steps = config.funnels[name].step_names()
    found = [
        *(
            Formula(
                DROP_OFF,
                (f"{stem}.{step}", f"{stem}.{before}"),
                shortfall,
                f"{stem}.drop_off_{number:02d}",
                {"step": step},
                windows,
            )
            for number, (before, step) in enumerate(pairwise(steps), start=2)
        ),
        *_durations(stem).formulas(windows),
        Formula(
            CONVERSION,
            (f"{stem}.matured_converted", f"{stem}.matured"),
            ratio,
            f"{stem}.conversion_matured",
            {"kind": "matured"},
            windows,
        ),
        *estimate(
            stem,
            (CONVERSION_LIVE, f"{stem}.conversion_live"),
            (CONVERSION_LIVE_SE, f"{stem}.conversion_live_se"),
            {"kind": "live"},
        ),
    ]
    return [replace(formula, labels={"funnel": name, **formula.labels}) for formula in found]


def _labelled(rows: Sequence[Count], labels: Mapping[str, str]) -> list[Count]:
    return [replace(row, labels={**labels, **row.labels}) for row in rows]


def _durations(stem: str) -> Durations:
    return Durations(
        count=f"{stem}.converted",
        sum_ms=f"{stem}.convert_ms",
        below=f"{stem}.convert_le_{{}}",
        below_metric=CONVERT_LE,
        mean=CONVERT_MEAN,
        mean_stem=f"{stem}.convert_mean",
        quantile=CONVERT_QUANTILE,
        quantile_stem=f"{stem}.convert_{{}}",
    )
