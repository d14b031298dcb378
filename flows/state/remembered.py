"""Ids that have counted, each for as long as a copy of it can come.

An id counts once within a horizon: what comes with it again up to then is a copy, and does not renew it. The facts of a
user come in order of time, so an id is needed until its user has a fact later than that. Others are swept out before
the table grows; what stays are the ids of each user within the horizon before the latest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.messages.columns import NO_TIME
from flows.state.container import Arrays, Container, renumbered
from flows.state.table import MIX

SMALLEST: Final = 64
NO_ID: Final = 0


class Ids(NamedTuple):
    """The arrays as kernels take them; their length is a power of two, at most half full."""

    keys: NDArray[np.uint64]  # the id, which is of one user alone; NO_ID: free
    slots: NDArray[np.int64]  # whose it is
    times: NDArray[np.int64]  # when it counted, ms
    used: NDArray[np.int64]  # (1,)


def _empty(capacity: int) -> Ids:
    slots, times = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
    return Ids(np.zeros(capacity, np.uint64), slots, times, np.zeros(1, np.int64))


class Remembered(Container):
    """`ids`: when an id of a user counted.

    >>> remembered = Remembered()
    >>> remembered.reserve(2, horizon_ms=1000)
    >>> [is_copy(remembered.ids, np.uint64(7), 0, ts, 1000) for ts in (5000, 6000, 6001)]
    [False, True, False]
    """

    def __init__(self) -> None:
        self.ids = _empty(SMALLEST)

    def __len__(self) -> int:
        return int(self.ids.used[0])

    def reserve(self, more: int, horizon_ms: int) -> None:
        """Make room for `more` ids, so that a kernel can note them without asking."""
        if 2 * (len(self) + more) <= len(self.ids.keys):
            return
        keys, slots, times = self._held()
        latest = np.full(int(slots.max(initial=0)) + 1, NO_TIME)
        np.maximum.at(latest, slots, times)
        needed = latest[slots] - times <= horizon_ms
        self._fill(keys[needed], slots[needed], times[needed], more)

    def _held(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
        held = self.ids.keys != NO_ID
        return self.ids.keys[held], self.ids.slots[held], self.ids.times[held]

    def _fill(self, keys: NDArray[Any], slots: NDArray[Any], times: NDArray[Any], more: int = 0) -> None:
        """Hold these, with room for some more before the next sweep."""
        capacity = SMALLEST
        while 3 * (len(keys) + more) > capacity:
            capacity *= 2
        self.ids = _empty(capacity)
        _insert(self.ids, keys, slots, times)

    def save(self, users: int) -> Arrays:
        return dict(zip(("keys", "slots", "times"), self._held(), strict=True))

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._fill(arrays["keys"].copy(), arrays["slots"].copy(), arrays["times"].copy())

    def keep(self, slots: NDArray[Any]) -> None:
        keys, owners, times = self._held()
        owners = renumbered(owners, slots)
        self._fill(keys[owners >= 0], owners[owners >= 0], times[owners >= 0])


@inlined
def is_copy(ids: Ids, key: np.uint64, slot: int, ts: int, horizon: int) -> bool:
    """Whether the id counted at most `horizon` before `ts` (ms); else it counts now. Without an id nothing is a copy.

    There must be room for it.
    """
    if key == NO_ID:
        return False
    mask = np.uint64(len(ids.keys) - 1)
    i = ((key * MIX) >> np.uint64(32)) & mask
    while ids.keys[i] != NO_ID and ids.keys[i] != key:
        i = (i + np.uint64(1)) & mask
    if ids.keys[i] == key and ts - ids.times[i] <= horizon:
        return True
    if ids.keys[i] == NO_ID:
        ids.used[0] += 1
    ids.keys[i] = key
    ids.slots[i] = slot
    ids.times[i] = ts
    return False


@compiled
def _insert(ids: Ids, keys: NDArray[np.uint64], slots: NDArray[np.int64], times: NDArray[np.int64]) -> None:
    for k in range(len(keys)):
        is_copy(ids, keys[k], slots[k], times[k], -1)
