"""What the sources share: how they end, and the ticks that cut their streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from bytewax.inputs import StatefulSourcePartition

from flows.messages.raw import Raw
from flows.messages.tick import Tick

STALL_MS: Final = 500
"""Parts are asked every few milliseconds; after a longer pause the process was stopped, or the machine asleep."""

GRACE_MS: Final = 1_000
"""How long records that have waited through a stall may take to come in."""


class Ticker:
    """Numbers the ticks of one process from 1, says when the next is due, and what time is handed on.

    After a stall none is handed on for a moment, until what has waited in Kafka meanwhile has come in: else the stream
    clock would run ahead of records that nobody has had a chance to read, and make them late.

    `timed=False` (replay, --until-end): ticks still come by the wall, for progress, but carry no time, so that nothing
    they measure can depend on it.
    """

    def __init__(self, interval_ms: int, *, timed: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval_ms = interval_ms
        self._timed = timed
        self._monotonic = monotonic
        self._number = 0
        self.pause_ms = 0  # between the last two beats
        self._beat_ms = self.now_ms()
        self._held_until_ms = self._beat_ms
        self._next_ms = self._beat_ms + interval_ms

    def now_ms(self) -> int:
        """This process' monotonic clock."""
        return int(self._monotonic() * 1000)

    def beat(self) -> bool:
        """Call before anything is handed on; True after a stall, when what is known of partitions' ends is too old."""
        now_ms = self.now_ms()
        self.pause_ms = now_ms - self._beat_ms
        stalled = self.pause_ms > STALL_MS
        if stalled:
            self._held_until_ms = now_ms + GRACE_MS
        self._beat_ms = now_ms
        return stalled

    def stamp(self) -> int | None:
        """The clock as it is handed on: None where time moves with the events only, and for a moment after a stall."""
        now_ms = self.now_ms()
        return now_ms if self._timed and now_ms >= self._held_until_ms else None

    def is_due(self, heard: int = 0) -> bool:
        """Whether the time of the next tick has come, or another process is at tick `heard` already."""
        return self.now_ms() >= self._next_ms or heard > self._number

    def seconds_left(self) -> float:
        """Until the next tick is due."""
        return max(0, self._next_ms - self.now_ms()) / 1000

    def due(self, heard: int = 0) -> Tick | None:
        """The next tick, once its time has come; ticks missed meanwhile are not made up for.

        When another process is at tick `heard` already, that one, at once: so they tick in step.
        """
        now_ms = self.now_ms()
        if not self.is_due(heard):
            return None
        if heard > self._number:
            self._number = heard - 1
            self._next_ms = now_ms
        self._next_ms += self._interval_ms
        if self._next_ms <= now_ms:
            self._next_ms = now_ms + self._interval_ms
        return self._tick()

    def final(self, as_of_ms: int | None = None) -> Tick:
        """The last tick; `as_of_ms` as in `Tick`. The end may be the first thing that is done after a stall."""
        self.beat()
        return self._tick(as_of_ms, final=True)

    def _tick(self, as_of_ms: int | None = None, *, final: bool = False) -> Tick:
        self._number += 1
        return Tick(self._number, self.stamp(), as_of_ms, final)


_AT_ONCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
State = TypeVar("State")
Given = TypeVar("Given", covariant=True)


class Rounds(Protocol[Given]):
    """A source whose parts all do their work in one place."""

    def round(self, number: int) -> list[Raw | Tick]:
        """What part `number` hands on now; raises StopIteration when it has nothing more to say."""

    def snapshot(self, number: int) -> Given:
        """The state of part `number`."""


class Part(StatefulSourcePartition[Raw | Tick, State]):
    """One partition as Bytewax sees it: always due, since a source sleeps by itself where there is nothing to do."""

    def __init__(self, source: Rounds[State], number: int) -> None:
        self._source = source
        self._number = number

    def next_batch(self) -> list[Raw | Tick]:
        return self._source.round(self._number)

    def next_awake(self) -> datetime:
        return _AT_ONCE

    def snapshot(self) -> State:
        return self._source.snapshot(self._number)
