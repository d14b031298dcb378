"""How a family's numbers are drawn: charts as data, of which dashboards make panels.

A chart names metrics of the catalogue. What a config does not measure is left out: a line without its metric, a chart
without lines. Units, windows and breakdowns follow from the catalogue, so none is written here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from flows.config.model import Config, format_duration

ABBREVIATIONS: Final = {"mrr", "arr", "arpa", "arpu", "arppu", "cac", "cpa", "ltv", "nps", "csat", "ces"}


def title_of(metric: str) -> str:
    """A metric's name as a title where no chart has one: `mrr.moved_in` as `MRR moved in`, without parts in `<>`."""
    first, *others = re.sub(r"[._]?<[^>]*>", "", metric).strip(".").replace(".", " ").replace("_", " ").split(" ")
    words = [first if first in ABBREVIATIONS else first.capitalize(), *others]
    return " ".join(word.upper() if word in ABBREVIATIONS else word for word in words)


def longest(config: Config) -> dict[str, str]:
    """Chooses the longest window, in place of the reader: for what takes days."""
    return {"window": format_duration((config.long_windows or config.windows)[-1])}


class Spread(NamedTuple):
    """What a line keeps away from its metric: so many times another one."""

    metric: str
    times: float


@dataclass(frozen=True, slots=True)
class Line:
    """One query: a metric, or several that share a family of Prometheus."""

    metric: str | tuple[str, ...]
    legend: str = "now"  # `{{label}}` is replaced by that label of each series
    by: tuple[str, ...] = ()  # one line for each value of these labels; of one label alone, named in words
    split: str | None = None  # one for each value of this breakdown, in place of the total
    below_zero: bool = False  # what a stock has lost, beside lines of what it has gained
    spread: Spread | None = None
    edge: Literal["lower", "upper"] | None = None  # an end of the interval of the first line, as a metric of its own

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that it names."""
        own = (self.metric,) if isinstance(self.metric, str) else self.metric
        return own if self.spread is None else (*own, self.spread.metric)


@dataclass(frozen=True, slots=True)
class Course:
    """Lines over time; where some are `below_zero`, what a window has gained and lost, as of now."""

    title: str
    description: str
    lines: Sequence[Line]
    last_week: bool = False  # with the first line as it was a week ago
    stacked: bool = False  # for parts of one stock of now; never for windows, which count an event again and again
    log: bool = False
    width: int = 12  # 24 is the page


@dataclass(frozen=True, slots=True)
class Rate:
    """A counter's increase per second, stacked by its labels."""

    title: str
    description: str
    tally: str
    by: str
    metric: str  # the same by window, for those who have no course of the counter


@dataclass(frozen=True, slots=True)
class Heat:
    """A histogram over time."""

    title: str
    description: str
    tally: str
    width: int = 12


@dataclass(frozen=True, slots=True)
class ByBreakdown:
    """A metric by the breakdown that the reader chooses."""

    metric: str
    title: str
    where: Mapping[str, str] = field(default_factory=dict)
    width: int = 8


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar for each value of a label, as of now."""

    title: str
    description: str
    metric: str
    label: str
    width: int = 8


@dataclass(frozen=True, slots=True)
class Steps:
    """One bar for each step of a funnel that an attempt has reached, then the same as shares of the first step."""

    title: str
    description: str
    metric: str
    label: str


@dataclass(frozen=True, slots=True)
class Losses:
    """One bar for each step but the first: the share of `metric` that was lost on the way from the step before."""

    title: str
    description: str
    metric: str
    reached: str  # the metric of the steps themselves, which names them all
    label: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number of now and how it compares with a week ago."""

    metric: str
    title: str
    description: str
    where: Mapping[str, str] = field(default_factory=dict)
    good: Literal["up", "down"] | None = None  # the direction in which a change is good; None: neither is
    width: int = 6


@dataclass(frozen=True, slots=True)
class Target:
    """A node of the metric tree: its number, and how far it is on the way to its target (`flows/metrics/tree.py`)."""

    node: str
    description: str
    level: int  # 0: the focus
    where: Mapping[str, str]  # the labels of its value's series
    metric: str  # the cell that it stands for
    whole: bool  # whether that is a count, and no number computed from others
    drives: str = ""
    owner: str = ""
    by: str = ""  # the day at whose end the target is to be reached
    good: Literal["up", "down"] = "up"


@dataclass(frozen=True, slots=True)
class Listing:
    """A top list, over the window that the reader chooses; `exported`: Prometheus has it, too."""

    title: str
    description: str
    name: str
    metric: str  # what it does not show
    most: int  # values
    exported: bool = False


Chart: TypeAlias = Course | Rate | Heat | ByBreakdown | Bars | Steps | Losses | Number | Target | Listing


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A heading and its charts, left to right; `where` chooses the series of all of them by their labels."""

    title: str
    charts: Sequence[Chart]
    where: Mapping[str, str] = field(default_factory=dict)
    part_of: str = ""  # where there are several such rows: the one that has what no chart names, behind the last
    page: Literal["live", "tree", "pipeline"] = "live"
    """`pipeline`: it says whether numbers can be believed, nothing of the product."""
    closed: bool = False  # opened by the reader
