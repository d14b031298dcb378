"""Rules of an amount that fell below the same hour of last week."""

from __future__ import annotations

from math import sqrt

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.count_fell import USUAL_IN_A_DAY
from flows.alerting.shapes.numbers import Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import AmountFell


def rules(shape: AmountFell, source: Source) -> list[Recording | Alert]:
    """A compound Poisson sum: of n items, each of mean m and coefficient of variation v, it varies by n m^2 (1 + v^2).

    So its relative variance is (1 + v^2) / n, both now and then; n is how many items are usual.
    """
    numbers = Numbers(shape, source, shape.items.label_names())
    items, amount = shape.items.name, shape.amount.name
    now, then = numbers.of(amount), numbers.of(f"{amount}_last_week")
    usual, usual_items = f"{amount}_last_week", numbers.of(f"{items}_last_week")
    spread = sqrt((1 + shape.variation**2) * (1 + 1 / source.windows_in_hour(shape.window_ms)))
    return [
        numbers.amount(shape.items),
        numbers.amount(shape.amount),
        numbers.record(
            f"{items}_last_week",
            numbers.least_of_weeks(items),
            """
            How many, on average over the hour around this time last week, or the week before where that was less. So a
            surge makes no drop of the same hour a week later.""",
        ),
        numbers.record(f"{amount}_last_week", numbers.least_of_weeks(amount), "And the amount then."),
        numbers.record(
            "standard_errors",
            f"({then} - {now})\n/ ({spread:.3g} * {then} / sqrt({usual_items}) > 0)",
            f"""
            By how many standard errors it has fallen, if the items come independently; one's standard deviation is
            taken as {shape.variation:g} times their mean.""",
        ),
        numbers.alert(
            numbers.condition(
                now,
                changed=f"{now} < {1 - shape.drop:g} * {then}\n    and {usual_items} >= {shape.least}",
                usual=then,
                beyond=(
                    f"{now} < {shape.below:g}\n"
                    f"and avg_over_time({numbers.of(items)}[{source.last_day()}]) >= {USUAL_IN_A_DAY * shape.least}"
                ),
            ),
            """
            Fallen by enough, and not by chance, from that of enough items; in the first week nearly to nothing, where
            ten times as many were usual in the last day.""",
            usual,
            "humanize",
        ),
    ]
