"""Rules of a count that fell below the same hour of the last two weeks."""

from __future__ import annotations

from typing import Final

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import CountFell

USUAL_IN_A_DAY: Final = 10
"""In the first week, how many times `least` the last day's mean must be: that day had other hours than this one."""


def rules(shape: CountFell, source: Source) -> list[Recording | Alert]:
    """Anscombe's transform, with the dispersion of the hour that is compared with."""
    numbers = Numbers(shape, source, shape.counts[0].label_names())
    count = shape.counts[0].name
    now, then, usual = numbers.of(count), numbers.of("last_week"), numbers.of("same_hour")
    return [
        *map(numbers.amount, shape.counts),
        numbers.record(
            "same_hour",
            numbers.same_hour("avg_over_time", count),
            "On average over the hour around this time last week.",
        ),
        numbers.record(
            "last_week",
            numbers.least_of_weeks(count),
            """
            What is usual: that, or the same of the week before where it was less. So a surge makes no drop of the same
            hour a week later.""",
        ),
        numbers.dispersion(numbers.same_hour("stddev_over_time", count), usual, "hour"),
        numbers.counts_apart(then, now, 1 / source.windows_in_hour(shape.window_ms), "fallen"),
        numbers.alert(
            numbers.condition(
                now,
                changed=f"{now} < {1 - shape.drop:g} * ({then} >= {shape.least})",
                usual=then,
                beyond=(
                    f"{now} < {shape.below}\n"
                    f"and avg_over_time({now}[{source.last_day()}]) >= {USUAL_IN_A_DAY * shape.least}"
                ),
            ),
            """
            Fallen by enough, and not by chance, from enough; in the first week nearly to nothing, where ten times as
            many were usual in the last day.""",
            "last_week",
            "humanize",
        ),
    ]
