"""The latest time at which a user showed a breakdown value: an open-addressing table of (user, group) pairs.

Most users show one value, so a table of pairs costs less than a row of all values per user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.columns import NO_TIME
from flows.kernels import kernel
from flows.state.container import Arrays, Container

GROUP_BITS: Final = 12
"""Groups fit 8 breakdowns of 255 values."""


class Latest(NamedTuple):
    """The arrays as kernels take them; the length is a power of two, at most half full."""

    keys: NDArray[np.int64]  # slot << GROUP_BITS | group; -1: free
    at: NDArray[np.int64]  # ms
    used: NDArray[np.int64]  # (1,)


def _empty(capacity: int) -> Latest:
    return Latest(
        np.full(capacity, -1, np.int64), np.full(capacity, NO_TIME, np.int64), np.zeros(1, np.int64)
    )


class Pairs(Container):
    """`latest`: (user, group) -> time."""

    def __init__(self) -> None:
        self.latest = _empty(64)

    def reserve(self, more: int) -> None:
        """Make room for `more` new pairs, so that a kernel can insert without asking."""
        capacity = len(self.latest.keys)
        while 2 * (int(self.latest.used[0]) + more) > capacity:
            capacity *= 2
        if capacity > len(self.latest.keys):
            held = self.latest.keys >= 0
            self._fill(self.latest.keys[held], self.latest.at[held], capacity)

    def count_since(self, time_ms: int, groups: int) -> NDArray[np.int64]:
        """How many users showed each of the `groups` at `time_ms` or later."""
        newer = self.latest.at >= time_ms
        return np.bincount(self.latest.keys[newer] & ((1 << GROUP_BITS) - 1), minlength=groups)

    def _fill(self, keys: NDArray[Any], at: NDArray[Any], capacity: int) -> None:
        self.latest = _empty(capacity)
        _insert(self.latest, keys, at)

    def save(self, users: int) -> Arrays:
        held = self.latest.keys >= 0
        return {"keys": self.latest.keys[held], "at": self.latest.at[held]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.latest = _empty(64)
        self.reserve(len(arrays["keys"]))
        _insert(self.latest, arrays["keys"], arrays["at"])

    def keep(self, slots: NDArray[Any]) -> None:
        held = self.latest.keys >= 0
        keys, at = self.latest.keys[held], self.latest.at[held]
        if not len(keys):
            return
        renumbered = np.full(int((keys >> GROUP_BITS).max()) + 1, -1, np.int64)
        renumbered[slots[slots < len(renumbered)]] = np.flatnonzero(slots < len(renumbered))
        new = renumbered[keys >> GROUP_BITS]
        kept = new >= 0
        self._fill(
            (new[kept] << GROUP_BITS) | (keys[kept] & ((1 << GROUP_BITS) - 1)),
            at[kept],
            len(self.latest.keys),
        )


@kernel
def position(latest: Latest, slot: int, group: int) -> int:
    """Where the time of (slot, group) is kept in `at`; a new pair starts at NO_TIME."""
    key = (slot << GROUP_BITS) | group
    mask = len(latest.keys) - 1
    i = ((key * 0x9E3779B97F4A7C1) >> 20) & mask
    while latest.keys[i] != key:
        if latest.keys[i] == -1:
            latest.keys[i] = key
            latest.used[0] += 1
            break
        i = (i + 1) & mask
    return i


@kernel
def _insert(latest: Latest, keys: NDArray[np.int64], at: NDArray[np.int64]) -> None:
    for k in range(len(keys)):
        latest.at[position(latest, keys[k] >> GROUP_BITS, keys[k] & ((1 << GROUP_BITS) - 1))] = at[k]
