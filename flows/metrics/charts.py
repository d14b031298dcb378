"""How a family's numbers are drawn: charts as data, of which dashboards make panels.

A chart names metrics of the catalogue. What a config does not measure is left out: a line without its metric, a chart
without lines. Units, windows and breakdowns follow from the catalogue, so none is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Spread(NamedTuple):
    """What a line keeps away from its metric: so many times another one."""

    metric: str
    times: float


@dataclass(frozen=True, slots=True)
class Line:
    """One query: a metric, or several that share a family of Prometheus."""

    metric: str | tuple[str, ...]
    legend: str = "now"  # `{{label}}` is replaced by that label of each series
    by: tuple[str, ...] = ()  # one line for each value of these labels
    split: str | None = None  # one for each value of this breakdown, in place of the total
    below_zero: bool = False
    spread: Spread | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that it names."""
        own = (self.metric,) if isinstance(self.metric, str) else self.metric
        return own if self.spread is None else (*own, self.spread.metric)


@dataclass(frozen=True, slots=True)
class Course:
    """Lines over time."""

    title: str
    description: str
    lines: Sequence[Line]
    last_week: bool = False  # with the first line as it was a week ago
    stacked: bool = False
    bars: bool = False
    log: bool = False
    width: int = 12  # 24 is the page


@dataclass(frozen=True, slots=True)
class Rate:
    """A counter's increase per second, stacked by its labels."""

    title: str
    description: str
    tally: str
    by: str


@dataclass(frozen=True, slots=True)
class Heat:
    """A histogram over time."""

    title: str
    description: str
    tally: str


@dataclass(frozen=True, slots=True)
class ByBreakdown:
    """A metric by the breakdown that the reader chooses."""

    metric: str
    title: str
    width: int = 8


@dataclass(frozen=True, slots=True)
class Steps:
    """One bar for each value of a label, in the catalogue's order."""

    title: str
    description: str
    metric: str
    label: str
    largest: float | None = None  # what a full bar is; else the longest is full
    bad_is_large: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """A number of now and how it compares with a week ago."""

    metric: str
    title: str
    description: str
    where: Mapping[str, str] = field(default_factory=dict)


Chart: TypeAlias = Course | Rate | Heat | ByBreakdown | Steps | Number


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A heading and its charts, left to right; `where` chooses the series of all of them by their labels."""

    title: str
    charts: Sequence[Chart]
    where: Mapping[str, str] = field(default_factory=dict)
    part_of: str = ""  # where there are several such rows: the one that has what no chart names, behind the last
