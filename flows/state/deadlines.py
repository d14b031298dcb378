"""One deadline per user, found when it has passed without looking at every user.

Users are taken in blocks of 64, each with a lower bound of its deadlines: a deadline that moves later leaves the bound
standing (it is then merely looked at too soon, and put right), so extending one costs a single store.

A deadline that was kept waiting for can be remembered once it has passed: what followed from it may have to be taken
back, when an event comes late that was before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.messages.columns import NEVER
from flows.state.container import Arrays, Container

PASSED: Final = NEVER + 2**60
"""A deadline that has passed is kept as this plus its time; whatever is below NEVER still lies ahead."""
BLOCK: Final = 64


class Times(NamedTuple):
    """The arrays as kernels take them."""

    at: NDArray[np.int64]  # (capacity,) ms; NEVER: none; PASSED + ms: it has passed
    soonest: NDArray[np.int64]  # (capacity / 64,) no deadline of the block is before it
    due: NDArray[np.int64]  # (64,) where `overdue` writes what it finds


class Deadlines(Container):
    """`times.at[slot]`: when something falls due for a user."""

    def __init__(self) -> None:
        self.times = Times(*[np.zeros(0, np.int64)] * 3)

    def save(self, users: int) -> Arrays:
        return {"at": self.times.at[:users]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._rebuild(arrays["at"], capacity)

    def resize(self, capacity: int) -> None:
        self._rebuild(self.times.at, capacity)

    def keep(self, slots: NDArray[Any]) -> None:
        self._rebuild(self.times.at[slots], len(self.times.at))

    def _rebuild(self, at: NDArray[Any], capacity: int) -> None:
        blocks = -(-capacity // BLOCK)
        padded = np.full(blocks * BLOCK, NEVER, np.int64)
        padded[: len(at)] = at
        self.times = Times(padded, padded.reshape(blocks, BLOCK).min(axis=1), np.zeros(BLOCK, np.int64))


@inlined
def schedule(times: Times, slot: int, at: int) -> None:
    """Set the deadline of `slot` to `at` (ms)."""
    times.at[slot] = at
    block = slot // BLOCK
    if at < times.soonest[block]:
        times.soonest[block] = at


@inlined
def overdue(times: Times, now: int, block: int) -> int:
    """Write the slots of `block` whose deadline is before `now` (ms) into `times.due`; returns how many.

    Each must be given another deadline, NEVER, or be kept as passed. All blocks: `range(len(times.soonest))`.
    """
    found = 0
    if times.soonest[block] < now:
        soonest = NEVER
        for slot in range(block * BLOCK, block * BLOCK + BLOCK):
            at = times.at[slot]
            if at < now:
                times.due[found] = slot
                found += 1
            elif at < soonest:
                soonest = at
        times.soonest[block] = soonest
    return found
