"""The stream clock: what time it is in the events (METRICS.md 1).

Each partition has a clock, the largest reading of an event accepted from it: the smaller of the event's time and its
reference clock (`decode/times.py`), so that a device ahead of its time moves nobody's but its own. A partition that
lags (has records not yet read) holds the stream clock T back to its own clock; one that was read to its end does not:

    T = the smallest clock among the lagging partitions, or, when none lags,
        the largest clock of all plus the time that has passed since the newest record was read.

When a lag ends without a record (an outage of a product that is idle), T goes on from where it stood. It never moves
back. Elapsed time comes with the polls as the reader's monotonic clock, so a stepped system clock moves
nothing; where it is None (replay, --until-end, the moment after a stall) time moves with the events only.

The watermark W = T - lateness never moves back either: where a config with a larger lateness goes on from a checkpoint,
it stands until T has gone on as far.

Whether an event is late is decided here, event by event: it is when it is older than the watermark at its poll, or than
its own partition's running clock minus the lateness. While catching up the second is the stricter one, and it depends
on nothing but the order within the partition: neither on batches nor on how partitions interleave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.messages.columns import NO_TIME, Columns
from flows.state.axes import Legend
from flows.state.container import Arrays, Container


class Reading(NamedTuple):
    """The clocks as they stood when a poll was read, ms."""

    own: int  # the partition's clock before the poll
    now: int  # the stream clock


class StreamClock(Container):
    """The clocks of all partitions, T (`now_ms`) and W (`watermark_ms`), NO_TIME before the first event."""

    def __init__(self, lateness_ms: int = 0) -> None:
        self.now_ms = NO_TIME
        self.floor_ms = NO_TIME  # W is not before it
        self.latest_ms = NO_TIME  # the time of the latest event read
        self._lateness_ms = lateness_ms
        self._clocks: list[int] = []
        self._newest = NO_TIME  # the largest of them
        self._lagging: set[int] = set()
        self._since = NO_TIME  # event time at `_read_at`
        self._read_at: int | None = None  # monotonic ms of the newest record or the end of the last lag; None: unknown
        self._stands_at: int | None = NO_TIME  # monotonic ms of the last poll, when it was taken note of

    @property
    def watermark_ms(self) -> int:
        """How far the ordered numbers have come."""
        return NO_TIME if self.now_ms == NO_TIME else max(self.now_ms - self._lateness_ms, self.floor_ms)

    @property
    def next_ms(self) -> int:
        """The first millisecond after all that has been read, and after T."""
        return max(self.now_ms, self.latest_ms) + 1

    def read(self, poll: Columns) -> Reading:
        """Take note of a poll; the reading is from before it."""
        while len(self._clocks) < poll.partitions:
            self._lagging.add(len(self._clocks))  # until its end has been seen
            self._clocks.append(NO_TIME)
        if poll.monotonic_ms != self._stands_at:  # else it stands there since the poll before
            self.advance(poll.monotonic_ms)
        partition = poll.partition
        reading = Reading(self._clocks[partition], self.now_ms)
        self.latest_ms = max(self.latest_ms, poll.latest_ms)
        if poll.clock_ms > self._clocks[partition]:
            self._clocks[partition] = poll.clock_ms
            self._newest = max(self._newest, poll.clock_ms)
        lagged = bool(self._lagging)
        if poll.caught_up:
            self._lagging.discard(partition)
        else:
            self._lagging.add(partition)
        if poll.consumed or lagged:
            self._read_at = poll.monotonic_ms
            self._since = self._newest if poll.consumed else max(self._newest, self.now_ms)
        self.advance(poll.monotonic_ms)
        self._stands_at = poll.monotonic_ms
        return reading

    def advance(self, monotonic_ms: int | None, as_of_ms: int | None = None) -> int:
        """Let the time be `monotonic_ms`, and at least `as_of_ms`; returns T."""
        if self._lagging:
            candidate = min(self._clocks[p] for p in self._lagging)
        else:
            candidate = max(self._newest, self._since)
            if monotonic_ms is not None and candidate != NO_TIME:
                if self._read_at is None:
                    self._read_at = monotonic_ms
                elif monotonic_ms > self._read_at:
                    candidate += monotonic_ms - self._read_at
        if as_of_ms is not None and as_of_ms > candidate:
            candidate = as_of_ms
        if candidate > self.now_ms:
            self.now_ms = candidate
        return self.now_ms

    def save(self, users: int) -> Arrays:
        return {
            "clocks": np.array(self._clocks, np.int64),
            "now": np.array([self.now_ms, self.floor_ms, self.latest_ms], np.int64),
        }

    def legend(self) -> Legend:
        return self._lateness_ms

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """W stays where it stood with another lateness."""
        now, floor, latest = arrays["now"].tolist()
        if now != NO_TIME:
            floor = max(floor, now - past)
        return arrays | {"now": np.array([now, floor, latest], np.int64)}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        """Every partition lags until its end has been seen again."""
        self._clocks = arrays["clocks"].tolist()
        self._newest = max(self._clocks, default=NO_TIME)
        self._lagging = set(range(len(self._clocks)))
        self.now_ms, self.floor_ms, self.latest_ms = arrays["now"].tolist()
        self._since = self.now_ms
        self._read_at = None


def judge(
    rows: NDArray[Any], lengths: Sequence[int], readings: Sequence[Reading], lateness_ms: int, floor_ms: int = NO_TIME
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The clock at each row (ms), and which rows are late: those before `floor_ms` are in any case.

    The clock is the running clock of the row's partition, with the row, or the stream clock where that is ahead.

    `rows` (EVENT, or of a fact) are consecutive polls of `lengths[i]` rows, read with the clocks at `readings[i]`.
    """
    clocks = np.empty(len(rows), np.int64)
    late = np.empty(len(rows), np.bool_)
    own, times = np.ascontiguousarray(rows["clock"]), np.ascontiguousarray(rows["ts"])
    _judge(own, times, np.array(lengths, np.int64), np.array(readings, np.int64), lateness_ms, floor_ms, clocks, late)
    return clocks, late


@compiled
def _judge(
    own_clocks: NDArray[np.int64],
    times: NDArray[np.int64],
    lengths: NDArray[np.int64],
    readings: NDArray[np.int64],
    lateness: int,
    floor: int,
    clocks: NDArray[np.int64],
    late: NDArray[np.bool_],
) -> None:
    i = 0
    for poll in range(len(lengths)):
        own = readings[poll, 0]
        now = readings[poll, 1]
        for _ in range(lengths[poll]):
            clocks[i] = max(now, own, own_clocks[i])
            late[i] = times[i] < max(clocks[i] - lateness, floor)
            i += 1
