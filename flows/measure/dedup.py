"""Which events have been seen before: message ids of the last one to two horizons, as 64-bit hashes.

Time is cut into generations of one horizon. An id belongs to the generation of the clock at which it was first read
(its own partition's running clock, or the stream clock where that is ahead) and makes every copy a duplicate that is
read in that generation, the next one, or, by a partition that is behind, an earlier one. So a copy read within the
horizon is always found, whatever the polls and the interleaving of partitions. As soon as the stream clock is two
generations beyond it an id makes nothing a copy any more; it goes when the table is made anew.

The key is a hash of user and messageId together: within a shard holding n ids a new one is mistaken for a copy with
probability n / 2^64 (50 million ids: 3e-12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.compiled.prefetch import AHEAD, prefetch
from flows.state.axes import Legend
from flows.state.container import Arrays, Container

SMALLEST: Final = 1024
ID: Final = np.dtype(
    [
        ("key", "u8"),  # 0: a free place
        ("generation", "u4"),  # in seconds, the shortest horizon, enough until 2106
    ]
)


class Recent(Container):
    """The ids that can still make a copy: an open-addressing table, at most two thirds full."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._table: NDArray[Any] = np.zeros(SMALLEST, ID)
        self._used = 0  # places, also of ids that make nothing a copy any more
        self._oldest = 0  # generation that still makes copies
        self._made_at = 0  # the oldest when the table was made

    def copies(self, rows: NDArray[Any], clocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` (EVENT, or of a fact, in the order read) have been seen; `clocks`: the clock at each, ms."""
        if 3 * (self._used + len(rows)) > 2 * len(self._table):
            self._make(len(rows))
        seen = np.zeros(len(rows), np.bool_)
        keys = np.empty(len(rows), np.uint64)
        generations = np.empty(len(rows), np.uint32)
        users, messages = np.ascontiguousarray(rows["user"]), np.ascontiguousarray(rows["message"])
        _identify(users, messages, clocks, self._horizon_ms, keys, generations)
        self._used += _mark(self._table, keys, generations, seen)
        return seen

    def forget(self, now_ms: int) -> None:
        """The stream clock has reached `now_ms`: what no copy can be compared with any more goes."""
        self._oldest = max(self._oldest, now_ms // self._horizon_ms - 1)
        if self._oldest > self._made_at + 1 and self._used:  # few are left of those it was made for
            self._make(0)

    def _make(self, more: int) -> None:
        """A new table without what is forgotten, at most half full with `more` ids."""
        kept = self._used if self._oldest == self._made_at else _kept(self._table, self._oldest)
        needed = kept + more
        size = SMALLEST
        while size < 2 * needed:
            size *= 2
        old, self._table = self._table, np.zeros(size, ID)
        self._used = _move(old, self._oldest, self._table)
        self._made_at = self._oldest

    def save(self, users: int) -> Arrays:
        keys, generations = np.empty(self._used, np.uint64), np.empty(self._used, np.uint32)
        count = _collect(self._table, self._oldest, keys, generations)
        return {"keys": keys[:count], "generations": generations[:count]}

    def upgraded(self, arrays: Arrays) -> Arrays:
        """Earlier builds kept generation by generation."""
        if "numbers" not in arrays:
            return arrays
        numbers = np.repeat(arrays["numbers"], arrays["counts"])
        return {"keys": arrays["keys"], "generations": numbers.astype(np.uint32)}

    def legend(self) -> Legend:
        return self._horizon_ms

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """Under another horizon an id is of the generation in which its own one ended, so that none goes too soon."""
        ends = (arrays["generations"].astype(np.int64) + 1) * past - 1
        return arrays | {"generations": (ends // self._horizon_ms).astype(np.uint32)}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        saved = np.empty(len(arrays["keys"]), ID)
        saved["key"], saved["generation"] = arrays["keys"], arrays["generations"]
        self._table, self._used = saved, len(saved)
        self._oldest = self._made_at = 0
        self._make(0)


@compiled
def _identify(
    users: NDArray[np.uint64],
    messages: NDArray[np.uint64],
    clocks: NDArray[np.int64],
    horizon: int,
    keys: NDArray[np.uint64],
    generations: NDArray[np.uint32],
) -> None:
    """The key of each row, 0 for an event without messageId, and its generation."""
    for i in range(len(users)):
        generations[i] = clocks[i] // horizon
        message = messages[i]
        key = np.uint64(0)
        if message != 0:
            key = (message ^ (users[i] >> np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
            key = max(key, np.uint64(1))
        keys[i] = key


@inlined
def _place(table: NDArray[Any], key: np.uint64) -> np.uint64:
    """Where `key` is, or the free place where it belongs."""
    mask = np.uint64(len(table) - 1)
    i = key & mask
    while table[i]["key"] != 0 and table[i]["key"] != key:
        i = (i + np.uint64(1)) & mask
    return i


@compiled
def _mark(
    table: NDArray[Any], keys: NDArray[np.uint64], generations: NDArray[np.uint32], seen: NDArray[np.bool_]
) -> int:
    """Mark the copies, and let the table have the others; returns how many more it has."""
    added = 0
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        prefetch(table, keys[min(i + AHEAD, len(keys) - 1)] & mask)
        if keys[i] == 0:
            continue
        entry = table[_place(table, keys[i])]
        if entry["key"] == 0:
            added += 1
        elif entry["generation"] + 1 >= generations[i]:
            seen[i] = True
            continue
        entry["key"] = keys[i]
        entry["generation"] = generations[i]
    return added


@compiled
def _kept(table: NDArray[Any], oldest: int) -> int:
    """How many ids are of the generation `oldest` or of a later one."""
    count = 0
    for entry in table:
        count += entry["key"] != 0 and entry["generation"] >= oldest
    return count


@compiled
def _move(old: NDArray[Any], oldest: int, table: NDArray[Any]) -> int:
    """Let `table` have the ids of `old` from that generation on; returns how many it has."""
    count = 0
    for entry in old:
        if entry["key"] == 0 or entry["generation"] < oldest:
            continue
        place = table[_place(table, entry["key"])]
        count += place["key"] == 0
        place["key"] = entry["key"]
        place["generation"] = max(place["generation"], entry["generation"])
    return count


@compiled
def _collect(table: NDArray[Any], oldest: int, keys: NDArray[np.uint64], generations: NDArray[np.uint32]) -> int:
    """Write the ids from the generation `oldest` on to both; returns how many there are."""
    count = 0
    for entry in table:
        if entry["key"] != 0 and entry["generation"] >= oldest:
            keys[count] = entry["key"]
            generations[count] = entry["generation"]
            count += 1
    return count
