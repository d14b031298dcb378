"""Rules of a mean that rose or fell against the same hour of last week."""

from __future__ import annotations

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import Growth, MeanChanged


def rules(shape: MeanChanged, source: Source) -> list[Recording | Alert]:
    """The standard error of a mean, from the coefficient of variation of single items."""
    numbers = Numbers(shape, source, shape.items.label_names())
    items, mean = shape.items.name, f"mean_{shape.unit}"
    count, count_then = numbers.of(items), numbers.of(f"{items}_last_week")
    now, then = numbers.of(mean), numbers.of(f"{mean}_last_week")
    variation, change = shape.variation, shape.change
    rose = isinstance(change, Growth)
    moved, difference = ("risen", f"{now} - {then}") if rose else ("fallen", f"{then} - {now}")
    limit = change.above if isinstance(change, Growth) else change.below
    margin = f"{source.alerts.standard_errors:g} * {variation:g} * {limit:g} / sqrt({count})"
    if isinstance(change, Growth):
        changed, beyond = f"{now} > {1 + change.rise:g} * {then}", f"{now} - {margin} > {limit:g}"
    else:
        changed, beyond = f"{now} < {1 - change.drop:g} * {then}", f"{now} + {margin} < {limit:g}"
    return [
        numbers.amount(shape.items),
        numbers.record(mean, _mean(shape, source, count), "The mean over them."),
        numbers.last_week(items, "How many, on average over the hour around this time last week."),
        numbers.last_week(mean, "And the mean then."),
        numbers.record(
            "standard_errors",
            f"({difference})\n/ ({variation:g} * {then} * sqrt(1 / {count} + 1 / {count_then}))",
            f"""
            By how many standard errors it has {moved}; an item's standard deviation is taken as {variation:g} times the
            mean.""",
        ),
        numbers.alert(
            numbers.condition(
                now,
                changed=changed,
                usual=then,
                beyond=beyond,
                enough=f"{count} >= {shape.least}",
            ),
            f"""
            {moved.capitalize()} by enough, and not by chance; in the first week, without a last one,
            {"above" if rose else "below"} a fixed mean; and judged by enough {items}.""",
            f"{mean}_last_week",
            "humanizeDuration" if shape.unit == "seconds" else "humanize",
        ),
    ]


def _mean(shape: MeanChanged, source: Source, count: str) -> str:
    mean = source.shown(shape.mean)
    if shape.over is None:
        return f"{mean}\nand ({count} > 0)"
    return f"{mean}\n* {source.shown(shape.over)}\n/ ({count} > 0)"
