"""Counters by calendar day, for days that lie at most so far back."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.state.axes import Axis, Legend, axis_of, carried
from flows.state.container import Arrays, Container

NO_DAY: Final = -1


class Sheet(NamedTuple):
    """The arrays as kernels take them."""

    counts: NDArray[np.int64]  # (days kept, counters), at day % kept
    head: NDArray[np.int64]  # (1,) the newest day


class Days(Container):
    """Counters of the newest `kept` days: as many as `axes` have places together."""

    def __init__(self, kept: int, *axes: Axis | int) -> None:
        self._axes = [axis_of(axis) for axis in axes]
        self.sheet = Sheet(np.zeros((kept, prod(map(len, self._axes))), np.int64), np.full(1, NO_DAY, np.int64))

    def sums(self, last: int, days: int) -> NDArray[np.int64]:
        """Each counter over so many days up to day `last`."""
        counts = self.sheet.counts
        found: NDArray[np.int64] = counts[np.arange(last - days + 1, last + 1) % len(counts)].sum(axis=0)
        return found

    def save(self, users: int) -> Arrays:
        """Most counters of most days are 0: only the others are kept."""
        counts = self.sheet.counts.reshape(-1)
        places = np.flatnonzero(counts).astype(np.int32)
        return {"head": self.sheet.head, "places": places, "counts": counts[places]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.sheet.head[...] = arrays["head"]
        self.sheet.counts[...] = 0
        self.sheet.counts.reshape(-1)[arrays["places"]] = arrays["counts"]

    def legend(self) -> Legend:
        return [axis.legend() for axis in self._axes]

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        sizes = [axis.size(legend) for axis, legend in zip(self._axes, past, strict=True)]
        old = np.zeros(len(self.sheet.counts) * prod(sizes), np.int64)
        old[arrays["places"]] = arrays["counts"]
        new = carried(old.reshape(-1, *sizes), 1, self._axes, past).reshape(-1)
        places = np.flatnonzero(new).astype(np.int32)
        return {"head": arrays["head"], "places": places, "counts": new[places]}


@inlined
def turn_to(sheet: Sheet, day: int) -> None:
    """Let `day` be the newest; what is too old is forgotten."""
    kept = len(sheet.counts)
    for new in range(max(sheet.head[0], day - kept) + 1, day + 1):
        for counter in range(sheet.counts.shape[1]):
            sheet.counts[new % kept, counter] = 0
    sheet.head[0] = max(sheet.head[0], day)


@inlined
def add_on(sheet: Sheet, day: int, counter: int, amount: int) -> None:
    """Count `amount` on a day, unless it is too old."""
    if day > sheet.head[0] - len(sheet.counts):
        sheet.counts[day % len(sheet.counts), counter] += amount
