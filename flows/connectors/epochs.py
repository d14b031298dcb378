"""Keeps the epochs of a cluster's processes in phase, so that each can look at its input all the time.

The engine ends an epoch in each process by that process's own timer, and reads on only when the epoch has ended in all
of them. The timer of the next epoch starts with the end, not with the reading:

    slow   |-- epoch 1 --------|-- epoch 2 --------|-- epoch 3 --------|      its rounds take long, so it ends late
    fast   |-- epoch 1 ----|...|-- epoch 2 -|......|- epoch 3 |........|      . waits, while its timer runs

What a process is late with its end (half a round of work, a checkpoint) adds up in the waiting of the others, epoch by
epoch, until their whole interval is waiting: then they look at their input once an epoch, and send their ticks then.

So a process that had to wait at the beginning of an epoch ends it later by as much: it sleeps just before the end. The
waiting then stays what the slowest is late with in one epoch, and nobody is ever slower than the slowest.
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
        self._epoch_seconds = epoch_ms / 1000
        self._monotonic = monotonic
        self._sleep = sleep
        self._began_at = monotonic()
        self._begins = False  # its first round has not come yet
        self._behind_seconds = 0.0  # how long this epoch had to wait for others

    def ends(self) -> None:
        """A snapshot is taken: an epoch ends, and the engine's timer of the next begins."""
        self._began_at = self._monotonic()
        self._begins = True

    def on_round(self, hurry: Callable[[], bool]) -> None:
        """Call once a round; sleeps before the end of an epoch that had to wait, unless or until there is a `hurry`."""
        now = self._monotonic()
        if self._begins:
            self._begins = False
            self._behind_seconds = min(now - self._began_at, self._epoch_seconds)
        if self._behind_seconds and now - self._began_at >= self._epoch_seconds - _MARGIN_SECONDS:
            until, self._behind_seconds = now + self._behind_seconds, 0.0
            while not hurry() and (left := until - self._monotonic()) > 0:
                self._sleep(min(left, _SLICE_SECONDS))
