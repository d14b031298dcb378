"""The seven shapes of an alert, as data: what is counted, which change matters, and what the person on call reads.

flows/alerting/shapes makes Prometheus rules of them. Every shape wants a change that matters, one that is no accident,
enough volume, and fresh numbers; a declaration says what those are for its numbers, and nothing of PromQL.

`CountFell`     fewer than in the same hour last week: users, sign-ups, orders
`AmountFell`    less money than in the same hour last week, brought by independent items: revenue
`CountRose`     more than in the trailing time: cancellations, tickets
`ShareChanged`  another share of a whole than in the same hour last week, up or down: bounces, conversions
`MeanChanged`   more or less of something each than in the same hour last week: the duration of sessions, NPS
`StockFell`     a stock loses more than in the trailing time: MRR
`OffTrack`      less of the way to a target has been gone than of the time for it: a node of the metric tree
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from flows.config.alerts import Severity
from flows.config.notation import format_duration


@dataclass(frozen=True, slots=True)
class Series:
    """One published family under some labels: the series that stand for all values of every breakdown."""

    family: str  # of Prometheus, without tidegauge_
    labels: Mapping[str, str] = field(default_factory=dict)
    one_of: tuple[str, Sequence[str]] | None = None  # a label and some of its values, whose series are added up
    by: tuple[str, ...] = ()  # labels left open; each of their values is judged by itself


@dataclass(frozen=True, slots=True)
class Amount:
    """A published number, or the difference of two, under a name: recorded as `tidegauge:<shape's name>:<name>`."""

    name: str
    about: str  # a sentence for readers of the rules
    plus: Series
    minus: Series | None = None
    labels: Mapping[str, str] = field(default_factory=dict)  # tell the amounts of one alert apart

    def label_names(self) -> tuple[str, ...]:
        """The labels of what is recorded, besides `product`."""
        return (*self.plus.by, *self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What all alerts have. Summary and description are templates of Prometheus; `$value` is the number judged."""

    name: str  # of its numbers: tidegauge:<name>:...
    alert: str  # also the name of its page in deploy/runbooks
    about: str  # which numbers: a sentence for readers of the rules
    summary: str
    description: str  # what is so; what is usual and how sure the change is follow by themselves
    severity: Severity = "page"
    dashboard: Literal["live", "tree"] = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFell(Shape):
    """Fewer than in the same hour last week; in the first week nearly none, where many were usual in the last day."""

    counts: Sequence[Amount]  # each judged by itself; all with the same name and label names
    window_ms: int  # over which each is counted
    drop: float  # so much less matters: 0.5 is half
    below: int  # without a last week: fewer than this
    least: int  # not judged where fewer are usual


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountFell(Shape):
    """Less than in the same hour last week, in sum; in the first week nearly nothing, where much was usual.

    A shape of its own, since an amount varies with the number of its items and with what each brings: it has fallen
    although neither has by enough to say so.
    """

    items: Amount  # how many bring it
    amount: Amount  # in the same unit as `below`
    window_ms: int
    drop: float  # so much less matters: 0.5 is half
    below: float  # without a last week: less than this
    variation: float  # standard deviation of what an item brings over the mean
    least: int  # not judged where fewer items are usual


@dataclass(frozen=True, slots=True)
class ShareOf:
    """A share of a published number."""

    share: float
    whole: Series


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRose(Shape):
    """More than in the trailing time; while that is short, more than a fixed number."""

    counts: Sequence[Amount]  # each judged by itself; all with the same name and label names
    window_ms: int  # over which each is counted
    factor: float  # so many times as many matter
    above: int | ShareOf  # while the trailing time is too short to compare with: more than this
    least: int  # not judged by fewer


@dataclass(frozen=True, slots=True)
class Rise:
    """A share that matters when it is larger."""

    points: float  # larger by so much: 0.1 is ten percentage points
    above: float  # without a last week: larger than this


