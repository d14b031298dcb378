"""Rules of a mean that rose or fell against the same hour of last week."""

from __future__ import annotations

from collections.abc import Iterator

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import Fall, Growth, Loss, MeanChanged, Series


def rules(shape: MeanChanged, source: Source) -> list[Recording | Alert]:
    """The standard error of a mean, from the coefficient of variation of single items or as it is published."""
    numbers = Numbers(shape, source, shape.items.label_names())
    items, mean = shape.items.name, f"mean_{shape.unit}"
    count, now, then = numbers.of(items), numbers.of(mean), numbers.of(f"{mean}_last_week")
    rose = isinstance(shape.change, Growth)
    changed, beyond = _conditions(shape.change, now, then, _margin(numbers, shape))
    return [
        numbers.amount(shape.items),
        numbers.record(mean, _mean(shape, source, count), "The mean over them."),
        numbers.last_week(items, "How many, on average over the hour around this time last week."),
        numbers.last_week(mean, "And the mean then."),
        *_errors(numbers, shape),
        numbers.alert(
            numbers.condition(
                now,
                changed=changed,
                usual=then,
                beyond=beyond,
                enough=f"{count} >= {shape.least}",
            ),
            f"""
            {"Risen" if rose else "Fallen"} by enough, and not by chance; in the first week, without a last one,
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


def _errors(numbers: Numbers, shape: MeanChanged) -> Iterator[Recording]:
    items, mean = shape.items.name, f"mean_{shape.unit}"
    count, count_then = numbers.of(items), numbers.of(f"{items}_last_week")
    now, then = numbers.of(mean), numbers.of(f"{mean}_last_week")
    rose = isinstance(shape.change, Growth)
    difference, moved = (f"{now} - {then}", "risen") if rose else (f"{then} - {now}", "fallen")
    error, pooled = f"error_{shape.unit}", numbers.of("pooled_variance")
    if isinstance(shape.variation, Series):
        published = f"{numbers.source.shown(shape.variation)}\nand ({count} > 0)"
        yield numbers.record(error, published, "Its standard error.")
        yield numbers.last_week(error, "And that of the mean then.")
        yield numbers.record(
            "pooled_variance",
            f"""
            ({_squares(numbers, error, count)} + {_squares(numbers, f"{error}_last_week", count_then)})
            / ({count} + {count_then})
            + {count} * {count_then}
            / ({count} + {count_then}) ^ 2 * ({now} - {then}) ^ 2""",
            "The variance of the items of both together, as if nothing had changed: within each, between their means.",
        )
        deviation = f"sqrt({pooled})"
        about = "from the variance of the items of both."
    else:
        deviation = f"{shape.variation:g} * {then}"
        about = f"an item's standard deviation is taken as {shape.variation:g} times the\nmean."
    yield numbers.record(
        "standard_errors",
        f"({difference})\n/ ({deviation} * sqrt(1 / {count} + 1 / {count_then}))",
        f"By how many standard errors it has {moved}; {about}",
    )


def _squares(numbers: Numbers, error: str, count: str) -> str:
    """Squared deviations from the mean, in sum: its error is sqrt(variance / count)."""
    return f"({numbers.of(error)} * {count}) ^ 2"


def _margin(numbers: Numbers, shape: MeanChanged) -> str:
    """How far a mean must be beyond its fixed limit, so that it is not there by chance."""
    errors = f"{numbers.source.alerts.standard_errors:g}"
    if isinstance(shape.variation, Series):
        return f"{errors} * {numbers.of(f'error_{shape.unit}')}"
    limit = shape.change.above if isinstance(shape.change, Growth) else shape.change.below
    return f"{errors} * {shape.variation:g} * {limit:g} / sqrt({numbers.of(shape.items.name)})"


def _conditions(change: Growth | Fall | Loss, now: str, then: str, margin: str) -> tuple[str, str]:
    """That the mean has changed by enough; and that it is beyond its fixed limit."""
    if isinstance(change, Growth):
        return f"{now} > {1 + change.rise:g} * {then}", f"{now} - {margin} > {change.above:g}"
    least = f"{1 - change.drop:g} * {then}" if isinstance(change, Fall) else f"{then} - {change.amount:g}"
    return f"{now} < {least}", f"{now} + {margin} < {change.below:g}"
