"""Keeps the epochs of a cluster's processes in phase, so that each can look at its input all the time.

The engine ends an epoch in each process by that process's own timer, and reads on only when the epoch has ended in all
of them. The timer of the next epoch starts with the end, not with the reading:

    slow   |-- epoch 1 --------|-- epoch 2 --------|-- epoch 3 --------|      its rounds take long, so it ends late
    fast   |-- epoch 1 ----|...|-- epoch 2 -|......|- epoch 3 |........|      . waits, while its timer runs

What a process is late with its end (half a round of work, a checkpoint) adds up in the waiting of the others, epoch by
epoch, until their whole interval is waiting: then they look at their input once an epoch, and send their ticks then.

So a process that had to wait longer at the beginning of an epoch than another ends it later by the difference: it
sleeps just before the end. (All wait for the checkpoint to be stored; who waits the least is the slowest.) The waiting
then stays what the slowest is late with in one epoch, and nobody is ever slower than the slowest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_MARGIN_SECONDS: Final = 0.020
"""So long before its end an epoch is stretched; rounds of a process with little to do are a few ms apart."""

_SLICE_SECONDS: Final = 0.050


class EpochPhase:
    """The epochs of one process, as its source sees them."""

    def __init__(
        self,
        epoch_ms: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.waited_seconds = 0.0  # from the end of the last epoch to the first round of this one
        self._epoch_seconds = epoch_ms / 1000
        self._monotonic = monotonic
        self._sleep = sleep
        self._began_at = monotonic()
        self._begins = False  # its first round has not come yet
        self._stretched = True

    def ends(self) -> None:
        """A snapshot is taken: an epoch ends, and the engine's timer of the next begins."""
        self._began_at = self._monotonic()
        self._begins = True

    def on_round(self, others_seconds: float | None, hurry: Callable[[], bool]) -> None:
        """Call once a round. Sleeps before the end of an epoch whose beginning was waited for longer than elsewhere.

        `others_seconds`: the least that another process has waited; None: not known. No sleep goes on in a `hurry`.
        """
        now = self._monotonic()
        if self._begins:
            self._begins = self._stretched = False
            self.waited_seconds = now - self._began_at
        if self._stretched or now - self._began_at < self._epoch_seconds - _MARGIN_SECONDS:
            return
        self._stretched = True
        longer = 0.0 if others_seconds is None else self.waited_seconds - others_seconds
        until = now + min(longer, self._epoch_seconds)
        while not hurry() and (left := until - self._monotonic()) > 0:
            self._sleep(min(left, _SLICE_SECONDS))
