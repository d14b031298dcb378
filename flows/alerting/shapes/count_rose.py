"""Rules of a count that rose above the trailing time."""

from __future__ import annotations

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import AT_LEAST, Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import CountRose, ShareOf, label_of


def rules(shape: CountRose, source: Source) -> list[Recording | Alert]:
    """Anscombe's transform, with the dispersion of the trailing time."""
    numbers = Numbers(shape, source, shape.counts[0].label_names())
    count = shape.counts[0].name
    now, mean = numbers.of(count), numbers.of("trailing_mean")
    return [
        *map(numbers.amount, shape.counts),
        numbers.record(
            "trailing_mean",
            numbers.trailing_mean(count, shape.window_ms),
            f"""
            What is usual: the trailing time without the last {label_of(shape.window_ms)}, once a {AT_LEAST}th of it has
            passed.""",
        ),
        numbers.dispersion(numbers.trailing("stddev_over_time", count, shape.window_ms), mean, "time"),
        numbers.counts_apart(now, mean, AT_LEAST * shape.window_ms / source.alerts.trailing, "risen"),
        numbers.alert(
            numbers.condition(
                now,
                changed=f"{now} > {shape.factor:g} * {mean}",
                usual=mean,
                beyond=f"{now} > {_above(shape, source)}",
                enough=f"{now} >= {shape.least}",
            ),
            """
            Risen to a multiple, and not by chance; while there is little to compare with, above a fixed limit; and
            enough of them.""",
            "trailing_mean",
            "humanize",
            when="Usual",
        ),
    ]


def _above(shape: CountRose, source: Source) -> str:
    if isinstance(shape.above, ShareOf):
        return f"on (product) group_left () {shape.above.share:g} * {source.shown(shape.above.whole)}"
    return f"{shape.above}"
