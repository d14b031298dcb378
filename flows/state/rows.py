"""One row per user, and plain counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flows.state.container import Arrays, Container


class UserRows(Container):
    """`rows[slot]`: what a family knows of one user; a record of `dtype`, or one number.

    New users start with `fill` (every byte of a record zero by default).
    """

    def __init__(self, dtype: DTypeLike, fill: int = 0) -> None:
        self._fill = fill
        self.rows: NDArray[Any] = np.zeros(0, dtype)

    def save(self, users: int) -> Arrays:
        return {"rows": self.rows[:users]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.rows = np.zeros(0, self.rows.dtype)
        self.resize(capacity)
        self.rows[: len(arrays["rows"])] = arrays["rows"]

    def resize(self, capacity: int) -> None:
        rows = np.zeros(capacity, self.rows.dtype)
        kept = min(len(self.rows), capacity)
        rows.view(np.uint8)[: kept * rows.itemsize] = self.rows[:kept].view(np.uint8)  # a record at once, not by field
        if self._fill:
            rows[kept:] = self._fill
        self.rows = rows

    def keep(self, slots: NDArray[Any]) -> None:
        capacity = len(self.rows)
        self.rows = self.rows[slots]
        self.resize(capacity)


class Counters(Container):
    """An int64 array of a fixed shape."""

    def __init__(self, *shape: int, fill: int = 0) -> None:
        self.values = np.full(shape, fill, np.int64)

    def save(self, users: int) -> Arrays:
        return {"values": self.values}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.values[...] = arrays["values"]
