"""When a process of several may hand on what it has read: while its ticks are in step with those of the others.

After a stall it is behind their numbers, and what it reads now would be cut with what they read then. So it hands on
nothing until all others have answered a tick that it has sent since:

    stall |          . tick 7 ............ all have heard 7 | hands on ...

On a starved machine every round may last as long as a stall. A turn that is lost again before anything was handed on
therefore has the next one bear stalls of twice the length: whatever the starvation, reading goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from flows.source.ticks import STALL_MS


class Turn:
    """Whether this process is in step; it is not when it begins."""

    def __init__(self) -> None:
        self.in_step = False
        self._first_tick: int | None = None  # that was sent since this process began, or stood still
        self._borne_ms = STALL_MS
        self._used = True  # something was handed on since it was lost last

    def stood_still(self, pause_ms: int) -> None:
        """No round has come for so long."""
        if pause_ms <= self._borne_ms:
            return
        if not self._used:
            self._borne_ms *= 2
        self.in_step, self._first_tick, self._used = False, None, False

    def ticked(self, number: int) -> None:
        """A tick is sent."""
        if self._first_tick is None:
            self._first_tick = number

    def hear(self, answered: Callable[[int], bool]) -> None:
        """`answered` says whether all others have ticked since they heard this tick."""
        if not self.in_step and self._first_tick is not None:
            self.in_step = answered(self._first_tick)

    def used(self, pause_ms: int) -> None:
        """Records may be handed on now, so long after the round before."""
        self._used = True
        if pause_ms <= STALL_MS:
            self._borne_ms = STALL_MS
