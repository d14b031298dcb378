"""Which events have been seen before: message ids of the last one to two horizons, as 64-bit hashes.

Time is cut into generations of one horizon of stream time. An id is remembered in the generation in which it was first
read and in the next one; so a copy read within the horizon is always found, and memory is bounded by two horizons.
The key is a hash of user and messageId together: within a shard holding n ids a new one is mistaken for a copy with
probability n / 2^64 (50 million ids: 3e-12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.kernels import kernel
from flows.state.container import Arrays, Container

SMALLEST = 1024
BEFORE_TIME = -1
"""The generation of what is read before the stream clock exists; the first real one takes it over."""


class Recent(Container):
    """Two generations of ids: open-addressing tables, at most half full, 0 = free."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._generation = BEFORE_TIME
        self._current: NDArray[np.uint64] = np.zeros(SMALLEST, np.uint64)
        self._previous: NDArray[np.uint64] = np.zeros(SMALLEST, np.uint64)
        self._used = 0

    def copies(self, rows: NDArray[Any], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` (dtype EVENT, in the order read) have been seen; `times` is the stream clock at each (ms)."""
        seen = np.zeros(len(rows), np.bool_)
        start = 0
        while start < len(rows):
            self._turn(int(times[start]) // self._horizon_ms)
            self._reserve(len(rows) - start)
            end_of_generation = (self._generation + 1) * self._horizon_ms
            start, self._used = _mark(
                rows, times, start, end_of_generation, self._current, self._previous, self._used, seen
            )
        return seen

    def _turn(self, generation: int) -> None:
        if generation <= self._generation:
            return
        if self._generation != BEFORE_TIME:
            one_on = generation == self._generation + 1
            self._previous = self._current if one_on else np.zeros(SMALLEST, np.uint64)
            self._current = np.zeros(SMALLEST, np.uint64)
            self._used = 0
        self._generation = generation

    def _reserve(self, more: int) -> None:
        capacity = len(self._current)
        while 2 * (self._used + more) > capacity:
            capacity *= 2
        if capacity > len(self._current):
            self._current = _table(self._current[self._current != 0], capacity)

    def save(self, users: int) -> Arrays:
        return {
            "generation": np.array([self._generation], np.int64),
            "current": self._current[self._current != 0],
            "previous": self._previous[self._previous != 0],
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._generation = int(arrays["generation"][0])
        self._used = len(arrays["current"])
        self._current = _table(arrays["current"], _capacity_for(self._used))
        self._previous = _table(arrays["previous"], _capacity_for(len(arrays["previous"])))


def _capacity_for(count: int) -> int:
    return max(SMALLEST, 1 << (2 * count).bit_length())


def _table(keys: NDArray[Any], capacity: int) -> NDArray[np.uint64]:
    table = np.zeros(capacity, np.uint64)
    _insert(table, keys)
    return table


@kernel
def _place(table: NDArray[np.uint64], key: np.uint64) -> np.uint64:
    """Where `key` is, or the free place where it belongs."""
    mask = np.uint64(len(table) - 1)
    i = key & mask
    while table[i] != 0 and table[i] != key:
        i = (i + np.uint64(1)) & mask
    return i


@kernel
def _insert(table: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    for key in keys:
        table[_place(table, key)] = key


@kernel
def _mark(
    rows: NDArray[Any],
    times: NDArray[np.int64],
    start: int,
    end_of_generation: int,
    current: NDArray[np.uint64],
    previous: NDArray[np.uint64],
    used: int,
    seen: NDArray[np.bool_],
) -> tuple[int, int]:
    """Mark copies from row `start` on, until the clock leaves the generation; returns where it stopped, and `used`."""
    for i in range(start, len(rows)):
        if times[i] >= end_of_generation:
            return i, used
        message = rows[i]["message"]
        if message == 0:
            continue
        key = (message ^ (rows[i]["user"] >> np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(32)
        if key == 0:
            key = np.uint64(1)
        place = _place(current, key)
        if current[place] == key or previous[_place(previous, key)] == key:
            seen[i] = True
        else:
            current[place] = key
            used += 1
    return len(rows), used
