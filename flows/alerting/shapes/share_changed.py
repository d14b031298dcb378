"""Rules of a share that rose or fell against the same hour of last week."""

from __future__ import annotations

from collections.abc import Iterator

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import Numbers
from flows.alerting.source import Source
from flows.metrics.alerts import Counted, Estimated, Fall, Rise, ShareChanged


def rules(shape: ShareChanged, source: Source) -> list[Recording | Alert]:
    """The two-proportion z-test of a counted share; the errors of both estimates of an estimated one."""
    numbers = Numbers(shape, source, shape.share.label_names())
    if isinstance(shape.share, Counted):
        recorded, whole = _z_test(numbers, shape.change, shape.share), shape.share.whole.name
    else:
        recorded, whole = _estimates(numbers, shape.change, shape.share), shape.share.whole[0].name
    rose = isinstance(shape.change, Rise)
    return [
        *recorded,
        numbers.alert(
            "\nor\n".join(_branches(numbers, shape, whole)),
            f"""
            {"Risen" if rose else "Fallen"} by enough, and not by chance; in the first week, without a last one,
            {"above" if rose else "below"} a fixed share; and judged by enough ({whole}).""",
            "ratio_last_week",
            "humanizePercentage",
        ),
    ]


def _z_test(numbers: Numbers, change: Rise | Fall, share: Counted) -> Iterator[Recording]:
    windows = f"{numbers.source.windows_in_hour(share.window_ms):g}"
    part, whole = share.part.name, share.whole.name
    now, then = numbers.of(whole), numbers.of(f"{whole}_last_week")
    part_now, part_then = numbers.of(part), numbers.of(f"{part}_last_week")
    pooled = numbers.of("ratio_pooled")
    yield numbers.amount(share.whole)
    yield numbers.amount(share.part)
    yield numbers.last_week(whole, "The same, on average over the hour around this time last week.")
    yield numbers.last_week(part, f"Of those, {part}.")
    yield numbers.record("ratio", f"{part_now} / ({now} > 0)", f"The share: {part} of {whole}.")
    yield numbers.record("ratio_last_week", f"{part_then} / ({then} > 0)", "And that of last week.")
    yield numbers.record(
        "ratio_pooled",
        f"({part_now} + {windows} * {part_then})\n/ ({now} + {windows} * {then})",
        f"The share of both together, as if nothing had changed. Windows that this hour is worth: {windows}.",
    )
    yield numbers.record(
        "standard_errors",
        f"""
        {_difference(numbers, change)}
        / sqrt(
          {pooled} * (1 - {pooled})
          * (1 / {now} + 1 / ({windows} * {then}))
        )""",
        f"Two-proportion z-test: how many standard errors the share has {_moved(change)}.",
    )


def _estimates(numbers: Numbers, change: Rise | Fall, share: Estimated) -> Iterator[Recording]:
    fresh, shown = numbers.source.fresh, numbers.source.shown
    then, usual = numbers.of("ratio_last_week"), numbers.of("usual_variance")
    yield numbers.record("ratio", fresh(f"  {shown(share.ratio)}"), "The estimate.")
    yield numbers.record("error", fresh(f"  {shown(share.error)}"), "Its standard error (Kaplan-Meier: Greenwood's).")
    yield from map(numbers.amount, share.whole)
    yield numbers.last_week("ratio", "On average over the hour around this time last week.")
    yield numbers.last_week(
        "error", "Estimates of one hour share most of their attempts, so their mean is hardly better than one of them."
    )
    yield numbers.record(
        "usual_variance",
        f"{then} * (1 - {then})\n/ ({numbers.of(share.whole[0].name)} > 0)",
        "The variance that last week's share would have with so many.",
    )
    yield numbers.record(
        "variance",
        f"({numbers.of('error')} ^ 2 > {usual})\nor\n{usual}",
        "That, or the estimate's own where it is larger. Its own is 0 when nobody gets through.",
    )
    yield numbers.record(
        "standard_errors",
        f"{_difference(numbers, change)}\n/ sqrt({numbers.of('variance')} + {numbers.of('error_last_week')} ^ 2)",
        f"How many standard errors the share has {_moved(change)}.",
    )


def _difference(numbers: Numbers, change: Rise | Fall) -> str:
    now, then = numbers.of("ratio"), numbers.of("ratio_last_week")
    return f"({now} - {then})" if isinstance(change, Rise) else f"({then} - {now})"


def _moved(change: Rise | Fall) -> str:
    return "risen" if isinstance(change, Rise) else "fallen"


def _branches(numbers: Numbers, shape: ShareChanged, whole: str) -> Iterator[str]:
    """The condition for all that have no limits of their own, then for each that has."""
    if not shape.apart:
        yield _branch(numbers, shape.change, shape.least, whole, "")
        return
    (label,) = numbers.labels
    yield _branch(numbers, shape.change, shape.least, whole, f'{label}!~"{"|".join(shape.apart)}"')
    for value, (change, least) in shape.apart.items():
        yield _branch(numbers, change, least, whole, f'{label}="{value}"')


def _branch(numbers: Numbers, change: Rise | Fall, least: int, whole: str, matchers: str) -> str:
    ratio, then = numbers.of("ratio", matchers), numbers.of("ratio_last_week", matchers)
    judged = numbers.of(whole, matchers)
    limit = change.above if isinstance(change, Rise) else change.below
    margin = f"{numbers.source.alerts.standard_errors:g} * sqrt({limit:g} * (1 - {limit:g}) / {judged})"
    if isinstance(change, Rise):
        changed, beyond = f"{ratio} - {then} > {change.points:g}", f"{ratio} - {margin} > {limit:g}"
    else:
        changed, beyond = f"{ratio} < {1 - change.drop:g} * {then}", f"{ratio} + {margin} < {limit:g}"
    return numbers.condition(
        ratio, changed=changed, usual=then, beyond=beyond, enough=f"{judged} >= {least}", matchers=matchers
    )
