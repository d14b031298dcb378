"""Codes of texts that come again and again: event names, breakdown values, what conditions ask for.

A text is found by the hash of its JSON spelling in a table; so what it means is worked out once, not with every event.
New texts are listed while a batch is read, and learnt between two passes over it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined
from flows.decode.hashing import xxh64
from flows.decode.scanner import Scanned
from flows.decode.texts import SALT, SPELLINGS, SPELLINGS_KEPT

NOT_LEARNT: Final = -1
_MOST: Final = 6144
"""Beyond it nothing is learnt, and records go the slow way, so that the table always has empty slots."""
_NEW: Final = 512
"""As many are learnt at once."""
_LONGEST: Final = 512
"""Longer texts (bytes) are not learnt."""


class Table(NamedTuple):
    """The arrays as compiled loops take them."""

    keys: NDArray[np.uint64]  # by slot: the hash of text and salt; 0: empty
    codes: NDArray[np.int32]  # by slot
    new: NDArray[np.int32]  # shape (_NEW, 4): slot, salt, begin, end
    counts: NDArray[np.int64]  # listed in `new`; used in the table


class Spellings:
    """A table of spellings under different salts: one for each thing that texts are read as."""

    def __init__(self) -> None:
        self.table = Table(
            np.zeros(SPELLINGS, np.uint64),
            np.zeros(SPELLINGS, np.int32),
            np.zeros((_NEW, 4), np.int32),
            np.zeros(2, np.int64),
        )

    def make_room(self) -> None:
        """Forget all when they are many: those in use come again."""
        if self.table.counts[1] > SPELLINGS_KEPT:
            self.table.keys[:] = 0
            self.table.counts[1] = 0

    def listen(self) -> None:
        """Begin a list of new texts."""
        self.table.counts[0] = 0

    def learn(self, scanned: Scanned, code_of: Callable[[int, bytes], int | None]) -> bool:
        """Give the listed texts the codes that `code_of(salt, JSON text)` has for them; False: there were none.

        None leaves a text without a code, and its records to the slow path.
        """
        listed = int(self.table.counts[0])
        for slot, salt, begin, end in self.table.new[:listed].tolist():
            code = code_of(salt, scanned.buffer[begin:end].tobytes())
            if code is not None:
                self.table.codes[slot] = code
        return listed > 0


@inlined
def spelled(buffer: NDArray[np.uint8], begin: Number, end: Number, salt: Number, table: Table) -> Number:
    """The code that a JSON text has been given under a salt.

    NOT_LEARNT when it has none yet; then it is listed, once and if there is room.
    """
    key = xxh64(buffer, begin, end) ^ (np.uint64(salt) * SALT)
    if key == np.uint64(0):
        key = np.uint64(1)
    slot = np.int64(key & np.uint64(SPELLINGS - 1))
    while table.keys[slot] != np.uint64(0):
        if table.keys[slot] == key:
            return np.int64(table.codes[slot])
        slot = (slot + 1) & (SPELLINGS - 1)
    if table.counts[0] < _NEW and table.counts[1] < _MOST and end - begin <= _LONGEST:
        table.keys[slot] = key
        table.codes[slot] = NOT_LEARNT
        listed = table.counts[0]
        table.new[listed, 0] = slot
        table.new[listed, 1] = salt
        table.new[listed, 2] = begin
        table.new[listed, 3] = end
        table.counts[0] += 1
        table.counts[1] += 1
    return NOT_LEARNT
