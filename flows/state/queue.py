"""Things that fall due at a known time and belong to no user any more: a binary heap of flat rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.kernels import kernel
from flows.state.container import Arrays, Container


class Queue(Container):
    """Rows of int64 whose first column is the time (ms) at which they fall due.

    `heap[: size[0]]` is a binary min-heap by that column (CLRS, chapter 6).
    """

    def __init__(self, columns: int) -> None:
        self.heap = np.zeros((16, columns), np.int64)
        self.size = np.zeros(1, np.int64)

    def reserve(self, more: int) -> None:
        """Make room for `more` rows, so that a kernel can push without asking."""
        needed = int(self.size[0]) + more
        if needed > len(self.heap):
            heap = np.zeros((max(needed, 2 * len(self.heap)), self.heap.shape[1]), np.int64)
            heap[: len(self.heap)] = self.heap
            self.heap = heap

    def save(self, users: int) -> Arrays:
        return {"heap": self.heap[: int(self.size[0])]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.size[0] = 0
        self.reserve(len(arrays["heap"]))
        self.size[0] = len(arrays["heap"])
        self.heap[: len(arrays["heap"])] = arrays["heap"]


@kernel
def push(heap: NDArray[np.int64], size: NDArray[np.int64], row: NDArray[np.int64]) -> None:
    """Add `row`."""
    child = size[0]
    size[0] += 1
    while child > 0:
        parent = (child - 1) // 2
        if heap[parent, 0] <= row[0]:
            break
        heap[child] = heap[parent]
        child = parent
    heap[child] = row


@kernel
def pop(heap: NDArray[np.int64], size: NDArray[np.int64], row: NDArray[np.int64]) -> None:
    """Move the soonest row into `row`; there must be one."""
    row[:] = heap[0]
    size[0] -= 1
    count = size[0]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1, 0] < heap[child, 0]:
            child += 1
        if heap[count, 0] <= heap[child, 0]:
            break
        heap[parent] = heap[child]
        parent = child
    heap[parent] = heap[count]
