"""Histograms of durations: counts up to fixed bounds, additive over shards, and the mean and quantiles they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.metrics.cells import Metric, Window
from flows.metrics.formulas import quantile_ms, ratio
from flows.metrics.rows import Count, Formula

BOUNDS_S: Final = (0, 5, 10, 30, 60, 180, 600, 1800, 3600, 14400)
"""Upper bounds (seconds, inclusive) of sessions' durations and of times to convert."""
LONG_BOUNDS_S: Final = (60, 300, 900, 3600, 21600, 86400, 259200, 604800, 1209600, 2592000)
"""The same of times to a milestone and to a ticket's resolution: a minute to 30 days."""


@dataclass(frozen=True, slots=True)
class Durations:
    """One histogram of a family, published as cumulative counts; `{}` in a name is for the bound, `p50`, ...

    A family keeps one counter per bound, not cumulative, in the order of `bounds_s`: `read_cumulative` adds them up.
    """

    count: str  # stem: how many durations there are, those beyond the largest bound among them
    sum_ms: str  # stem
    below: str  # "sessions.duration_le_{}"
    below_metric: Metric
    mean: Metric
    quantile: Metric
    quantile_stem: str  # "session_duration_{}"
    mean_stem: str = ""
    percents: Sequence[int] = (50, 90)
    bounds_s: Sequence[int] = BOUNDS_S

    def counts(self) -> list[Count]:
        """One row per bound."""
        return [Count(self.below_metric, self.below.format(bound)) for bound in self.bounds_s]

    def formulas(self, windows: Sequence[Window]) -> Iterator[Formula]:
        """Mean and quantiles, ms."""
        yield Formula(self.mean, (self.sum_ms, self.count), ratio, self.mean_stem, windows=windows)
        buckets = [self.below.format(bound) for bound in self.bounds_s]
        for percent in self.percents:
            yield Formula(
                self.quantile,
                (self.count, *buckets),
                _quantile(percent / 100, self.bounds_s),
                self.quantile_stem.format(f"p{percent}"),
                {"q": str(percent / 100)},
                windows,
            )


def _quantile(q: float, bounds_s: Sequence[int]) -> Callable[..., float | None]:
    def quantile(count: int, *cumulative: int) -> float | None:
        return quantile_ms(q, bounds_s, count, *cumulative)

    quantile.__doc__ = f"With q = {q:g}: {quantile_ms.__doc__}"
    return quantile


@inlined
def bucket_of(bounds_s: tuple[int, ...], duration_ms: int) -> int:
    """The place of the smallest bound that is not below a duration; len(bounds_s) beyond all."""
    bucket = 0
    while bucket < len(bounds_s) and duration_ms > bounds_s[bucket] * 1000:
        bucket += 1
    return bucket


@steady
def read_cumulative(totals: NDArray[np.int64], fields: int, first: int, bounds: int, values: NDArray[np.int64]) -> None:
    """Copy `totals`, shape (windows, groups x fields), to the beginning of `values`, with the counters of a histogram,
    `bounds` many from field `first` on, added up.
    """
    place = 0
    for w in range(totals.shape[0]):
        for start in range(0, totals.shape[1], fields):
            below = 0
            for field in range(fields):
                count = totals[w, start + field]
                below = count + below if first < field < first + bounds else count
                values[place] = below
                place += 1
