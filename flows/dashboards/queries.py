"""What dashboards ask Prometheus: the numbers of a catalogue as PromQL with the dashboard's variables in it.

Every selector names the job and the instance. A number is exact state in one process, so two series of it can only be
the same number seen twice (a process and its successor within the look-back): they are joined by `max`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from flows.config.model import Config, format_duration
from flows.config.notation import parse_duration
from flows.metrics.catalogue import Catalogue, catalogue
from flows.metrics.cells import Cell, Derived, Metric
from flows.publish.prometheus.samples import PREFIX

JOB: Final = "job"
INSTANCE: Final = "instance"
PRODUCT: Final = "product"
WINDOW: Final = "window"
BREAKDOWN: Final = "breakdown"

PROCESS: Final = f'{JOB}=~"$job", {INSTANCE}=~"$instance"'
OF_PRODUCT: Final = f'{PROCESS}, {PRODUCT}="$product"'
A_WEEK: Final = " offset 1w"

CURRENCIES: Final = {"USD": "currencyUSD", "EUR": "currencyEUR", "GBP": "currencyGBP", "JPY": "currencyJPY"}
"""Grafana's names of the units of money that it knows best; others are written behind the amount."""


class Numbers:
    """The published numbers of one config, and which of them have been asked for.

    Only metrics with a Prometheus family can be asked for. `shown` grows with each question, so that what no panel
    has asked for can be given a panel of its own.
    """

    def __init__(self, config: Config, listed: Catalogue | None = None) -> None:
        self.config = config
        self.shown: set[str] = set()
        self._metrics: dict[str, Metric] = {}
        self._cells: dict[str, list[Cell | Derived]] = {}
        found = listed or catalogue(config)
        self.headlines = found.headlines
        self.rows = found.charts
        self.headings = found.headings
        self._undefined = {cell.metric.name for cell in found.derived}
        cells: list[Cell | Derived] = [*found.cells, *found.derived]
        for cell in cells:
            if cell.metric is not None and cell.metric.prometheus is not None:
                self._metrics.setdefault(cell.metric.name, cell.metric)
                self._cells.setdefault(cell.metric.name, []).append(cell)
        self.windows = [format_duration(window) for window in config.ratio_windows or config.windows]
        """The windows that a reader can choose: those for which ratios exist, too."""

    def __contains__(self, metric: object) -> bool:
        return metric in self._metrics

    def metrics(self) -> list[Metric]:
        """All that can be asked for, in the order of the catalogue."""
        return list(self._metrics.values())

    def metric(self, name: str) -> Metric:
        """The definition; KeyError for one that this config does not have in Prometheus."""
        return self._metrics[name]

    def may_be_undefined(self, name: str) -> bool:
        """Whether the number has no value where its denominator is 0."""
        return name in self._undefined

    def values(self, names: Iterable[str], label: str, where: Mapping[str, str]) -> list[str]:
        """The values of a label among the cells that have the labels of `where`, in the catalogue's order; windows from
        the shortest on.
        """
        cells = [cell for name in names for cell in self._cells[name]]
        fitting = [cell.labels for cell in cells if where.items() <= cell.labels.items()]
        found = list(dict.fromkeys(labels[label] for labels in fitting if label in labels))
        return sorted(found, key=parse_duration) if label == WINDOW else found

    def kinds(self, name: str) -> list[str]:
        """Labels that tell the series of a metric apart, besides its window and its breakdowns."""
        labels, optional = self._labels([name]), self._breakdowns([name])
        return [
            label
            for label, values in labels.items()
            if len(values) > 1 and label not in optional and not self._is_window(label, values)
        ]

    def ask(
        self,
        *names: str,
        by: Sequence[str] = (),
        split: str | None = None,
        where: Mapping[str, str] | None = None,
        offset: str = "",
    ) -> str:
        """One value of the product for each combination of the labels `by`.

        Several metrics are asked for at once when they share a family. `where` chooses series by their labels; the
        window is the reader's choice unless it does. `split` is a breakdown's label, or the variable that holds one;
        without it the totals are meant. ValueError when the question leaves open which series is meant.
        """
        families = {self._metrics[name].prometheus for name in names}
        if len(families) != 1:
            raise ValueError(f"{', '.join(names)} are not in one family")
        self.shown |= set(names)
        family = PREFIX + str(families.pop())
        matchers = [OF_PRODUCT]
        chosen, optional = where or {}, self._breakdowns(names)
        for label, values in self._labels(names).items():
            if label in chosen:
                matchers.append(f'{label}="{chosen[label]}"')
            elif label in optional:
                if split is None:
                    matchers.append(f'{label}=""')
            elif label in by:
                continue
            elif self._is_window(label, values):
                matchers.append(f'{label}="$window"')
            elif len(values) == 1:
                matchers.append(f'{label}="{values[0]}"')
            else:
                raise ValueError(f"which {label} of {', '.join(names)}? There are {', '.join(values)}")
        if split is not None:
            matchers.append(f'{split}!=""')
        grouping = [*by, *([split] if split else [])]
        clause = f" by ({', '.join(grouping)}) " if grouping else ""
        return f"max{clause}({family}{{{', '.join(matchers)}}}{offset})"

    def can_split(self, name: str) -> bool:
        """Whether a breakdown of the config tells the metric's values apart."""
        return any(label in self.config.breakdowns for label in self._labels([name]))

    def has(self, name: str, where: Mapping[str, str]) -> bool:
        """Whether a series of the metric has these labels."""
        return any(where.items() <= cell.labels.items() for cell in self._cells.get(name, ()))

    def unit(self, name: str, where: Mapping[str, str] | None = None) -> str:
        """Grafana's name of the unit in which Prometheus has the metric.

        `where` chooses a series by its labels, for where those of one metric differ in it (the nodes of a tree).
        """
        wanted = (where or {}).items()
        fitting = (cell.metric for cell in self._cells[name] if cell.metric and wanted <= cell.labels.items())
        metric = next(fitting, self._metrics[name])
        if metric.unit == "ratio":
            return "percentunit"
        if metric.unit == "ms":
            return "s" if metric.scale == 0.001 else "ms"
        if metric.currency:
            return CURRENCIES.get(metric.currency, f"suffix: {metric.currency}")
        return "short" if self.may_be_undefined(name) else "locale"

    def _labels(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Each label of the metrics' series with its values."""
        found: dict[str, dict[str, None]] = {}
        for name in names:
            for cell in self._cells[name]:
                for label, value in cell.labels.items():
                    found.setdefault(label, {})[value] = None
        return {label: list(values) for label, values in found.items()}

    def _breakdowns(self, names: Iterable[str]) -> set[str]:
        """The breakdowns of the metrics: labels that their totals do not have."""
        cells = [cell for name in names for cell in self._cells[name]]
        split = {label for cell in cells for label in cell.group}
        return {label for label in split if any(label not in cell.labels for cell in cells)}

    def _is_window(self, label: str, values: Sequence[str]) -> bool:
        """Whether the label is a window that the reader chooses."""
        return label == WINDOW and set(self.windows) <= set(values)


def health(family: str) -> str:
    """A family that tells of a process, kept to the processes of the product."""
    return f"{PREFIX}{family}{{{PROCESS}}}"


def of_product(vector: str) -> str:
    """`vector`, whose series have the labels of their process, for the processes of the product alone."""
    return f"{vector} * on ({JOB}, {INSTANCE}) group_left {PREFIX}build_info{{{OF_PRODUCT}}}"


def total(family: str, *, by: str = "") -> str:
    """A gauge of the product's processes, the largest of them, by a label."""
    return f"max{_by(by)}({of_product(health(family))})"


def rate(counter: str, *, by: str = "", matchers: str = "") -> str:
    """A counter's increase per second, summed over the product's processes."""
    more = f", {matchers}" if matchers else ""
    return f"sum{_by(by)}({of_product(f'rate({PREFIX}{counter}{{{PROCESS}{more}}}[$__rate_interval])')})"


def age(family: str, *, by: str = "") -> str:
    """Seconds from the time that a gauge tells to the scrape that read it, of the process that is furthest ahead.

    Up to the scrape, since between two scrapes nobody knows better; nothing where the gauge is 0, which means never.
    """
    gauge = health(family)
    return f"min{_by(by)}({of_product(f'(timestamp({gauge}) - ({gauge} > 0))')})"


def change(now: str, before: str, least: int = 0) -> str:
    """How much larger `now` is than `before`, as a ratio of it; nothing where that was 0, or less than `least`."""
    return f"{now} / ({before} {f'>= {least}' if least else '!= 0'}) - 1"


def points(now: str, before: str) -> str:
    """How many percentage points a share has grown by."""
    return f"100 * ({now} - {before})"


def _by(label: str) -> str:
    return f" by ({label}) " if label else ""
