"""What the page consists of under one config.

Families say how they are drawn (`flows/metrics/charts.py`). Redis has numbers of now for several windows, where
Grafana has their course; so lines over time become rows of a table with a column for each window, and what no chart
names is listed behind them. A new family is on the page by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from flows.config.model import Config, format_duration
from flows.config.money import MINOR_DIGITS
from flows.config.notation import parse_duration
from flows.metrics.catalogue import Catalogue, catalogue
from flows.metrics.charts import Bars, ByBreakdown, ChartRow, Course, Heat, Listing, Number, Rate, Steps, Target
from flows.metrics.days import Wait
from flows.web.cards import COLUMNS, NOW, Card, Layout, Row, Section
from flows.web.minutes import titles
from flows.web.numbers import Numbers

MONEY_BY_DAY: Final = ("revenue", "mrr")
"""Fields of a day in minor units."""
LONG_LIST: Final = 4
"""A line with more values of its label than this is a list by size."""
MOST_BARS: Final = 12
"""Longer ones are numbers in the folded list."""
BUCKET: Final = "_le_<bound>"


def layout(config: Config, listed: Catalogue | None = None) -> Layout:
    """The page of `config`."""
    listed = listed or catalogue(config)
    numbers = Numbers(config, listed)
    windows = {window: parse_duration(window) / 1000 for window in numbers.windows}
    currency = next((part.currency for part in (config.subscriptions, config.orders, config.spend) if part), None)
    return Layout(
        config.product,
        config.time_zone,
        windows,
        numbers.windows[len(numbers.windows) // 2],
        list(config.breakdowns),
        currency,
        MINOR_DIGITS.get(currency, 2) if currency else 0,
        [row for number in listed.headlines for row in numbers.headline(number)],
        titles(listed.minute_fields),
        _days(listed),
        config.retention.days if config.retention else (),
        _packed([_of_days(config), *_sections(numbers, listed)]),
    )


def _days(listed: Catalogue) -> dict[str, tuple[str, str]]:
    """What each field of a day that does not wait for later ones is called, and its format."""
    named = titles([field.name for field in listed.days.fields if field.wait == Wait()])
    return {field: (title, "money" if field in MONEY_BY_DAY else "count") for field, title in named.items()}


def _of_days(config: Config) -> Section:
    days = Card("days", "Closed days", description="Each beside the same weekday of the week before.")
    triangle = Card("triangle", "Who came back", description="Of the users who started on a date, by day since then.")
    return Section("Day by day", [days, triangle] if config.retention else [days])


def _packed(sections: Sequence[Section]) -> list[Section]:
    """The sections in an order in which rows of `COLUMNS` cards are filled, as near to their own as that allows."""
    waiting, packed, room = list(sections), [], COLUMNS
    while waiting:
        fitting = (one for one in waiting if one.columns <= room)
        section = next(fitting, waiting[0])
        room = (room if section.columns <= room else COLUMNS) - section.columns or COLUMNS
        waiting.remove(section)
        packed.append(section)
    return packed


def _sections(numbers: Numbers, listed: Catalogue) -> Iterator[Section]:
    drawn = [(row, list(_cards(numbers, row))) for row in listed.charts]
    used = {_key(one) for _, cards in drawn for card in cards for one in card.shown}
    for row, cards in drawn:
        if row.page == "pipeline":
            cards = [*_rest([one for card in cards for one in card.shown])]
        rest = [one for one in numbers.of_panel(row.part_of or row.title, row.where) if _key(one) not in used]
        if cards or rest:
            yield Section(_heading(row), [*cards, *_rest(rest, folded=bool(cards))])
    panels = {row.part_of or row.title for row, _ in drawn}
    for panel in dict.fromkeys(metric.panel for metric in listed.metrics()):
        if panel not in panels:
            yield Section(panel, [*_rest(list(numbers.of_panel(panel, {})), folded=False)])


def _heading(row: ChartRow) -> str:
    """Its title, with the window that all of it is of where the reader does not choose it."""
    return f"{row.title}, {row.where['window']}" if "window" in row.where else row.title


def _key(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple(row.cells.items())


def _rest(rows: Sequence[Row], *, folded: bool = True) -> Iterator[Card]:
    if rows:
        windowed = [row for row in rows if NOW not in row.cells]
        yield Card(
            "table",
            "More numbers" if folded else "",
            [row for row in rows if NOW in row.cells],
            [("", windowed)] if windowed else [],
            rest=folded,
        )


def _cards(numbers: Numbers, row: ChartRow) -> Iterator[Card]:
    facts: list[Row] = []
    groups: list[tuple[str, Sequence[Row]]] = []
    seen: set[tuple[tuple[str, str], ...]] = set()
    others: list[Card] = []
    steps: set[str] = set()
    for chart in row.charts:
        match chart:
            case Number():
                facts += numbers.headline(chart)
            case Course():
                card = _course(numbers, chart, row.where)
                if isinstance(card, list):
                    new = [one for one in card if _key(one) not in seen]
                    seen |= {_key(one) for one in new}
                    alone = len(new) == 1 and NOW in new[0].cells
                    facts += [_named(one, chart.title) for one in new if alone]
                    grouped = [replace(one, title=one.title.removeprefix(f"{chart.title}, ")) for one in new]
                    groups += [(chart.title, grouped)] if grouped and not alone else []
                else:
                    others += [card]
                others += _splits(numbers, chart, row.where)
            case Bars() if chart.metric in numbers:
                rows = list(numbers.rows(chart.metric, f"{{{{{chart.label}}}}}", (chart.label,), row.where))
                if len(rows) <= MOST_BARS:
                    others.append(Card("bars", chart.title, rows, description=chart.description))
            case Steps() if chart.metric in numbers and chart.label not in steps:
                steps.add(chart.label)
                others.append(_steps(numbers, chart, row))
            case Rate() if chart.metric in numbers:
                others.append(_rates(numbers, chart, row.where))
            case Heat():
                others += _histogram(numbers, chart)
            case Target():
                others.append(numbers.node(chart))
            case Listing():
                rest = numbers.rows(chart.metric, "other values", (), {"list": chart.name})
                others.append(
                    Card("top", chart.title, [], [], next(rest, None), chart.description, False, chart.name, chart.most)
                )
            case ByBreakdown() if chart.metric in numbers:
                others += _by_breakdown(numbers, chart, {**row.where, **chart.where})
            case _:
                pass
    groups.sort(key=lambda group: len(group[1]) > 1)  # rows that need no heading stand before the first one
    table = [Card("table", "", facts, groups)] if facts or groups else []
    first = [card for card in others if card.kind == "steps"]
    yield from [*first, *table, *(card for card in others if card not in first)]


def _course(numbers: Numbers, chart: Course, where: Mapping[str, str]) -> Card | list[Row]:
    """The chart as a card of its own, or as rows of the section's table."""
    plain = [line for line in chart.lines if line.split is None and line.spread is None]
    rows = [row for line in plain for row in numbers.line(line, chart, where)]
    if any(row.sign < 0 for row in rows):
        return Card("movements", chart.title, rows, whole=numbers.stock(rows), description=chart.description)
    if len(plain) == 1 and len(rows) > LONG_LIST:
        return Card("ranking", chart.title, rows, description=chart.description)
    return rows


