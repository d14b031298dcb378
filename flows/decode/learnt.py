"""What texts come to that a loop does not work out itself: found by their hash, from the second time on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined
from flows.decode.texts import SPELLINGS, SPELLINGS_KEPT


class Table(NamedTuple):
    """The arrays as compiled loops take them: open addressing by hash, 0: empty."""

    keys: NDArray[np.uint64]
    values: NDArray[np.int64]  # (slots, columns)


class Learnt:
    """A table that is emptied when it is full; what is in use comes again."""

    def __init__(self, columns: int) -> None:
        self.table = Table(np.zeros(SPELLINGS, np.uint64), np.zeros((SPELLINGS, columns), np.int64))
        self._count = 0

    def put(self, key: int, values: Sequence[int]) -> None:
        """From now on the texts with this hash, which is not 0, come to `values`."""
        if self._count >= SPELLINGS_KEPT:
            self.table.keys[:] = 0
            self._count = 0
        slot = key & (SPELLINGS - 1)
        while self.table.keys[slot] not in (0, key):
            slot = (slot + 1) & (SPELLINGS - 1)
        if self.table.keys[slot] == 0:
            self.table.keys[slot] = key
            self.table.values[slot, : len(values)] = values
            self._count += 1


@inlined
def slot_of(key: Number, keys: NDArray[np.uint64]) -> Number:
    """Where a key is in the table; -1: it has not been learnt."""
    slot = np.int64(key & np.uint64(SPELLINGS - 1))
    while keys[slot] != key and keys[slot] != np.uint64(0):
        slot = (slot + 1) & (SPELLINGS - 1)
    return slot if keys[slot] == key else -1
