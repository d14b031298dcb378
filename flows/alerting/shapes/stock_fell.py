"""Rules of a stock that loses a larger share than in the trailing time."""

from __future__ import annotations

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import AT_LEAST, Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import StockFell


def rules(shape: StockFell, source: Source) -> list[Recording | Alert]:
    """The distance from the trailing mean, in standard deviations of the trailing windows."""
    numbers = Numbers(shape, source, shape.stock.label_names())
    lost = shape.lost.name
    share, mean = f"{lost}_ratio", f"{lost}_trailing_mean"
    stock, loss, ratio, usual = numbers.of(shape.stock.name), numbers.of(lost), numbers.of(share), numbers.of(mean)
    return [
        numbers.amount(shape.stock),
        numbers.amount(shape.lost),
        numbers.record(share, f"{loss} / ({stock} + {loss} > 0)", "As a share of what it was before."),
        numbers.record(
            mean,
            numbers.trailing_mean(share, shape.window_ms),
            f"What is usual; below 0 where it grows. Once a {AT_LEAST}th of the trailing time has passed.",
        ),
        numbers.record(
            "standard_errors",
            f"({ratio} - {usual})\n/ {numbers.trailing('stddev_over_time', share, shape.window_ms)}",
            "How many standard deviations of the trailing time that is away from its mean.",
        ),
        numbers.alert(
            numbers.condition(
                ratio,
                changed=f"{ratio} > {shape.loss:g}",
                usual=usual,
                beyond=f"{ratio} > {shape.static_loss:g}",
                enough=f"{loss} >= {shape.least} * {stock} / on (product) ({source.shown(shape.holders)} > 0)",
            ),
            """
            A share that matters, and beyond what is usual; while there is little to compare with, a larger share; and
            more than a few holders have.""",
            mean,
            "humanizePercentage",
            when="Usual",
            sure="standard deviations",
        ),
    ]
