"""Trailing windows of as many counters as things turn up: columns come and go, and the first one always stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.state.container import Arrays
from flows.state.windows import PANES, Windows


class GrowingWindows(Windows):
    """As `Windows`, with a single axis of counters whose length changes."""

    def __init__(self, widths_ms: Sequence[int]) -> None:
        super().__init__(widths_ms, 1)
        self.reserve(2)

    def reserve(self, counters: int) -> None:
        """Make room for so many, all 0 as long as nothing is counted there."""
        more = counters - self.totals.shape[1]
        if more > 0:
            self._hold(
                np.pad(self.ring.panes, ((0, 0), (0, 0), (0, more))), np.pad(self.ring.totals, ((0, 0), (0, more)))
            )

    def retain(self, counters: NDArray[np.int64], size: int) -> None:
        """Let counter i be that which was `counters[i]`; behind these there is room up to `size`."""
        self._hold(self.ring.panes[:, :, counters], self.ring.totals[:, counters])
        self.reserve(size)

    def _hold(self, panes: NDArray[np.int64], totals: NDArray[np.int64]) -> None:
        self.ring = self.ring._replace(panes=np.ascontiguousarray(panes), totals=np.ascontiguousarray(totals))

    def save(self, users: int) -> Arrays:
        return super().save(users) | {"size": np.array([self.totals.shape[1]], np.int64)}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        windows, size = len(self.ring.widths), int(arrays["size"][0])
        self._hold(np.zeros((windows, PANES, size), np.int64), np.zeros((windows, size), np.int64))
        super().load(arrays, capacity)
