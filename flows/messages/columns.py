"""The one shape in which events travel between stages: rows of a numpy record array with a header.

A poll of one Kafka partition becomes one `Columns`: fixed-width rows (ids as stable 64-bit hashes,
names as codes) plus what is true of the whole poll (counts, caught up, the reader's clock).
Rows are records, not separate arrays, so that routing, buffering and sorting move one row with one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from schemas.event import TYPES

NO_TIME: Final = -(2**62)
NEVER: Final = 2**62
"""Times that do not happen, before and after those of all events, and far enough from the edge to add to."""

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
        ("clock", "i8"),  # the largest reading of this poll up to and including this row, ms (decode/times.py)
        ("offset", "i8"),  # Kafka offset: the tie-break within a partition
        ("dims", "u8"),  # one code per breakdown of the config, the first in the lowest byte
        ("partition", "i4"),
        ("code", "u2"),  # of its name and the conditions it meets (config/event_codes.py)
        ("kind", "u1"),  # index into KINDS
        ("clamped", "u1"),  # 1: its timestamp lay ahead and was replaced by the reference time
    ]
)
"""One accepted event, before deduplication."""

FACT: Final = np.dtype(
    [
        ("key", "u8"),  # stable hash of what it is about, never 0: whose shard it goes to
        ("user", "u8"),  # of the event that carries it, as all fields down to `partition`
        ("message", "u8"),  # messageId and key; 0: it has no messageId
        ("ts", "i8"),
        ("clock", "i8"),  # once in the shard's turns: the bound that its time had to reach, else it is late
        ("offset", "i8"),
        ("dims", "u8"),
        ("partition", "i8"),
        ("slot", "i8"),  # the user's row in the shard, where the key is the user; known to the shard only
        ("used", "i8"),  # when it takes its turn, ms UTC; known to the shard only
    ]
)
"""What every fact begins with; the columns of its own follow, all 8 bytes wide, so that one loop writes any. It travels
beside the row of the event that carries it, to a shard of its own.
"""

TIED_VALUES: Final = "tied values"
"""The name under which rows of TIED_VALUE travel, as if they were a kind of facts."""
TIED_VALUE: Final = np.dtype(
    [
        ("key", "u8"),  # the user: the value goes where its event goes
        ("partition", "i8"),  # of the record that has it
        ("offset", "i8"),
        ("field", "i8"),  # its place in `Config.held_fields()`
        ("value", "u8"),  # hash of its slug, never 0
    ]
)
"""What an event has in a field that a funnel holds constant, in the order of the events."""

VALUE: Final = np.dtype(
    [
        ("key", "u8"),  # stable hash of the value's text, never 0: whose shard it goes to
        ("user", "u8"),  # of the event that shows it, as all fields down to `partition`
        ("message", "u8"),  # messageId and key; 0: it has no messageId
        ("ts", "i8"),
        ("clock", "i8"),
        ("offset", "i8"),
        ("partition", "i8"),
        ("used", "i8"),  # when it takes its turn, ms UTC; known to the shard only
    ]
)
"""One value of a field of a top list, as an event shows it."""

WORDS_OF_TEXT: Final = 6
TEXT: Final = np.dtype(
    [
        ("key", "u8"),  # the value's
        ("size", "u8"),  # bytes of the text from here on; what is beyond this piece is in the next
        *((f"word{number}", "u8") for number in range(WORDS_OF_TEXT)),
    ]
)
"""A piece of a value's text (UTF-8). A poll brings the text of every value that it shows."""

TEXTS: Final = "texts"
"""The kind under which `Columns.facts` has the texts of values."""


def joined(parts: Sequence[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    """Record arrays, or their bytes, one behind the other.

    As bytes, since numpy copies records field by field in 20 times the time. It does so with `rows[places]` and
    `rows[mask]`, too; `rows.take(places)` and `rows.compress(mask)` are as fast as this.
    """
    return np.concatenate([part.view(np.uint8) for part in parts]).view(dtype)


Facts = Mapping[str, NDArray[Any]]
"""Facts by their kind's name, in offset order; kinds without any are left out."""
NO_FACTS: Final[Facts] = {}


@dataclass(frozen=True, slots=True)
class Columns:
    """All records of one poll of one partition, decoded.

    `consumed == len(rows) + rejected.sum() + excluded.sum()` holds for every instance.
    """

    partition: int
    partitions: int  # how many partitions the topic has
    rows: NDArray[np.void]  # dtype EVENT, in offset order
    clock_ms: int  # the largest reading among rows; NO_TIME when there is none
    latest_ms: int  # the largest time among rows; NO_TIME when there is none
    consumed: int  # records read from Kafka in this poll
    rejected: NDArray[np.int64]  # by reason, shape (len(REASONS),)
    excluded: NDArray[np.int64]  # records left out that are no errors, by kind, shape (len(EXCLUSIONS),)
    caught_up: bool  # the partition was read to its end with this poll
    monotonic_ms: int | None  # the reader's monotonic clock at the poll; None: time moves with the events only
    offsets: tuple[int, int] | None = None  # of the first record, and behind the last; None: there is none
    facts: Facts = field(default_factory=lambda: NO_FACTS)  # what some of the rows' events tell besides

    def without_rows(self) -> Columns:
        """What is true of the poll as a whole."""
        return replace(self, rows=self.rows[:0], facts=NO_FACTS)
