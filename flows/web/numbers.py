"""The published numbers of a catalogue as rows of the page: their titles, windows, units, and what they are of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flows.config.model import Config, format_duration
from flows.metrics.catalogue import Catalogue
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.charts import Course, Line, Number, Target, title_of
from flows.metrics.formulas import ratio, shortfall
from flows.web.cards import NOW, Card, Interval, Row


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
                window = number.where.get("window", "")
                title = number.title if number.title.endswith(window) else f"{number.title}, {window}"
                row = self._row(number.metric, title, cells, number.where, number.description)
                yield replace(row, good=number.good or "")

    def node(self, chart: Target) -> Card:
        """A node of the metric tree, its value and target in the format of its metric."""
        shown = self._format(self._published[chart.metric].name)
        title = chart.node.replace("_", " ")
        numbers = {
            "value": (title, shown),
            "target": (f"target of {title}", shown),
            "attainment": (f"{title}: share of the target", "share"),
            "progress": (f"{title}: share of the way", "share"),
            "on_track": (f"{title}: on track", "track"),
        }
        cells = {number: f"tree.{chart.node}.{number}" for number in numbers}
        rows = [
            Row(name, format_, {NOW: cells[number]}, chart.description)
            for number, (name, format_) in numbers.items()
            if cells[number] in self._published
        ]
        place = f"Level {chart.level}" if chart.level else "Focus"
        facts = [
            f"{place}: drives {chart.drives.replace('_', ' ')}" if chart.drives else place,
            chart.metric,
            f"by {chart.by}" if chart.by else "",
            chart.owner,
        ]
        return Card("node", title, rows, description=" \N{MIDDLE DOT} ".join(filter(None, facts)))

    def line(self, line: Line, chart: Course, where: Mapping[str, str]) -> Iterator[Row]:
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
            title = legend
            for label, value in labels.items():
                title = title.replace("{{" + label + "}}", _quantile(value) if label == "q" else _words(value))
            title = title.removeprefix("quantile ")
            for window, cells in self._columns([cell for cell in found if labels.items() <= cell.labels.items()]):
                full = f"{title}, {window}" if window else title
                yield self._row(metric, full, cells, {**where, **labels}, self.metric(metric).help, sign)

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
        return self._row(name, title_of(name), cells, {}, self.metric(name).help) if NOW in cells else None

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
            title = _title(re.sub(r"^(funnel|milestone)\.[^.]+\.", "", stem))
            for window, cells in self._columns(found):
                yield self._row(name, f"{title}, {window}" if window else title, cells, where, self.metric(name).help)

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

    def _columns(self, cells: Sequence[Cell | Derived]) -> Iterator[tuple[str, dict[str, str]]]:
        """The cells of one row, or where a number has other windows than those that the reader can choose, of a row
        for each of its own, which it is named after.
        """
        found = {cell.labels.get("window", NOW): cell.name for cell in cells}
        if len(found) > 1 and not found.keys() >= set(self.windows):
            yield from ((window, {NOW: name}) for window, name in found.items())
        elif columns := self._by_window(cells):
            yield "", columns

    def _by_window(self, cells: Sequence[Cell | Derived]) -> dict[str, str]:
        """The cells by those windows that the reader can choose; one that is always of the same time as NOW."""
        found = {cell.labels.get("window", NOW): cell.name for cell in cells}
        if len(found) == 1 and set(found) != set(self.windows):
            return {NOW: next(iter(found.values()))}
        return {window: found[window] for window in self.windows if window in found}


def _stem(cell: Cell | Derived) -> str:
    window = cell.labels.get("window", "")
    return cell.name.partition("{")[0].removesuffix(f".{window}") if window else cell.name.partition("{")[0]


def _title(stem: str) -> str:
    """`sessions.duration_le_10` as `Sessions duration at most 10 s`."""
    return title_of(re.sub(r"_le_(\d+)$", r" at most \1 s", stem))


def _words(value: str) -> str:
    """`02_product_added` as `product added`."""
    return re.sub(r"^\d\d_", "", value).replace("_", " ")


def _quantile(value: str) -> str:
    return "median" if float(value) == 0.5 else f"{100 * float(value):g} %"
