"""The users of a shard: from a 64-bit hash to a dense slot, the row number in every array kept per user.

An open-addressing table (linear probing, at most two thirds full) of 4-byte slots; the hashes lie beside it by slot.
Slots are given out in the order of first sight and only change when the longest idle users are evicted at the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.compiled.prefetch import AHEAD, prefetch, upcoming
from flows.messages.columns import NO_TIME
from flows.state.container import Arrays, Container

SMALLEST = 1024
GROWTH = 1.25
"""Arrays per user grow by a quarter: at most a fifth of them is unused, for 4 copies per row in a lifetime."""


class Users(Container):
    """`count` users with slots 0 .. count - 1, and room for `capacity` before arrays per user must grow."""

    def __init__(self) -> None:
        self.count = 0
        self.capacity = SMALLEST
        self._table: NDArray[np.int32] = np.full(2 * SMALLEST, -1, np.int32)
        self._hashes: NDArray[np.uint64] = np.zeros(SMALLEST, np.uint64)
        self.last: NDArray[np.int64] = np.full(SMALLEST, NO_TIME, np.int64)
        """By slot: the time of the latest event that the ordered metrics have used, ms; NO_TIME: none."""

    def slots(self, rows: NDArray[Any]) -> NDArray[np.int32]:
        """The slot of each row's user (dtype EVENT), new users included."""
        self.resize(self._grown(self.count + len(rows)))
        slots = np.empty(len(rows), np.int32)
        self.count = _find(rows, self._table, self._hashes, self.count, slots)
        return slots

    def used(self, rows: NDArray[Any]) -> None:
        """Take note of rows (dtype HELD) that the ordered metrics use, in order."""
        _note_times(rows, self.last)

    def _grown(self, needed: int) -> int:
        capacity = self.capacity
        while capacity < needed:
            capacity = int(capacity * GROWTH) + SMALLEST
        return capacity

    def resize(self, capacity: int) -> None:
        if capacity > self.capacity:
            self._hashes = np.concatenate([self._hashes, np.zeros(capacity - self.capacity, np.uint64)])
            self.last = np.concatenate([self.last, np.full(capacity - self.capacity, NO_TIME, np.int64)])
            self.capacity = capacity
        if 2 * len(self._table) < 3 * capacity:
            self._index(2 * len(self._table))

    def _index(self, size: int) -> None:
        while 2 * size < 3 * self.capacity:
            size *= 2
        self._table = np.full(size, -1, np.int32)
        _reindex(self._table, self._hashes, self.count)

    def longest_idle(self, number: int, busy: NDArray[Any]) -> NDArray[np.int64]:
        """Slots of the `number` users whose latest event is oldest, those in `busy` (slots) left out."""
        last = self.last[: self.count].copy()
        last[busy] = np.iinfo(np.int64).max
        oldest = np.argpartition(last, number)[:number]
        return oldest[last[oldest] < np.iinfo(np.int64).max]

    def keep(self, slots: NDArray[Any]) -> None:
        self._hashes[: len(slots)] = self._hashes[slots]
        self.last[: len(slots)] = self.last[slots]
        self.last[len(slots) :] = NO_TIME
        self.count = len(slots)
        self._index(len(self._table))

    def save(self, users: int) -> Arrays:
        return {"hashes": self._hashes[: self.count], "last": self.last[: self.count]}

    def upgraded(self, arrays: Arrays) -> Arrays:
        """Earlier builds kept the minute in which a user was seen: its end is not before what was used."""
        if "seen" in arrays:
            arrays = {"hashes": arrays["hashes"], "last": (arrays["seen"].astype(np.int64) + 1) * 60_000 - 1}
        return arrays

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.count = len(arrays["hashes"])
        self.capacity = capacity
        self._hashes = np.zeros(capacity, np.uint64)
        self._hashes[: self.count] = arrays["hashes"]
        self.last = np.full(capacity, NO_TIME, np.int64)
        self.last[: self.count] = arrays["last"]
        self._index(2 * SMALLEST)


@inlined
def _first_place(table: NDArray[np.int32], user: np.uint64) -> np.uint64:
    """Where the slot of `user` is looked for first. The low bits chose the shard, so it comes from the high ones."""
    return (user >> np.uint64(24)) & np.uint64(len(table) - 1)


@inlined
def _place(table: NDArray[np.int32], hashes: NDArray[np.uint64], user: np.uint64) -> np.uint64:
    """Where the slot of `user` is, or the free place where it belongs."""
    mask = np.uint64(len(table) - 1)
    i = _first_place(table, user)
    while table[i] >= 0 and hashes[table[i]] != user:
        i = (i + np.uint64(1)) & mask
    return i


@compiled
def _find(
    rows: NDArray[Any],
    table: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    count: int,
    slots: NDArray[np.int32],
) -> int:
    for i in range(len(rows)):
        prefetch(table, _first_place(table, rows[min(i + 2 * AHEAD, len(rows) - 1)]["user"]))
        likely = table[_first_place(table, rows[min(i + AHEAD, len(rows) - 1)]["user"])]
        prefetch(hashes, likely)
        user = rows[i]["user"]
        place = _place(table, hashes, user)
        if table[place] < 0:
            table[place] = count
            hashes[count] = user
            count += 1
        slots[i] = table[place]
    return count


@compiled
def _note_times(rows: NDArray[Any], last: NDArray[np.int64]) -> None:
    for i in range(len(rows)):
        prefetch(last, upcoming(rows, i))
        last[rows[i]["slot"]] = rows[i]["ts"]


@compiled
def _reindex(table: NDArray[np.int32], hashes: NDArray[np.uint64], count: int) -> None:
    for slot in range(count):
        table[_place(table, hashes, hashes[slot])] = slot
