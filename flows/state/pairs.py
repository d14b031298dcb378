"""The latest time at which a user showed a breakdown value: an open-addressing table of (user, group) pairs.

Most users show one value, so a table of pairs costs less than a row of all values per user. And where few users do
something at all, a table of those costs less than a row for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.messages.columns import NO_TIME
from flows.state.axes import Axis, Legend
from flows.state.container import Arrays, Container, renumbered

KEY, TIME = range(2)
BYTES_OF_PAIR: Final = 16
"""In a checkpoint."""
GROUP_BITS: Final = 12
"""Groups fit 8 breakdowns of 255 values."""
GROUP_MASK: Final = (1 << GROUP_BITS) - 1


class Latest(NamedTuple):
    """The arrays as kernels take them; the length is a power of two, at most three quarters full."""

    entries: NDArray[np.int64]  # (capacity, 2): slot << GROUP_BITS | group (-1: free), and its time (ms)
    used: NDArray[np.int64]  # (1,)


def _empty(capacity: int) -> Latest:
    entries = np.full((capacity, 2), -1, np.int64)
    entries[:, TIME] = NO_TIME
    return Latest(entries, np.zeros(1, np.int64))


class Pairs(Container):
    """`latest`: (user, group) -> time; `groups` says what they stand for."""

    def __init__(self, groups: Axis | None = None) -> None:
        self._groups = groups
        self.latest = _empty(64)

    def _held(self) -> NDArray[np.int64]:
        entries: NDArray[np.int64] = self.latest.entries[self.latest.entries[:, KEY] >= 0]
        return entries

    def reserve(self, more: int) -> None:
        """Make room for `more` new pairs; a kernel inserts without asking, or goes as far as it `has_room`."""
        capacity = len(self.latest.entries)
        while 4 * (int(self.latest.used[0]) + more) > 3 * capacity:
            capacity *= 2
        if capacity > len(self.latest.entries):
            self._fill(self._held(), capacity)

    def since(self, time_ms: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The pairs with `time_ms` or later: slots, groups, times."""
        entries = self._held()
        entries = entries[entries[:, TIME] >= time_ms]
        return entries[:, KEY] >> GROUP_BITS, entries[:, KEY] & GROUP_MASK, entries[:, TIME]

    def _fill(self, entries: NDArray[Any], capacity: int) -> None:
        self.latest = _empty(capacity)
        _insert(self.latest, entries)

    def save(self, users: int) -> Arrays:
        return {"entries": self._held()}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.latest = _empty(64)
        self.reserve(len(arrays["entries"]))
        _insert(self.latest, arrays["entries"].copy())  # a loop is compiled once more for what cannot be written to

    def legend(self) -> Legend:
        return None if self._groups is None else self._groups.legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """A pair of before becomes one for each group that has been made of its own."""
        assert self._groups is not None
        groups = arrays["entries"][:, KEY] & GROUP_MASK
        found = []
        for group, sources in enumerate(self._groups.sources(past)):
            entries = arrays["entries"][np.isin(groups, sources)]
            entries[:, KEY] = (entries[:, KEY] & ~GROUP_MASK) | group
            found.append(entries)
        return {"entries": np.concatenate(found)}

    def keep(self, slots: NDArray[Any]) -> None:
        entries = self._held()
        owners = renumbered(entries[:, KEY] >> GROUP_BITS, slots)
        kept = owners >= 0
        entries = entries[kept]
        entries[:, KEY] = (owners[kept] << GROUP_BITS) | (entries[:, KEY] & GROUP_MASK)
        self._fill(entries, len(self.latest.entries))


@inlined
def has_room(latest: Latest, more: int) -> bool:
    """Whether `more` new pairs can be inserted; else `reserve` has to come first."""
    return bool(4 * (latest.used[0] + more) <= 3 * len(latest.entries))


@inlined
def position(latest: Latest, slot: int, group: int) -> int:
    """The entry of (slot, group); a new pair starts at NO_TIME."""
    key = (slot << GROUP_BITS) | group
    mask = len(latest.entries) - 1
    i = ((key * 0x9E3779B97F4A7C1) >> 20) & mask
    while latest.entries[i, KEY] != key:
        if latest.entries[i, KEY] == -1:
            latest.entries[i, KEY] = key
            latest.used[0] += 1
            break
        i = (i + 1) & mask
    return i


@compiled
def _insert(latest: Latest, entries: NDArray[np.int64]) -> None:
    for k in range(len(entries)):
        i = position(latest, entries[k, KEY] >> GROUP_BITS, entries[k, KEY] & GROUP_MASK)
        latest.entries[i, TIME] = max(latest.entries[i, TIME], entries[k, TIME])
