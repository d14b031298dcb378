"""What the page consists of under one config: tiles, and sections of cards, which name the cells that they show.

Families say how they are drawn (`flows/metrics/charts.py`). Redis has numbers of now for several windows, where
Grafana has their course; so lines over time become rows of a table with a column for each window, and what no chart
names is listed behind them. A new family is on the page by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, TypeAlias

from flows.config.model import MINOR_DIGITS, Config, format_duration
from flows.metrics.catalogue import Catalogue, catalogue
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.charts import ByBreakdown, Chart, ChartRow, Course, Heat, Line, Number, Steps
from flows.metrics.formulas import ratio, shortfall
from flows.web.minutes import titles

NOW: Final = ""
"""In place of a window: of a number that has none, or that the reader does not choose."""
COLUMNS: Final = 3
"""Cards beside each other, where the window is wide enough."""
LONG_LIST: Final = 4
"""A line with more values of its label than this is a list by size."""
BUCKET: Final = "_le_<bound>"
ABBREVIATIONS: Final = {"mrr", "arr", "arpa"}


@dataclass(frozen=True, slots=True)
class Interval:
    """What a number may be off by to either side: so many times another one."""

    cells: Mapping[str, str]
    times: float


@dataclass(frozen=True, slots=True)
class Row:
    """One number: its cell for each window, or for NOW."""

    title: str
    format: str  # count, decimal, share, ms or money
    cells: Mapping[str, str]
    description: str = ""
    interval: Interval | None = None
    sign: int = 1  # of a movement: whether it adds to the stock or takes away
    of: Mapping[str, str] | None = None  # the counts that a ratio is of
    of_what: str = ""
    good: str = ""  # up or down: the direction in which a change is good


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers without a window, and rows with a column for each; the rows in groups with a heading."""

    kind: ClassVar[str] = "table"
    title: str
    facts: Sequence[Row]
    groups: Sequence[tuple[str, Sequence[Row]]]
    rest: bool = False  # what no chart names: folded up


@dataclass(frozen=True, slots=True)
class Funnel:
    """Steps, each with what was lost since the one before."""

    kind: ClassVar[str] = "steps"
    title: str
    description: str
    rows: Sequence[Row]
    rate: Row | None = None


@dataclass(frozen=True, slots=True)
class Movements:
    """What a stock gained and lost in the window, from what it was to what it is."""

    kind: ClassVar[str] = "movements"
    title: str
    description: str
    rows: Sequence[Row]
    stock: Row | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows by size."""

    kind: ClassVar[str] = "ranking"
    title: str
    description: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many of `all` are at most so long: cumulative rows, of which the page shows what each adds."""

    kind: ClassVar[str] = "histogram"
    title: str
    description: str
    rows: Sequence[Row]
    all: Row


@dataclass(frozen=True, slots=True)
class Split:
    """A number by each breakdown of it, of which the reader chooses one."""

    kind: ClassVar[str] = "split"
    title: str
    description: str
    by: Mapping[str, Sequence[Row]]


