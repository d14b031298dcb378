"""Trailing windows of counters, each made of 60 panes aligned to the epoch.

The pane of a time in a window is `ts * 60 // width` (exact for every width). A window standing at pane `head`
covers the panes `head - 59 .. head`; they live in a ring, and their running sum is kept beside it, so that reading a
window costs nothing and moving it on costs one pane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.messages.columns import NO_TIME
from flows.state.axes import Axis, Legend, axis_of, carried
from flows.state.container import Arrays, Container

PANES: Final = 60


class Ring(NamedTuple):
    """The arrays of `n` windows with `k` counters each, as kernels take them."""

    widths: NDArray[np.int64]  # (n,) ms
    lags: NDArray[np.int64]  # (n,) ms that each window stands behind the time it is moved to
    rates: NDArray[np.float64]  # (n,) panes per ms
    heads: NDArray[np.int64]  # (n,) the newest pane that each window covers
    begins: NDArray[np.int64]  # (n,) when that pane begins, ms
    panes: NDArray[np.int64]  # (n, 60, k) counts by pane, at pane % 60
    totals: NDArray[np.int64]  # (n, k) the sums over the panes covered


class Windows(Container):
    """Counters in each of the windows `widths_ms`: as many as `axes` have places together, the last ones next to each
    other. With `lags_ms`, each window stands so far behind.
    """

    def __init__(self, widths_ms: Sequence[int], *axes: Axis | int, lags_ms: Sequence[int] = ()) -> None:
        self._axes = [axis_of(axis) for axis in axes]
        n, counters = len(widths_ms), prod(map(len, self._axes))
        lags = np.array(lags_ms or [0] * n, np.int64)
        self.ring = Ring(
            np.array(widths_ms, np.int64),
            lags,
            PANES / np.array(widths_ms, np.float64),
            np.full(n, NO_TIME, np.int64),
            np.full(n, NO_TIME, np.int64),
            np.zeros((n, PANES, counters), np.int64),
            np.zeros((n, counters), np.int64),
        )
        self.new_places: Sequence[int] = ()
        """Along the last axis: those that are new since the checkpoint, so that they are empty in all windows."""

    @property
    def totals(self) -> NDArray[np.int64]:
        """Shape (windows, counters): the value of each counter in each window."""
        return self.ring.totals

    def save(self, users: int) -> Arrays:
        """Most panes of most counters are empty: only the others are kept."""
        panes = self.ring.panes.reshape(-1)
        places = np.flatnonzero(panes).astype(np.int32)
        return {"heads": self.ring.heads, "begins": self.ring.begins, "places": places, "counts": panes[places]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.ring.heads[...] = arrays["heads"]
        self.ring.begins[...] = arrays["begins"]
        self.ring.panes[...] = 0
        self.ring.panes.reshape(-1)[arrays["places"]] = arrays["counts"]
        self.ring.totals[...] = self.ring.panes.sum(axis=1)

    def legend(self) -> Legend:
        return {"widths": self._kinds(), "axes": [axis.legend() for axis in self._axes]}

    def _kinds(self) -> list[int | list[int]]:
        """What tells the windows apart: the width, and the lag where there is one."""
        pairs = zip(self.ring.widths.tolist(), self.ring.lags.tolist(), strict=True)
        return [[width, lag] if lag else width for width, lag in pairs]

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """A window that is new stands nowhere, until `begin` or time lets it stand somewhere."""
        sizes = [axis.size(legend) for axis, legend in zip(self._axes, past["axes"], strict=True)]
        old = np.zeros(len(past["widths"]) * PANES * prod(sizes), np.int64)
        old[arrays["places"]] = arrays["counts"]
        old = carried(old.reshape(len(past["widths"]), PANES, *sizes), 2, self._axes, past["axes"])
        sources = self._axes[-1].sources(past["axes"][-1]) if self._axes else ()
        self.new_places = [place for place, found in enumerate(sources) if not found]
        heads, begins = np.full_like(self.ring.heads, NO_TIME), np.full_like(self.ring.begins, NO_TIME)
        panes = np.zeros_like(self.ring.panes)
        for w, kind in enumerate(self._kinds()):
            if kind in past["widths"]:
                was = past["widths"].index(kind)
                heads[w], begins[w] = arrays["heads"][was], arrays["begins"][was]
                panes[w] = old[was].reshape(PANES, -1)
        places = np.flatnonzero(panes).astype(np.int32)
        return {"heads": heads, "begins": begins, "places": places, "counts": panes.reshape(-1)[places]}

    def begin(self, now_ms: int) -> NDArray[np.int64]:
        """Let the windows that stand nowhere stand at `now_ms`; returns which they are."""
        new = np.flatnonzero(self.ring.heads == NO_TIME)
        self.ring.heads[new] = (now_ms - self.ring.lags[new]) * PANES // self.ring.widths[new]
        self.ring.begins[new] = -(-self.ring.heads[new] * self.ring.widths[new] // PANES)
        return new

    def book(
        self,
        windows: NDArray[np.int64],
        times_ms: NDArray[np.int64],
        counters: NDArray[Any],
        amounts: int | NDArray[Any] = 1,
    ) -> None:
        """Count `amounts` at each of the times, in the counter beside it, in those of `windows` that hold the time."""
        for w in windows.tolist():
            panes = times_ms * PANES // self.ring.widths[w]
            held = (panes > self.ring.heads[w] - PANES) & (panes <= self.ring.heads[w])
            counted = np.broadcast_to(amounts, times_ms.shape)[held]
            np.add.at(self.ring.panes[w], (panes[held] % PANES, counters[held]), counted)
            self.ring.totals[w] = self.ring.panes[w].sum(axis=0)


@compiled
def move(ring: Ring, now: int) -> None:
    """Let every window stand at `now` (ms) less its lag; what has left it is forgotten. Never moves back."""
    for w in range(len(ring.widths)):
        head = ring.heads[w]
        new = (now - ring.lags[w]) * PANES // ring.widths[w]
        if new <= head:
            continue
        for pane in range(max(head + 1, new - PANES + 1), new + 1):
            slot = pane % PANES
            for k in range(ring.totals.shape[1]):
                ring.totals[w, k] -= ring.panes[w, slot, k]
                ring.panes[w, slot, k] = 0
        ring.heads[w] = new
        ring.begins[w] = -(-new * ring.widths[w] // PANES)


@inlined
def pane_of(ring: Ring, w: int, ts: int) -> int:
    """The ring position of time `ts` (ms) in window `w`, or -1 where the window no longer holds it.

    Most times lie in the newest pane. For the others the quotient is taken in floating point, which is several times as
    fast as dividing integers, and put right where rounding has moved it by one.
    """
    head = ring.heads[w]
    if ts >= ring.begins[w]:
        return int(head % PANES)
    width = ring.widths[w]
    pane = int(ts * ring.rates[w])
    rest = ts * PANES - pane * width
    if rest < 0:
        pane -= 1
    elif rest >= width:
        pane += 1
    return pane % PANES if pane > head - PANES else -1


@inlined
def add(ring: Ring, ts: int, counter: int, amount: int) -> None:
    """Count `amount` at time `ts` (ms, not after the time the windows stand at) in all windows that hold it."""
    add_in(ring, 0, len(ring.widths), ts, counter, amount)


@inlined
def add_in(ring: Ring, first: int, stop: int, ts: int, counter: int, amount: int) -> None:
    """As `add`, in the windows from `first` to before `stop` only."""
    for w in range(first, stop):
        position = pane_of(ring, w, ts)
        if position >= 0:
            ring.panes[w, position, counter] += amount
            ring.totals[w, counter] += amount
