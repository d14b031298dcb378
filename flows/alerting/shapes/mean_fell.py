"""Rules of a mean that fell below the same hour of last week."""

from __future__ import annotations

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import MeanFell


def rules(shape: MeanFell, source: Source) -> list[Recording | Alert]:
    """The standard error of a mean, from the coefficient of variation of single items."""
    numbers = Numbers(shape, source, shape.items.label_names())
    items, mean = shape.items.name, f"mean_{shape.unit}"
    count, count_then = numbers.of(items), numbers.of(f"{items}_last_week")
    now, then = numbers.of(mean), numbers.of(f"{mean}_last_week")
    below, errors, variation = shape.below, source.alerts.standard_errors, shape.variation
    return [
        numbers.amount(shape.items),
        numbers.record(mean, _mean(shape, source, count), "The mean over them."),
        numbers.last_week(items, "How many, on average over the hour around this time last week."),
        numbers.last_week(mean, "And the mean then."),
        numbers.record(
            "standard_errors",
            f"({then} - {now})\n/ ({variation:g} * {then} * sqrt(1 / {count} + 1 / {count_then}))",
            f"""
            By how many standard errors it has fallen; one item's standard deviation is taken as {variation:g} times the
            mean.""",
        ),
        numbers.alert(
            numbers.condition(
                now,
                changed=f"{now} < {1 - shape.drop:g} * {then}",
                usual=then,
                beyond=f"{now} + {errors:g} * {variation:g} * {below:g} / sqrt({count}) < {below:g}",
                enough=f"{count} >= {shape.least}",
            ),
            f"""
            Fallen by enough, and not by chance; in the first week, without a last one, below a fixed mean; and judged
            by enough {items}.""",
            f"{mean}_last_week",
            "humanizeDuration" if shape.unit == "seconds" else "humanize",
        ),
    ]


def _mean(shape: MeanFell, source: Source, count: str) -> str:
    mean = source.shown(shape.mean)
    if shape.over is None:
        return f"{mean}\nand ({count} > 0)"
    return f"{mean}\n* {source.shown(shape.over)}\n/ ({count} > 0)"
