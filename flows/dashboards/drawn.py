"""Panels of a family's charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.dashboards.comparisons import by_breakdown, compared
from flows.dashboards.panels import Query, Sized, bars, course, heat
from flows.dashboards.queries import A_WEEK, OF_PRODUCT, Numbers, rate
from flows.metrics.charts import ByBreakdown, Chart, ChartRow, Course, Heat, Line, Number, Rate, Steps
from flows.publish.prometheus import PREFIX


def panels_of(numbers: Numbers, row: ChartRow) -> Iterator[Sized]:
    """Those of a row, without what the config does not measure."""
    for chart in row.charts:
        yield from _panels(numbers, chart, row.where)


def _panels(numbers: Numbers, chart: Chart, where: Mapping[str, str]) -> Iterator[Sized]:
    match chart:
        case Course():
            yield from _course(numbers, chart, where)
        case Rate():
            query = Query(rate(f"{chart.tally}_total", by=chart.by), f"{{{{{chart.by}}}}}")
            yield course(chart.title, chart.description, "short", query, stacked=True)
        case Heat():
            buckets = f"rate({PREFIX}{chart.tally}_bucket{{{OF_PRODUCT}}}[$__rate_interval])"
            yield heat(chart.title, chart.description, f"sum by (le) ({buckets})")
        case ByBreakdown() if chart.metric in numbers:
            yield from by_breakdown(numbers, chart.metric, chart.title, where=where, width=chart.width)
        case Steps() if chart.metric in numbers:
            yield _steps(numbers, chart, where)
        case Number() if chart.metric in numbers:
            yield number_of(numbers, chart)


def number_of(numbers: Numbers, number: Number) -> Sized:
    """Its panel."""
    return compared(numbers, number.metric, number.title, number.description, where=number.where)


def _course(numbers: Numbers, chart: Course, where: Mapping[str, str]) -> Iterator[Sized]:
    lines = [line for line in chart.lines if all(metric in numbers for metric in line.metrics)]
    if not lines:
        return
    queries = [Query(_expression(numbers, line, where), line.legend) for line in lines]
    if chart.last_week:
        queries.append(Query(_expression(numbers, lines[0], where, A_WEEK), "last week"))
    yield course(
        chart.title,
        chart.description,
        numbers.unit(lines[0].metrics[0]),
        *queries,
        last_week=chart.last_week,
        stacked=chart.stacked,
        bars=chart.bars,
        log=chart.log,
        width=chart.width,
    )


def _expression(numbers: Numbers, line: Line, where: Mapping[str, str], offset: str = "") -> str:
    names = line.metrics if line.spread is None else line.metrics[:-1]
    asked = numbers.ask(*names, by=line.by, split=line.split, where=where, offset=offset)
    if line.spread is not None:
        sign, times = "-" if line.spread.times < 0 else "+", abs(line.spread.times)
        asked = f"{asked} {sign} {times:g} * {numbers.ask(line.spread.metric, where=where)}"
    return f"-{asked}" if line.below_zero else asked


def _steps(numbers: Numbers, chart: Steps, where: Mapping[str, str]) -> Sized:
    values = numbers.values(chart.metric, chart.label, where)
    return bars(
        chart.title,
        chart.description,
        numbers.unit(chart.metric),
        *(Query(numbers.ask(chart.metric, where={**where, chart.label: value}), _name(value)) for value in values),
        largest=chart.largest,
        bad_is_large=chart.bad_is_large,
    )


def _name(value: str) -> str:
    """`02_product_added` as `2 product added`."""
    number, _, name = value.partition("_")
    return f"{int(number)} {name.replace('_', ' ')}" if number.isdecimal() else value.replace("_", " ")