Card: TypeAlias = Table | Funnel | Movements | Ranking | Histogram | Split


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its cards."""

    title: str
    cards: Sequence[Card]

    @property
    def columns(self) -> int:
        """How many columns of the page it takes."""
        return max(1, min(COLUMNS, sum(not (isinstance(card, Table) and card.rest) for card in self.cards)))


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole page."""

    product: str
    time_zone: str
    windows: Sequence[str]  # that the reader can choose
    window: str  # the one shown first
    breakdowns: Sequence[str]
    currency: str | None
    minor_digits: int
    tiles: Sequence[Row]
    courses: Mapping[str, str]  # field of the minutes -> title
    sections: Sequence[Section] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Everything that shows a number, tiles first."""
        return [*self.tiles, *(row for section in self.sections for card in section.cards for row in _rows(card))]

    @property
    def cells(self) -> list[str]:
        """Every cell on the page, each once."""
        named = [
            cells
            for row in self.rows
            for cells in (row.cells, row.of or {}, row.interval.cells if row.interval else {})
        ]
        return list(dict.fromkeys(cell for cells in named for cell in cells.values()))


def _rows(card: Card) -> Iterator[Row]:
    match card:
        case Table():
            yield from card.facts
            for _, rows in card.groups:
                yield from rows
        case Split():
            for rows in card.by.values():
                yield from rows
        case Funnel():
            yield from card.rows
            yield from [card.rate] if card.rate else []
        case Movements():
            yield from card.rows
            yield from [card.stock] if card.stock else []
        case Ranking():
            yield from card.rows
        case Histogram():
            yield from [*card.rows, card.all]


def layout(config: Config, listed: Catalogue | None = None) -> Layout:
    """The page of `config`."""
    listed = listed or catalogue(config)
    numbers = Numbers(config, listed)
    money = config.subscriptions
    return Layout(
        config.product,
        config.time_zone,
        numbers.windows,
        numbers.windows[len(numbers.windows) // 2],
        list(config.breakdowns),
        money.currency if money else None,
        MINOR_DIGITS.get(money.currency, 2) if money else 0,
        [row for number in listed.headlines for row in numbers.headline(number)],
        titles(listed),
        _packed(list(_sections(numbers, listed))),
    )


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
    used = {_key(one) for _, cards in drawn for card in cards for one in _rows(card)}
    for row, cards in drawn:
        if row.of_pipeline:
            cards = [*_rest([one for card in cards for one in _rows(card)])]
        rest = [one for one in numbers.of_panel(row.part_of or row.title, row.where) if _key(one) not in used]
        if cards or rest:
            yield Section(row.title, [*cards, *_rest(rest)])
    panels = {row.part_of or row.title for row, _ in drawn}
    for panel in dict.fromkeys(metric.panel for metric in listed.metrics()):
        if panel not in panels:
            yield Section(panel, [*_rest(list(numbers.of_panel(panel, {})), folded=False)])


def _key(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple(row.cells.items())


def _rest(rows: Sequence[Row], *, folded: bool = True) -> Iterator[Table]:
    if rows:
        facts = [row for row in rows if NOW in row.cells]
        yield Table(
            "More numbers" if folded else "", facts, [("", [row for row in rows if NOW not in row.cells])], rest=folded
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
                    facts += [_named(one, chart.title) for one in new if NOW in one.cells]
                    windowed = [one for one in new if NOW not in one.cells]
                    groups += [(chart.title, windowed)] if windowed else []
                else:
                    others += [card]
                others += _splits(numbers, chart, row.where)
            case Steps() if chart.metric in numbers and chart.label not in steps:
                steps.add(chart.label)
                others.append(_steps(numbers, chart, row))
            case Heat():
                others += _histogram(numbers, chart)
            case ByBreakdown() if chart.metric in numbers:
                others += _by_breakdown(numbers, chart, row.where)
            case _:
                pass
    table = [Table("", facts, groups)] if facts or groups else []
    first = [card for card in others if isinstance(card, Funnel)]
    yield from [*first, *table, *(card for card in others if card not in first)]


def _course(numbers: Numbers, chart: Course, where: Mapping[str, str]) -> Card | list[Row]:
    """The chart as a card of its own, or as rows of the section's table."""
    plain = [line for line in chart.lines if line.split is None and line.spread is None]
    rows = [row for line in plain for row in numbers.line(line, chart, where)]
    if any(row.sign < 0 for row in rows):
        return Movements(chart.title, chart.description, rows, numbers.stock(rows))
    if len(plain) == 1 and len(rows) > LONG_LIST:
        return Ranking(chart.title, chart.description, rows)
    return rows


def _named(row: Row, chart: str) -> Row:
    """A row that stands alone, with the chart's title before its own."""
    return row if row.title == chart else replace(row, title=f"{chart}, {row.title}")


def _splits(numbers: Numbers, chart: Course, where: Mapping[str, str]) -> Iterator[Split]:
    for line in chart.lines:
        if line.split is not None and line.metrics[0] in numbers:
            by = numbers.split(line.metrics[0], where)
            if line.split in by:
                yield Split(chart.title, chart.description, {line.split: by[line.split]})


def _by_breakdown(numbers: Numbers, chart: ByBreakdown, where: Mapping[str, str]) -> Iterator[Split]:
    by = {name: rows for name, rows in numbers.split(chart.metric, where).items() if name in numbers.config.breakdowns}
    if by:
        yield Split(chart.title, numbers.metric(chart.metric).help, by)


def _histogram(numbers: Numbers, chart: Heat) -> Iterator[Histogram]:
    """The buckets of a histogram over the window, where Redis has them: `X_le_<bound>` and its count."""
    tallies = [tally for tally in numbers.listed.tallies if tally.prometheus == chart.tally]
    stems = {tally.cells[0].partition(".")[0] for tally in tallies}
    for metric in numbers.named(BUCKET):
        if metric.partition(".")[0] in stems:
            rows = [replace(row, title=_bound(row)) for row in numbers.of_metric(metric, {})]
            of = numbers.count_of(metric)
            if rows and of is not None:
                yield Histogram(chart.title, chart.description, rows, of)


