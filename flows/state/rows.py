"""One row per user, and plain counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flows.state.axes import Axis, Legend, Words, axis_of, carried
from flows.state.container import Arrays, Container


class UserRows(Container):
    """`rows[slot]`: what a family knows of one user; a record of `dtype`, or one number, or `width` numbers.

    New users start with `fill` (every byte of a record zero by default). `dims` says what the breakdown codes stand
    for, in the field of that name or in the numbers themselves.
    """

    def __init__(self, dtype: DTypeLike, fill: int = 0, dims: Words | None = None, width: int | None = None) -> None:
        self._fill = fill
        self._dims = dims
        self._shape = () if width is None else (width,)
        self.rows: NDArray[Any] = np.zeros((0, *self._shape), dtype)

    def save(self, users: int) -> Arrays:
        return {"rows": self.rows[:users]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.rows = np.asarray(arrays["rows"], self.rows.dtype)
        self.resize(capacity)

    def legend(self) -> Legend:
        return None if self._dims is None else self._dims.legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        assert self._dims is not None
        rows = arrays["rows"].copy()
        if rows.dtype.names is None:
            return {"rows": self._dims.words(rows, past)}
        rows["dims"] = self._dims.words(rows["dims"], past)
        return {"rows": rows}

    def resize(self, capacity: int) -> None:
        rows = np.zeros((capacity, *self._shape), self.rows.dtype)
        kept = min(len(self.rows), capacity)
        same = self.rows[:kept].reshape(-1).view(np.uint8)  # a record at once, not by field
        rows.reshape(-1).view(np.uint8)[: len(same)] = same
        if self._fill:
            rows[kept:] = self._fill
        self.rows = rows

    def keep(self, slots: NDArray[Any]) -> None:
        capacity = len(self.rows)
        self.rows = self.rows.take(slots, axis=0)
        self.resize(capacity)


class Counters(Container):
    """An int64 array; its shape is that of `axes`."""

    def __init__(self, *axes: Axis | int, fill: int = 0) -> None:
        self._axes = [axis_of(axis) for axis in axes]
        self.values = np.full([len(axis) for axis in self._axes], fill, np.int64)

    def save(self, users: int) -> Arrays:
        return {"values": self.values}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.values[...] = arrays["values"]

    def legend(self) -> Legend:
        return [axis.legend() for axis in self._axes]

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        return {"values": carried(arrays["values"], 0, self._axes, past)}
