"""What becomes of each record as it comes: the rules of `clock.py`, one record at a time.

A late event is in order where its user has none between its time and the bound that it missed.

Records are judged as a run judges them that reads each at once, when no partition lags. A run that catches up or
restarts may judge a few of them differently.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.audit.clock import Read, UsedTimes
from flows.audit.parse import RECORD_BYTES, parse
from flows.audit.records import Event, Exclusion, Record, Rejection
from flows.config.model import Config

FATES = ("accepted", "late", "duplicate", "excluded", "rejected")
"""`late` events are accepted as well, and count in metrics that need no order, those in order in all."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a record."""

    name: str  # one of FATES
    reading: Read
    order: str = ""  # of a late one: in_order, out_of_order

    @property
    def why(self) -> str:
        """The reason of a rejection, the kind of an exclusion, whether a late one is in order; else empty."""
        if isinstance(self.reading, Rejection):
            return self.reading.reason
        if isinstance(self.reading, Event):
            return self.order
        return self.reading.kind if isinstance(self.reading, Exclusion) else ""


class Fates:
    """Judges the records of a topic; memory grows with the messages of two `dedup_horizon`, and with the users."""

    def __init__(self, config: Config, record_bytes: int = RECORD_BYTES) -> None:
        self._config = config
        self._record_bytes = record_bytes
        self._partition_clocks: dict[int, int] = {}
        self._newest: int | None = None
        self._stream_clock: int | None = None
        self._record_ms = -1  # of the last record
        self._first: dict[tuple[str, str], int] = {}  # message -> generation in which it was read first
        self._kept_from = 0
        self._used = UsedTimes()

    def of(self, record: Record) -> Fate:
        """The fate of the next record."""
        if self._newest is not None:
            passed = max(0, record.timestamp_ms - self._record_ms) if self._record_ms >= 0 else 0
            self._stream_clock = max(self._stream_clock or 0, self._newest + passed)
        self._record_ms = record.timestamp_ms
        reading = parse(record, self._config, record_bytes=self._record_bytes)
        if isinstance(reading, Rejection):
            return Fate("rejected", reading)
        if isinstance(reading, Exclusion):
            return Fate("excluded", reading)
        return self._judged(reading)

    def _judged(self, event: Event) -> Fate:
        before = self._partition_clocks.get(event.partition)
        clock = event.reading if before is None else max(before, event.reading)
        self._partition_clocks[event.partition] = clock
        self._newest = clock if self._newest is None else max(self._newest, clock)
        read = [time for time in (self._stream_clock, before) if time is not None]
        if event.message is not None and self._is_copy(event.user, event.message, max(clock, self._stream_clock or 0)):
            return Fate("duplicate", event)
        bound = max(read) - self._config.lateness if read else None
        late = bound is not None and event.ts < bound
        if bound is not None and late and self._used.has_between(event, bound):
            return Fate("late", event, "out_of_order")
        self._used.add(event, None if self._stream_clock is None else self._stream_clock - self._config.lateness)
        return Fate("late", event, "in_order") if late else Fate("accepted", event)

    def _is_copy(self, user: str, message: str, now_ms: int) -> bool:
        horizon = self._config.dedup_horizon
        generation = now_ms // horizon
        first = self._first.get((user, message))
        if first is not None and generation - first <= 1:
            return True
        self._first[user, message] = generation
        if self._stream_clock is not None and (kept_from := self._stream_clock // horizon - 1) > self._kept_from:
            self._kept_from = kept_from  # no record is read in a generation before that of T
            self._first = {key: first for key, first in self._first.items() if first >= kept_from}
        return False
