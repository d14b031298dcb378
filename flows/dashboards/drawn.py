"""Panels of a family's charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from flows.dashboards.comparisons import by_breakdown, compared
from flows.dashboards.panels import BLUE, GREEN, MOST_LINES, ORANGE, RED, Band, Query, Sized, bars, course, heat
from flows.dashboards.queries import A_WEEK, OF_PRODUCT, Numbers, rate
from flows.dashboards.targets import target_of
from flows.metrics.charts import (
    Bars,
    ByBreakdown,
    Chart,
    ChartRow,
    Course,
    Heat,
    Line,
    Listing,
    Losses,
    Number,
    Rate,
    Steps,
    Target,
)
from flows.publish.prometheus.product import TOP
from flows.publish.prometheus.samples import PREFIX

LISTED_WINDOW = "1h"
"""Of top lists, which not every window that the reader can choose has."""
NOTHING = "nothing in this window"


def panels_of(numbers: Numbers, row: ChartRow) -> Iterator[Sized]:
    """Those of a row, without what the config does not measure."""
    for chart in row.charts:
        yield from _panels(numbers, chart, row.where)


def _panels(numbers: Numbers, chart: Chart, where: Mapping[str, str]) -> Iterator[Sized]:
    match chart:
        case Course():
            yield from _course(numbers, chart, where)
        case Rate():
            query = Query(f"{rate(f'{chart.tally}_total', by=chart.by)} > 0", f"{{{{{chart.by}}}}}")
            yield course(f"{chart.title} per second", chart.description, "short", query, stacked=True, many=True)
        case Heat():
            buckets = f"rate({PREFIX}{chart.tally}_bucket{{{OF_PRODUCT}}}[$__rate_interval])"
            yield heat(chart.title, chart.description, f"sum by (le) ({buckets})", width=chart.width)
        case ByBreakdown() if chart.metric in numbers:
            chosen = {**where, **chart.where}
            yield from by_breakdown(numbers, chart.metric, chart.title, where=chosen, width=chart.width)
        case Bars() if chart.metric in numbers:
            yield _bars(numbers, chart, where)
        case Steps() if chart.metric in numbers:
            yield from _steps(numbers, chart, where)
        case Losses() if chart.metric in numbers:
            yield _losses(numbers, chart, where)
        case Number() if chart.metric in numbers:
            yield number_of(numbers, chart)
        case Target():
            yield from target_of(numbers, chart)
        case Listing() if chart.exported:
            series = f'{TOP}{{{OF_PRODUCT}, list="{chart.name}", window="{LISTED_WINDOW}"}}'
            query = Query(f"sort_desc(max by (value) ({series}))", "{{value}}")
            yield bars(f"Top {chart.title}, {LISTED_WINDOW}", chart.description, "short", query)


def number_of(numbers: Numbers, number: Number) -> Sized:
    """Its panel."""
    return compared(
        numbers,
        number.metric,
        number.title,
        number.description,
        good=number.good,
        where=number.where,
        width=number.width,
    )


def _course(numbers: Numbers, chart: Course, where: Mapping[str, str]) -> Iterator[Sized]:
    lines = [line for line in chart.lines if all(metric in numbers for metric in line.metrics)]
    if not lines:
        return
    if any(line.below_zero for line in lines):
        yield _movements(numbers, chart, lines, where)
        return
    queries = [query for line in lines for query in queries_of(numbers, line, where)]
    if chart.last_week:
        queries.append(Query(_expression(numbers, lines[0], where, A_WEEK), "last week"))
    edges = {line.edge: place for place, line in enumerate(lines) if line.edge is not None}
    edges |= {
        "lower" if line.spread.times < 0 else "upper": place
        for place, line in enumerate(lines)
        if line.spread is not None
    }
    yield course(
        chart.title,
        chart.description,
        numbers.unit(lines[0].metrics[0]),
        *queries,
        last_week=chart.last_week,
        stacked=chart.stacked,
        log=chart.log,
        band=Band(edges["lower"], edges["upper"]) if edges else None,
        absent=NOTHING if all(numbers.may_be_undefined(line.metrics[0]) for line in lines) else "",
        many=any(_many(numbers, line, where) for line in lines),
        width=chart.width,
    )


def queries_of(numbers: Numbers, line: Line, where: Mapping[str, str]) -> Iterator[Query]:
    """That of a line; where it has one for each of few values of a label, one query for each, named in words.

    Of many, only those that are not 0 are asked for.
    """
    if len(line.by) == 1:
        (label,) = line.by
        values = numbers.values(line.metrics, label, where)
        if len(values) <= MOST_LINES:
            for value in values:
                asked = numbers.ask(*line.metrics, where={**where, label: value}, split=line.split)
                name, place = _name(label, value), f"{{{{{label}}}}}"
                yield Query(asked, line.legend.replace(place, name) if place in line.legend else name)
            return
    asked = _expression(numbers, line, where)
    yield Query(f"{asked} > 0" if _many(numbers, line, where) else asked, line.legend)


def _many(numbers: Numbers, line: Line, where: Mapping[str, str]) -> bool:
    """Whether a line is in truth more than a graph can name below it."""
    labels = [*line.by, *([line.split] if line.split else [])]
    return len(labels) == 1 and len(numbers.values(line.metrics, labels[0], where)) > MOST_LINES


def _expression(numbers: Numbers, line: Line, where: Mapping[str, str], offset: str = "") -> str:
    names = line.metrics if line.spread is None else line.metrics[:-1]
    asked = numbers.ask(*names, by=line.by, split=line.split, where=where, offset=offset)
    if line.spread is not None:
        sign, times = "-" if line.spread.times < 0 else "+", abs(line.spread.times)
        asked = f"{asked} {sign} {times:g} * {numbers.ask(line.spread.metric, where=where)}"
    return asked


def _bars(numbers: Numbers, chart: Bars, where: Mapping[str, str]) -> Sized:
    values = numbers.values([chart.metric], chart.label, where)
    queries = [
        Query(numbers.ask(chart.metric, where={**where, chart.label: value}), _name(chart.label, value))
        for value in values
    ]
    return bars(chart.title, chart.description, numbers.unit(chart.metric), *queries, width=chart.width)


def _steps(numbers: Numbers, chart: Steps, where: Mapping[str, str]) -> Iterator[Sized]:
    values = numbers.values([chart.metric], chart.label, where)
    reached = [numbers.ask(chart.metric, where={**where, chart.label: value}) for value in values]
    named = [_name(chart.label, value) for value in values]
    unit = numbers.unit(chart.metric)
    yield bars(chart.title, chart.description, unit, *map(Query, reached, named))
    yield bars(
        "Share of the first step",
        "Of the attempts that entered, the share that has reached each step so far.",
        "percentunit",
        *(Query(f"{one} / ({reached[0]} > 0)", name) for one, name in zip(reached, named, strict=True)),
        largest=1,
        colors=[BLUE],
    )


def _losses(numbers: Numbers, chart: Losses, where: Mapping[str, str]) -> Sized:
    ways = pairwise(numbers.values([chart.reached], chart.label, where))
    queries = [
        Query(
            numbers.ask(chart.metric, where={**where, chart.label: later}),
            " \N{RIGHTWARDS ARROW} ".join(_without_number(step) for step in (earlier, later)),
        )
        for earlier, later in ways
    ]
    return bars(chart.title, chart.description, numbers.unit(chart.metric), *queries, largest=1, colors=[ORANGE])


def _movements(numbers: Numbers, chart: Course, lines: Sequence[Line], where: Mapping[str, str]) -> Sized:
    """Bars of now: drawn over time, a trailing window would show each movement again and again."""
    return bars(
        chart.title,
        chart.description,
        numbers.unit(lines[0].metrics[0]),
        *(Query(_expression(numbers, line, where), line.legend) for line in lines),
        colors=[RED if line.below_zero else GREEN for line in lines],
        width=chart.width,
    )


def _name(label: str, value: str) -> str:
    """A label's value in words: `02_product_added` as `2 product added`, the quantile `0.9` as `90 %`."""
    if label == "q":
        return "median" if float(value) == 0.5 else f"{100 * float(value):g} %"
    number, _, name = value.partition("_")
    return f"{int(number)} {_words(name)}" if number.isdecimal() and name else _words(value)


def _without_number(step: str) -> str:
    return _words(step.partition("_")[2])


def _words(value: str) -> str:
    return value.replace("_", " ")
