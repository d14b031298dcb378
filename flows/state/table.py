"""Rows that are found by a 64-bit hash: an open-addressing table with linear probing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.state.axes import Legend, Words
from flows.state.container import Arrays, Container, renumbered

SMALLEST: Final = 16
MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""Spreads keys that are small numbers over the table."""


class Entries(NamedTuple):
    """The arrays as kernels take them; rows are given out in the order of first sight."""

    places: NDArray[np.int32]  # (a power of two,) row number, -1: free; at most half full
    keys: NDArray[np.uint64]  # (capacity,) by row
    rows: NDArray[Any]  # (capacity,) records; a new one is all zeros
    used: NDArray[np.int64]  # (1,)


class Table(Container):
    """`entries`: key -> a record of `dtype`. `dims` says what the codes in its field of that name stand for."""

    def __init__(self, dtype: DTypeLike, dims: Words | None = None) -> None:
        self._dtype = np.dtype(dtype)
        self._dims = dims
        self.entries = self._empty(SMALLEST)

    def _empty(self, capacity: int) -> Entries:
        return Entries(
            np.full(2 * capacity, -1, np.int32),
            np.zeros(capacity, np.uint64),
            np.zeros(capacity, self._dtype),
            np.zeros(1, np.int64),
        )

    def __len__(self) -> int:
        return int(self.entries.used[0])

    @property
    def capacity(self) -> int:
        """How many there is room for."""
        return len(self.entries.rows)

    @property
    def known(self) -> NDArray[Any]:
        """The rows given out."""
        return self.entries.rows[: len(self)]

    def reserve(self, more: int) -> None:
        """Make room for `more` new keys, so that a kernel can insert without asking."""
        capacity = len(self.entries.rows)
        while len(self) + more > capacity:
            capacity *= 2
        if capacity > len(self.entries.rows):
            self._fill(self.entries.keys[: len(self)], self.known, capacity)

    def _fill(self, keys: NDArray[Any], rows: NDArray[Any], capacity: int) -> None:
        count = len(keys)
        entries = self._empty(capacity)
        entries.keys[:count] = keys
        entries.rows[:count].view(np.uint8)[:] = rows.view(np.uint8)  # a record at once, not by field
        entries.used[0] = count
        _reindex(entries)
        self.entries = entries

    def retain(self, kept: NDArray[np.bool_]) -> None:
        """Forget the rows that are not in `kept`, one flag for each of `known`; the others move together."""
        self._fill_with(self.entries.keys[: len(self)][kept], self.known.compress(kept))

    def save(self, users: int) -> Arrays:
        return {"keys": self.entries.keys[: len(self)], "rows": self.known}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._fill_with(arrays["keys"], arrays["rows"])

    def _fill_with(self, keys: NDArray[Any], rows: NDArray[Any]) -> None:
        """Hold these rows, with as much room as they need."""
        room = SMALLEST
        while room < len(keys):
            room *= 2
        self._fill(keys, rows, room)

    def legend(self) -> Legend:
        return None if self._dims is None else self._dims.legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        assert self._dims is not None
        rows = arrays["rows"].copy()
        rows["dims"] = self._dims.words(rows["dims"], past)
        return {"keys": arrays["keys"], "rows": rows}


class UserTable(Table):
    """A record for each of the few users that have one; the key is the user's slot."""

    def upgraded(self, arrays: Arrays) -> Arrays:
        """Earlier builds kept a row for every user, all zeros where there was nothing to keep."""
        if "keys" in arrays:
            return arrays
        known = np.flatnonzero(arrays["rows"] != np.zeros(1, self._dtype))
        return {"keys": known.astype(np.uint64), "rows": arrays["rows"].take(known)}

    def keep(self, slots: NDArray[Any]) -> None:
        owners = renumbered(self.entries.keys[: len(self)].astype(np.int64), slots)
        kept = owners >= 0
        self._fill_with(owners[kept].astype(np.uint64), self.known.compress(kept))


@inlined
def _place(entries: Entries, key: np.uint64) -> Number:
    """Where the row of `key` is, or the free place where it belongs."""
    mask = np.uint64(len(entries.places) - 1)
    i = ((key * MIX) >> np.uint64(32)) & mask
    while entries.places[i] >= 0 and entries.keys[entries.places[i]] != key:
        i = (i + np.uint64(1)) & mask
    return i


@inlined
def known_row(entries: Entries, key: np.uint64) -> Number:
    """The row of `key`, -1 when it is not known."""
    return np.int64(entries.places[_place(entries, key)])


@inlined
def row_of(entries: Entries, key: np.uint64) -> Number:
    """The row of `key`, a new one when it is not known; there must be room for it."""
    place = _place(entries, key)
    if entries.places[place] < 0:
        entries.places[place] = entries.used[0]
        entries.keys[entries.used[0]] = key
        entries.used[0] += 1
    return np.int64(entries.places[place])


@inlined
def forget_newest(entries: Entries) -> None:
    """Forget the row given out last, as if its key had never come."""
    row = entries.used[0] - 1
    entries.places[_place(entries, entries.keys[row])] = -1
    entries.used[0] = row


@compiled
def _reindex(entries: Entries) -> None:
    for row in range(entries.used[0]):
        entries.places[_place(entries, entries.keys[row])] = row
