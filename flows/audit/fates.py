"""What becomes of each record as it comes: the rules of `clock.py`, one record at a time.

Records are judged as a run judges them that reads each at once, when no partition lags. A run that catches up or
restarts may judge a few of them differently.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.audit.clock import Read
from flows.audit.parse import RECORD_BYTES, parse
from flows.audit.records import Event, Exclusion, Record, Rejection
from flows.config.model import Config

FATES = ("accepted", "late", "duplicate", "excluded", "rejected")
"""`late` events are accepted as well, and count in metrics that need no order."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a record."""

    name: str  # one of FATES
    reading: Read

    @property
    def why(self) -> str:
        """The reason of a rejection, the kind of an exclusion; empty where there is nothing to say."""
        if isinstance(self.reading, Rejection):
            return self.reading.reason
        return self.reading.kind if isinstance(self.reading, Exclusion) else ""


class Fates:
    """Judges the records of a topic; memory grows with the messages of two `dedup_horizon`."""

    def __init__(self, config: Config, record_bytes: int = RECORD_BYTES) -> None:
        self._config = config
        self._record_bytes = record_bytes
        self._partition_clocks: dict[int, int] = {}
        self._newest: int | None = None
        self._stream_clock: int | None = None
        self._record_ms = -1  # of the last record
        self._first: dict[tuple[str, str], int] = {}  # message -> generation in which it was read first
        self._kept_from = 0

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
        return Fate(self._judged(reading), reading)

    def _judged(self, event: Event) -> str:
        before = self._partition_clocks.get(event.partition)
        clock = event.reading if before is None else max(before, event.reading)
        self._partition_clocks[event.partition] = clock
        self._newest = clock if self._newest is None else max(self._newest, clock)
        read = [time for time in (self._stream_clock, before) if time is not None]
        if event.message is not None and self._is_copy(event.user, event.message, max(clock, self._stream_clock or 0)):
            return "duplicate"
        return "late" if read and event.ts < max(read) - self._config.lateness else "accepted"

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
