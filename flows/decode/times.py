"""When an event was, by what it says, what its device's clock was worth, and the clock that it is judged by.

The *reference clock* is the Kafka record timestamp, else `receivedAt`. Producers write seconds or microseconds where
milliseconds belong, and devices write anything: a time is a clock only from 2000 to 2099 and no more than a day ahead
of the machine's own. In a job that reads live, the machine's clock bounds events that have no other.

A time is the device's own when no server has looked at it: it is `originalTimestamp`, or a `timestamp` beside which no
other `originalTimestamp` stands. Such a clock is put right by what it said when it sent, `sentAt`, and what the
collector's said when that came in, `receivedAt` (Segment's rule,
https://segment.com/docs/connections/spec/common/#timestamps), where they differ by more than a minute: less is the way.

The *reading* of an event is the smaller of its time and its reference clock. Only readings move the stream clock, so
that a device whose clock is fast moves nobody's time but its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.decode import scanner as scan
from schemas.timestamps import NOT_READ, number_ms_at, text_ms_at

FIRST_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z: older times are taken for mistakes."""
END_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00:00Z: this and later times are mistakes whatever the reference clock says."""
AHEAD_MS: Final = 5 * 60_000
"""How far an event may be ahead of the reference clock: clocks of devices differ."""
CLAMPED_MS: Final = 24 * 3_600_000
"""How far it may be ahead and still be used, at the reference time: a wrong time zone, not a wrong year."""
CLOCKS_AHEAD_MS: Final = 24 * 3_600_000
"""How far a clock may be ahead of the machine's."""
SHIFTS_FROM_MS: Final = 60_000
"""A device's clock is put right when it is off by more than this."""

# How a time stands to the reference clock.
FITS: Final = 0
CLAMPS: Final = 1
TOO_OLD: Final = 2
TOO_FAR: Final = 3
BEYOND: Final = 4
NO_CLOCK: Final = 5

TIME_MESSAGES: Final = {
    TOO_OLD: "before the year 2000",
    TOO_FAR: "more than a day ahead of the time of the record",
    BEYOND: "beyond the year 2099",
    NO_CLOCK: "missing, and neither the record nor receivedAt has a time",
}


@inlined
def is_clock(time: Number, machine: Number) -> bool:
    """Whether a time (ms) can be that of a clock, at `machine` by the machine's own."""
    return bool(FIRST_MS <= time < END_MS and time - CLOCKS_AHEAD_MS <= machine)


@inlined
def dated(
    timestamp: Number,
    original: Number,
    sent: Number,
    received: Number,
    record: Number,
    machine: Number,
    live: bool,
) -> tuple[Number, Number, Number]:
    """How an event's time stands (FITS, CLAMPS, ...), the time to use, and its reading; all times ms UTC.

    `timestamp`, `original`, `sent` and `received` are what the event says, NOT_READ where it says nothing; `record` is
    the record's timestamp, `machine` the time of this machine.
    """
    received_is_clock = is_clock(received, machine)
    reference = NOT_READ
    if is_clock(record, machine):
        reference = record
    elif received_is_clock:
        reference = received

    ts = timestamp
    arrived = received if received_is_clock else NOT_READ
    if timestamp == NOT_READ:
        if original == NOT_READ:
            return (NO_CLOCK if reference == NOT_READ else FITS), reference, reference
        ts = original
        if not received_is_clock:
            arrived = reference
    elif original != NOT_READ and original != timestamp:
        arrived = NOT_READ  # a server has put it right
    if sent != NOT_READ and arrived != NOT_READ and abs(arrived - sent) > SHIFTS_FROM_MS:
        ts += arrived - sent

    if ts < FIRST_MS:
        return TOO_OLD, ts, ts
    if ts >= END_MS:
        return BEYOND, ts, ts
    if reference == NOT_READ:
        if not live:
            return FITS, ts, ts
        reference = machine
    if ts - AHEAD_MS <= reference:
        return FITS, ts, min(ts, reference)
    if ts - CLAMPED_MS > reference:
        return TOO_FAR, ts, reference
    return CLAMPS, reference, reference


@compiled
def date(
    timestamp: Number, original: Number, sent: Number, received: Number, record: Number, machine: Number, live: bool
) -> tuple[Number, Number, Number]:
    """`dated`, for single calls."""
    return dated(timestamp, original, sent, received, record, machine, live)


@inlined
def time_at(buffer: NDArray[np.uint8], kind: Number, begin: Number, end: Number) -> Number:
    """Milliseconds of a timestamp field; NOT_READ when the slow path has to look at it."""
    if kind == scan.STRING:
        return text_ms_at(buffer, begin + 1, end - 1)
    if kind == scan.NUMBER:
        return number_ms_at(buffer, begin, end)
    return NOT_READ