def _bound(bucket: Row) -> str:
    """`sessions.duration_le_180.1h` as `up to 3m`."""
    (cell,) = list(bucket.cells.values())[:1]
    found = re.search(r"_le_(\d+)", cell)
    assert found is not None
    return f"up to {format_duration(1000 * int(found[1]))}" if int(found[1]) else "0s"


def _steps(numbers: Numbers, chart: Steps, row: ChartRow) -> Funnel:
    rates = [
        found
        for one in numbers.listed.headlines
        if one.where == row.where and row.where
        for found in numbers.headline(one)
    ]
    rows = list(numbers.rows(chart.metric, "{{" + chart.label + "}}", (chart.label,), row.where))
    return Funnel(row.title, chart.description, rows, rates[0] if rates else None)


class Numbers:
    """The published numbers of a catalogue as rows of the page."""

    def __init__(self, config: Config, listed: Catalogue) -> None:
        self.config = config
        self.listed = listed
        self.windows = [format_duration(window) for window in config.ratio_windows or config.windows]
        self._cells: dict[str, list[Cell | Derived]] = {}
        self._published: dict[str, Metric] = {}
        cells: list[Cell | Derived] = [*listed.cells, *listed.derived]
        for cell in cells:
            if cell.metric is not None:
                self._cells.setdefault(cell.metric.name, []).append(cell)
                self._published[cell.name] = cell.metric
        self._spreads = [
            (line.metrics[0], line.spread)
            for row in listed.charts
            for chart in row.charts
            if isinstance(chart, Course)
            for line in chart.lines
            if line.spread is not None
        ]

    def __contains__(self, metric: object) -> bool:
        return metric in self._cells

    def metric(self, name: str) -> Metric:
        """The definition."""
        metric = self._cells[name][0].metric
        assert metric is not None
        return metric

    def headline(self, number: Number) -> Iterator[Row]:
        """A number by itself, where the config measures it."""
        if number.metric in self:
            cells = self._by_window(self._fitting(number.metric, number.where))
            if cells:
                row = self._row(number.metric, number.title, cells, number.where, number.description)
                yield replace(row, good=number.good or "")

    def line(self, line: Line, chart: Chart, where: Mapping[str, str]) -> Iterator[Row]:
        """The rows of a line of `chart`."""
        by = tuple(label for label in line.by if label != "window")
        legend = line.legend
        if legend == "now" or "{{window}}" in legend:
            legend = " ".join("{{" + label + "}}" for label in by) or chart.title
        for metric in line.metrics:
            if metric in self:
                yield from self.rows(metric, legend, by, where, -1 if line.below_zero else 1)

    def rows(
        self, metric: str, legend: str, by: Sequence[str], where: Mapping[str, str], sign: int = 1
    ) -> Iterator[Row]:
        """One for each combination of the labels `by`."""
        found = self._fitting(metric, where)
        for values in dict.fromkeys(tuple(cell.labels.get(label, "") for label in by) for cell in found):
            labels = dict(zip(by, values, strict=True))
            cells = self._by_window([cell for cell in found if labels.items() <= cell.labels.items()])
            title = legend
            for label, value in labels.items():
                title = title.replace("{{" + label + "}}", _quantile(value) if label == "q" else _words(value))
            if cells:
                title = title.removeprefix("quantile ")
                yield self._row(metric, title, cells, {**where, **labels}, self.metric(metric).help, sign)

    def split(self, metric: str, where: Mapping[str, str]) -> dict[str, list[Row]]:
        """By breakdown: a row for each of its values."""
        found: dict[str, dict[str, list[Cell | Derived]]] = {}
        for cell in self._cells[metric]:
            if len(cell.group) == 1 and where.items() <= cell.labels.items():
                ((name, value),) = cell.group.items()
                found.setdefault(name, {}).setdefault(value, []).append(cell)
        return {
            name: [
                self._row(
                    metric, _words(value), self._by_window(cells), where, self.metric(metric).help, 1, {name: value}
                )
                for value, cells in values.items()
            ]
            for name, values in found.items()
        }

    def named(self, ending: str) -> list[str]:
        """The metrics whose names end so."""
        return [name for name in self._cells if name.endswith(ending)]

    def count_of(self, bucket: str) -> Row | None:
        """What the buckets of a histogram are of: the first number that a quantile of it is computed from."""
        buckets = {cell.name for cell in self._cells[bucket]}
        for cell in self.listed.derived:
            if cell.inputs[0] in self._published and not buckets.isdisjoint(cell.inputs[1:]):
                found = self.of_metric(self._published[cell.inputs[0]].name, {})
                return next((one for one in found if cell.inputs[0] in one.cells.values()), None)
        return None

    def stock(self, movements: Sequence[Row]) -> Row | None:
        """What the rows move: the number whose name begins the names of them all."""
        stems = {next(iter(row.cells.values())).partition(".")[0] for row in movements}
        name = stems.pop()
        if stems or name not in self:
            return None
        cells = self._by_window(self._fitting(name, {}))
        return self._row(name, _title(name), cells, {}, self.metric(name).help) if NOW in cells else None

    def of_panel(self, panel: str, where: Mapping[str, str]) -> Iterator[Row]:
        """A row for every number of a panel's metrics, without breakdowns."""
        for name in self._cells:
            if self.metric(name).panel == panel:
                yield from self.of_metric(name, where)

    def of_metric(self, name: str, where: Mapping[str, str]) -> Iterator[Row]:
        """A row for every number of a metric, without breakdowns."""
        stems: dict[str, list[Cell | Derived]] = {}
        for cell in self._fitting(name, where):
            stems.setdefault(_stem(cell), []).append(cell)
        for stem, found in stems.items():
            if by_window := self._by_window(found):
                title = _title(re.sub(r"^funnel\.[^.]+\.", "", stem))
                yield self._row(name, title, by_window, where, self.metric(name).help)

    def _row(
        self,
        metric: str,
        title: str,
        cells: Mapping[str, str],
        where: Mapping[str, str],
        description: str = "",
        sign: int = 1,
        group: Mapping[str, str] | None = None,
    ) -> Row:
        spreads = [spread for base, spread in self._spreads if base == metric and spread.metric in self]
        interval = None
        if spreads and cells:
            off = self._by_window(self._fitting(spreads[0].metric, where, group))
            interval = Interval(off, max(abs(one.times) for one in spreads)) if off.keys() == cells.keys() else None
        of, of_what = self._of(metric, cells)
        return Row(title, self._format(metric), cells, description, interval, sign, of, of_what)

    def _of(self, metric: str, cells: Mapping[str, str]) -> tuple[Mapping[str, str] | None, str]:
        """What a share is of: the count in its denominator, and its unit."""
        derived = {cell.name: cell for cell in self._cells[metric] if isinstance(cell, Derived)}
        found = {
            window: derived[name].inputs[1]
            for window, name in cells.items()
            if name in derived and derived[name].formula in (ratio, shortfall) and self.metric(metric).unit == "ratio"
        }
        if not found or not all(name in self._published for name in found.values()):
            return None, ""
        return found, self._published[next(iter(found.values()))].unit

    def _format(self, metric: str) -> str:
        unit = self.metric(metric).unit
        if unit in ("ratio", "ms", "minor units"):
            return {"ratio": "share", "ms": "ms", "minor units": "money"}[unit]
        return "decimal" if isinstance(self._cells[metric][0], Derived) else "count"

    def _fitting(
        self, metric: str, where: Mapping[str, str], group: Mapping[str, str] | None = None
    ) -> list[Cell | Derived]:
        found = (cell for cell in self._cells[metric] if cell.group == (group or {}))
        return [cell for cell in found if where.items() <= cell.labels.items()]

    def _by_window(self, cells: Sequence[Cell | Derived]) -> dict[str, str]:
        """The cells by those windows that the reader can choose; one that is always of the same time as NOW."""
        found = {cell.labels.get("window", NOW): cell.name for cell in cells}
        if len(found) == 1 and set(found) != set(self.windows):
            return {NOW: next(iter(found.values()))}
        return {window: found[window] for window in self.windows if window in found}


def _stem(cell: Cell | Derived) -> str:
    window = cell.labels.get("window", "")
    return cell.name.partition("{")[0].removesuffix(f".{window}") if window else cell.name.partition("{")[0]


def _title(name: str) -> str:
    """`mrr.moved_in` as `MRR moved in`."""
    name = re.sub(r"_le_(\d+)$", r" at most \1 s", name)
    first, *others = name.replace(".", " ").replace("_", " ").split(" ")
    return " ".join([first.upper() if first in ABBREVIATIONS else first.capitalize(), *others])


def _words(value: str) -> str:
    """`02_product_added` as `product added`."""
    return re.sub(r"^\d\d_", "", value).replace("_", " ")


def _quantile(value: str) -> str:
    return "median" if float(value) == 0.5 else f"{100 * float(value):g} %"
