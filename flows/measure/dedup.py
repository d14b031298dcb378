"""Which events have been seen before: message ids of the last one to two horizons, as 64-bit hashes.

Time is cut into generations of one horizon. An id belongs to the generation of the clock at which it was first read
(its own partition's running clock, or the stream clock where that is ahead) and makes every copy a duplicate that is
read in that generation, the next one, or, by a partition that is behind, an earlier one. So a copy read within the
horizon is always found, whatever the polls and the interleaving of partitions; and a generation is forgotten as soon as
the stream clock is two beyond it.

The key is a hash of user and messageId together: within a shard holding n ids a new one is mistaken for a copy with
probability n / 2^64 (50 million ids: 3e-12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.compiled.prefetch import AHEAD, prefetch
from flows.messages.columns import NO_TIME
from flows.state.axes import Legend
from flows.state.container import Arrays, Container

SMALLEST = 1024


class _Generation:
    """The ids of one generation: an open-addressing table, at most half full, 0 = free.

    It begins half as large as that of the generation it is `like`.
    """

    def __init__(self, keys: NDArray[np.uint64] | None = None, like: _Generation | None = None) -> None:
        size = SMALLEST if like is None else max(SMALLEST, len(like.table) // 2)
        self.table: NDArray[np.uint64] = np.zeros(size, np.uint64)
        self.used = 0
        if keys is not None:
            self.reserve(len(keys))
            _insert(self.table, keys)
            self.used = len(keys)

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The ids, in no order."""
        keys = np.empty(self.used, np.uint64)
        _collect(self.table, keys)
        return keys

    def reserve(self, more: int) -> None:
        """Make room for `more` ids."""
        capacity = len(self.table)
        while 2 * (self.used + more) > capacity:
            capacity *= 2
        if capacity > len(self.table):
            keys = self.keys
            self.table = np.zeros(capacity, np.uint64)
            _insert(self.table, keys)


class Recent(Container):
    """The generations that can still make a copy, by number."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._generations: dict[int, _Generation] = {}
        self._newest = NO_TIME

    def copies(self, rows: NDArray[Any], clocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` (dtype EVENT, in the order read) have been seen; `clocks` is the clock at each (ms)."""
        seen = np.zeros(len(rows), np.bool_)
        keys = np.empty(len(rows), np.uint64)
        numbers = np.empty(len(rows), np.int64)
        ends = [len(rows)]
        if _identify(rows, clocks, self._horizon_ms, keys, numbers):
            ends[:0] = (np.flatnonzero(np.diff(numbers)) + 1).tolist()
        start = 0
        for end in ends:
            if start < end:
                self._mark(int(numbers[start]), keys[start:end], seen[start:end])
            start = end
        return seen

    def _mark(self, number: int, keys: NDArray[np.uint64], seen: NDArray[np.bool_]) -> None:
        newest = max(self._newest, number)
        near = range(number - 1, newest + 1)  # nearly always two, however many wait to be forgotten
        for other in near if len(near) < len(self._generations) else list(self._generations):
            if other >= number - 1 and other != number and other in self._generations:
                _find(self._generations[other].table, keys, seen)
        self._newest = newest
        if number not in self._generations:
            self._generations[number] = _Generation(like=self._generations.get(number - 1))
        own = self._generations[number]
        own.reserve(len(keys))
        own.used += _find_or_insert(own.table, keys, seen)

    def forget(self, now_ms: int) -> None:
        """The stream clock has reached `now_ms`: what no copy can be compared with any more is dropped."""
        oldest = now_ms // self._horizon_ms - 1
        for number in [number for number in self._generations if number < oldest]:
            del self._generations[number]

    def save(self, users: int) -> Arrays:
        keys = [generation.keys for generation in self._generations.values()]
        return {
            "numbers": np.array(list(self._generations), np.int64),
            "counts": np.array([len(part) for part in keys], np.int64),
            "keys": np.concatenate([np.zeros(0, np.uint64), *keys]),
        }

    def legend(self) -> Legend:
        return self._horizon_ms

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """Under another horizon an id is of the generation in which its own one ended, so that none goes too soon."""
        ends = (arrays["numbers"] + 1) * past - 1
        numbers = ends // self._horizon_ms
        parts = np.split(arrays["keys"], np.cumsum(arrays["counts"])[:-1]) if len(numbers) else []
        merged: dict[int, NDArray[np.uint64]] = {}
        for number, part in zip(numbers.tolist(), parts, strict=True):
            merged[number] = np.union1d(merged[number], part) if number in merged else part
        return {
            "numbers": np.array(list(merged), np.int64),
            "counts": np.array([len(keys) for keys in merged.values()], np.int64),
            "keys": np.concatenate([np.zeros(0, np.uint64), *merged.values()]),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        parts = np.split(arrays["keys"], np.cumsum(arrays["counts"])[:-1]) if len(arrays["counts"]) else []
        self._generations = {
            # Copied: a loop is compiled once more for arrays that cannot be written to.
            number: _Generation(part.copy())
            for number, part in zip(arrays["numbers"].tolist(), parts, strict=True)
        }
        self._newest = max(self._generations, default=NO_TIME)


@compiled
def _identify(
    rows: NDArray[Any],
    clocks: NDArray[np.int64],
    horizon: int,
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int64],
) -> bool:
    """The key of each row, 0 for an event without messageId, and the number of its generation; returns whether these
    differ.
    """
    differ = False
    for i in range(len(rows)):
        numbers[i] = clocks[i] // horizon
        differ |= numbers[i] != numbers[0]
        message = rows[i]["message"]
        key = np.uint64(0)
        if message != 0:
            key = (message ^ (rows[i]["user"] >> np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
            key = max(key, np.uint64(1))
        keys[i] = key
    return differ


@inlined
def _place(table: NDArray[np.uint64], key: np.uint64) -> np.uint64:
    """Where `key` is, or the free place where it belongs."""
    mask = np.uint64(len(table) - 1)
    i = key & mask
    while table[i] != 0 and table[i] != key:
        i = (i + np.uint64(1)) & mask
    return i


@inlined
def _prepare(table: NDArray[np.uint64], keys: NDArray[np.uint64], i: int) -> None:
    """Fetch where a key further on is looked for first."""
    prefetch(table, keys[min(i + AHEAD, len(keys) - 1)] & np.uint64(len(table) - 1))


@compiled
def _collect(table: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    count = 0
    for key in table:
        if key:
            keys[count] = key
            count += 1


@compiled
def _insert(table: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    for key in keys:
        table[_place(table, key)] = key


@compiled
def _find(table: NDArray[np.uint64], keys: NDArray[np.uint64], seen: NDArray[np.bool_]) -> None:
    """Mark the keys that `table` holds."""
    for i in range(len(keys)):
        _prepare(table, keys, i)
        if keys[i] != 0 and table[_place(table, keys[i])] == keys[i]:
            seen[i] = True


@compiled
def _find_or_insert(table: NDArray[np.uint64], keys: NDArray[np.uint64], seen: NDArray[np.bool_]) -> int:
    """Mark the keys that `table` holds and add those not seen at all; returns how many were added."""
    added = 0
    for i in range(len(keys)):
        _prepare(table, keys, i)
        if keys[i] != 0 and not seen[i]:
            place = _place(table, keys[i])
            if table[place] == keys[i]:
                seen[i] = True
            else:
                table[place] = keys[i]
                added += 1
    return added