def _named(row: Row, chart: str) -> Row:
    """A row that stands alone, with the chart's title before its own."""
    return row if row.title == chart else replace(row, title=f"{chart}, {row.title}")


def _splits(numbers: Numbers, chart: Course, where: Mapping[str, str]) -> Iterator[Card]:
    for line in chart.lines:
        if line.split is not None and line.metrics[0] in numbers:
            by = numbers.split(line.metrics[0], where)
            if line.split in by:
                yield Card("split", chart.title, groups=[(line.split, by[line.split])], description=chart.description)


def _by_breakdown(numbers: Numbers, chart: ByBreakdown, where: Mapping[str, str]) -> Iterator[Card]:
    by = [
        (name, rows) for name, rows in numbers.split(chart.metric, where).items() if name in numbers.config.breakdowns
    ]
    if by:
        yield Card("split", chart.title, groups=by, description=numbers.metric(chart.metric).help)


def _rates(numbers: Numbers, chart: Rate, where: Mapping[str, str]) -> Card:
    rows = list(numbers.rows(chart.metric, "{{" + chart.by + "}}", (chart.by,), where))
    return Card("rates", chart.title, rows, description=chart.description)


def _histogram(numbers: Numbers, chart: Heat) -> Iterator[Card]:
    """The buckets of a histogram over the window, where Redis has them: `X_le_<bound>` and its count."""
    tallies = [tally for tally in numbers.listed.tallies if tally.prometheus == chart.tally]
    stems = {tally.cells[0].partition(".")[0] for tally in tallies}
    for metric in numbers.named(BUCKET):
        if metric.partition(".")[0] in stems:
            rows = [replace(row, title=_bound(row)) for row in numbers.of_metric(metric, {})]
            of = numbers.count_of(metric)
            if rows and of is not None:
                yield Card("histogram", chart.title, rows, whole=of, description=chart.description)


def _bound(bucket: Row) -> str:
    """`sessions.duration_le_180.1h` as `up to 3m`."""
    (cell,) = list(bucket.cells.values())[:1]
    found = re.search(r"_le_(\d+)", cell)
    assert found is not None
    return f"up to {format_duration(1000 * int(found[1]))}" if int(found[1]) else "0s"


def _steps(numbers: Numbers, chart: Steps, row: ChartRow) -> Card:
    rates = [
        found
        for one in numbers.listed.headlines
        if one.where == row.where and row.where
        for found in numbers.headline(one)
    ]
    rows = list(numbers.rows(chart.metric, "{{" + chart.label + "}}", (chart.label,), row.where))
    return Card("steps", row.title, rows, whole=rates[0] if rates else None, description=chart.description)