@dataclass(frozen=True, slots=True)
class Fall:
    """A share or a mean that matters when it is smaller."""

    drop: float  # smaller by so much of itself: 0.25 is a quarter
    below: float  # without a last week: smaller than this


@dataclass(frozen=True, slots=True)
class Loss:
    """A mean that matters when it is smaller, whatever its sign."""

    amount: float  # smaller by so much, in the mean's unit
    below: float  # without a last week: smaller than this


@dataclass(frozen=True, slots=True)
class Growth:
    """A mean that matters when it is larger."""

    rise: float  # larger by so much of itself: 0.5 is half as much again
    above: float  # without a last week: larger than this


@dataclass(frozen=True, slots=True)
class Counted:
    """A share of two counts, `part` of `whole`, within a window. Judged by the two-proportion z-test."""

    part: Amount
    whole: Amount
    window_ms: int

    def label_names(self) -> tuple[str, ...]:
        """The labels of what is recorded, besides `product`."""
        return self.whole.label_names()


@dataclass(frozen=True, slots=True)
class Estimated:
    """A share that is published as an estimate with its standard error; `whole` is how many it was made of."""

    ratio: Series
    error: Series
    whole: Sequence[Amount]  # all with the same name; one for each value of the labels of `ratio`

    def label_names(self) -> tuple[str, ...]:
        """The labels of what is recorded, besides `product`."""
        return self.ratio.by


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChanged(Shape):
    """Another share than in the same hour last week; in the first week beyond a fixed one."""

    share: Counted | Estimated
    change: Rise | Fall
    least: int  # not judged by a smaller whole
    apart: Mapping[str, tuple[Rise | Fall, int]] = field(default_factory=dict)
    """Another change and least for single values of the share's one label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanChanged(Shape):
    """More or less of something each than in the same hour last week; in the first week beyond a fixed mean."""

    items: Amount  # over which the mean is
    mean: Series
    over: Series | None = None
    """What the published mean is over, if `items` are only some of it, and the others add nothing to the total."""
    unit: str  # of the mean, in Prometheus: seconds, minor_units
    change: Growth | Fall | Loss  # their limits in `unit`
    variation: float | Series
    """The standard deviation of one item over the mean; or the published standard error of the mean, in `unit`."""
    least: int  # not judged by fewer items


@dataclass(frozen=True, slots=True, kw_only=True)
class StockFell(Shape):
    """A stock loses a larger share than in the trailing time; while that is short, more than a fixed share.

    A shape of its own, since it is no count: an amount of money has no Poisson variance, so the only measure of chance
    is how the loss has varied; it is judged against a stock, and may be negative, where the stock grows.
    """

    stock: Amount
    lost: Amount  # within the window, net of what was gained; in the unit of the stock
    window_ms: int
    loss: float  # such a share of the stock at the window's start matters
    static_loss: float  # while the trailing time is too short to compare with
    holders: Series  # among whom the stock is shared
    least: int  # not judged while fewer average holders than this would hold the loss


@dataclass(frozen=True, slots=True, kw_only=True)
class OffTrack(Shape):
    """A number that was to be somewhere by now is not, and has not been for long.

    A shape of its own, since it compares with a plan: no past says what is usual, so there is no test of chance.
    """

    on_track: Sequence[Amount]  # each 1 or 0; all with the same name and label names
    progress: Sequence[Amount]  # for the person on call: how much of each way has been gone
    lasting_ms: int


AnyShape = CountFell | AmountFell | CountRose | ShareChanged | MeanChanged | StockFell | OffTrack


def window_of(windows: Sequence[int], wanted_ms: int) -> int:
    """The smallest of `windows` that is not below the one wanted, else the largest of all."""
    return min((window for window in windows if window >= wanted_ms), default=max(windows))


def label_of(window_ms: int) -> str:
    """The value of the label `window`."""
    return format_duration(window_ms)
