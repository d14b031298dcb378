"""Things that fall due at a known time and belong to no user any more: a binary heap of flat rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.state.axes import Legend, Words
from flows.state.container import Arrays, Container


class Heap(NamedTuple):
    """The arrays as kernels take them: `rows[: size[0]]` is a binary min-heap by its first column (CLRS, chapter 6)."""

    rows: NDArray[np.int64]  # (capacity, columns); the first column is the time (ms) at which the row falls due
    size: NDArray[np.int64]  # (1,)
    top: NDArray[np.int64]  # (columns,) the row last popped


class Queue(Container):
    """Rows of `columns` int64, the first of them their time.

    `dims`: which of them has breakdown codes, and what these stand for.
    """

    def __init__(self, columns: int, dims: tuple[int, Words] | None = None) -> None:
        self._dims = dims
        self.heap = Heap(np.zeros((16, columns), np.int64), np.zeros(1, np.int64), np.zeros(columns, np.int64))

    def reserve(self, more: int) -> None:
        """Make room for `more` rows, so that a kernel can push without asking."""
        needed = int(self.heap.size[0]) + more
        rows = self.heap.rows
        if needed > len(rows):
            grown = np.zeros((max(needed, 2 * len(rows)), rows.shape[1]), np.int64)
            grown[: len(rows)] = rows
            self.heap = self.heap._replace(rows=grown)

    def save(self, users: int) -> Arrays:
        return {"rows": self.heap.rows[: int(self.heap.size[0])]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.heap.size[0] = 0
        self.reserve(len(arrays["rows"]))
        self.heap.size[0] = len(arrays["rows"])
        self.heap.rows[: len(arrays["rows"])] = arrays["rows"]

    def legend(self) -> Legend:
        return None if self._dims is None else self._dims[1].legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        assert self._dims is not None
        column, dims = self._dims
        rows = arrays["rows"].copy()
        rows[:, column] = dims.words(rows[:, column].astype(np.uint64), past).astype(np.int64)
        return {"rows": rows}


@inlined
def push(heap: Heap, time: int) -> int:
    """Add a row that falls due at `time`; returns its place, where the caller writes the other columns."""
    child = heap.size[0]
    heap.size[0] += 1
    while child > 0:
        parent = (child - 1) // 2
        if heap.rows[parent, 0] <= time:
            break
        for column in range(heap.rows.shape[1]):
            heap.rows[child, column] = heap.rows[parent, column]
        child = parent
    heap.rows[child, 0] = time
    return int(child)


@inlined
def due(heap: Heap, now: int) -> bool:
    """Whether the soonest row falls due before `now` (ms)."""
    return bool(heap.size[0] > 0 and heap.rows[0, 0] < now)


@inlined
def pop(heap: Heap) -> None:
    """Move the soonest row into `heap.top`; there must be one."""
    heap.size[0] -= 1
    count = heap.size[0]
    columns = heap.rows.shape[1]
    for column in range(columns):
        heap.top[column] = heap.rows[0, column]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= count:
            break
        if child + 1 < count and heap.rows[child + 1, 0] < heap.rows[child, 0]:
            child += 1
        if heap.rows[count, 0] <= heap.rows[child, 0]:
            break
        for column in range(columns):
            heap.rows[parent, column] = heap.rows[child, column]
        parent = child
    for column in range(columns):
        heap.rows[parent, column] = heap.rows[count, column]
