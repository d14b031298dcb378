"""The one shape in which events travel between stages: rows of a numpy record array with a header.

A poll of one Kafka partition becomes one `Columns`: fixed-width rows (ids as stable 64-bit hashes,
names as codes) plus what is true of the whole poll (counts, caught up, the reader's clock).
Rows are records, not separate arrays, so that routing, buffering and sorting move one row with one copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.event import TYPES

NO_TIME: Final = -(2**62)
"""A time that has not happened: older than every event, and far enough from the edge to add to."""

TRACK: Final = 0
IDENTIFY: Final = 1
PAGE: Final = 2
SCREEN: Final = 3
GROUP: Final = 4
ALIAS: Final = 5
KINDS: Final = TYPES
"""The values of an event's `type`; the position is the row's `kind`."""

REASONS: Final = (
    "not_json",
    "too_large",
    "not_an_object",
    "missing_field",
    "bad_type",
    "bad_id",
    "bad_timestamp",
    "bad_property",
    "unsupported_currency",
    "empty",
)
"""Why a record can be rejected (a closed set); the position indexes `Columns.rejected`."""

MAX_BREAKDOWNS: Final = 8
"""Breakdowns fit one byte each into the 64 bits of a row's `dims`."""

EVENT: Final = np.dtype(
    [
        ("user", "u8"),  # stable hash of the user, never 0
        ("message", "u8"),  # stable hash of the messageId; 0: it has none
        ("ts", "i8"),  # event time, ms UTC
        ("clock", "i8"),  # the largest ts of this poll up to and including this row, ms
        ("offset", "i8"),  # Kafka offset: the tie-break within a partition
        ("dims", "u8"),  # one code per breakdown of the config, the first in the lowest byte
        ("partition", "i4"),
        ("code", "u2"),  # event code of the config's vocabulary (0: other)
        ("kind", "u1"),  # index into KINDS
        ("clamped", "u1"),  # 1: its timestamp lay ahead and was replaced by the reference time
    ]
)
"""One accepted event, before deduplication."""


@dataclass(frozen=True, slots=True)
class Columns:
    """All records of one poll of one partition, decoded.

    `consumed == len(rows) + rejected.sum() + excluded` holds for every instance.
    """

    partition: int
    partitions: int  # how many partitions the topic has
    rows: NDArray[np.void]  # dtype EVENT, in offset order
    clock_ms: int  # the largest ts among rows; NO_TIME when there is none
    consumed: int  # records read from Kafka in this poll
    rejected: NDArray[np.int64]  # by reason, shape (len(REASONS),)
    excluded: int  # valid events that the config leaves out
    caught_up: bool  # the partition was read to its end with this poll
    monotonic_ms: int | None  # the reader's monotonic clock at the poll; None: time moves with the events only

    def without_rows(self) -> Columns:
        """What is true of the poll as a whole."""
        return replace(self, rows=self.rows[:0])


@dataclass(frozen=True, slots=True)
class Tick:
    """A cut through the stream at which every shard reports: all polls before it count, none after."""

    number: int
    monotonic_ms: int | None  # as in Columns
    as_of_ms: int | None = None  # advance the stream clock to at least this event time (end of a replay)
    final: bool = False  # nothing follows
