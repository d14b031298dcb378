"""What a source hands on: the waiting records of one partition, untouched, and those that could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PADDING: Final = 32
"""Zero bytes that follow the last record in a buffer: the scanner reads as many at once, across its end."""


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """The records of one poll of one partition: their values one behind the other, and what Kafka says of each.

    Record i is `buffer[bounds[i]:bounds[i + 1]]`; a tombstone is as empty as an empty value.
    """

    topic: str
    partition: int
    partitions: int  # how many partitions the topic has
    buffer: NDArray[np.uint8]  # ends with PADDING zero bytes that belong to no record
    bounds: NDArray[np.int64]  # shape (records + 1,)
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]  # Kafka record timestamps; -1: unknown
    caught_up: bool  # the partition was read to its end with this poll
    monotonic_ms: int | None  # the reader's monotonic clock; None: time moves with the events only

    @property
    def count(self) -> int:
        """How many records there are; none in one that only tells of the end."""
        return len(self.offsets)

    def value(self, index: int) -> bytes:
        """The value of record `index`."""
        return self.buffer[self.bounds[index] : self.bounds[index + 1]].tobytes()

    @property
    def values(self) -> list[bytes]:
        """All values, in offset order."""
        return [self.value(index) for index in range(self.count)]

    @classmethod
    def of(
        cls,
        topic: str,
        partition: int,
        partitions: int,
        values: Sequence[bytes | None],
        offsets: Sequence[int],
        timestamps_ms: Sequence[int],
        caught_up: bool,
        monotonic_ms: int | None,
    ) -> Raw:
        """A poll of records that are Python objects already."""
        parts = [value or b"" for value in values]
        return cls(
            topic,
            partition,
            partitions,
            np.frombuffer(bytearray().join([*parts, bytes(PADDING)]), np.uint8),  # writable, as a reader's are
            bounds_of(parts),
            np.array(offsets, np.int64),
            np.array(timestamps_ms, np.int64),
            caught_up,
            monotonic_ms,
        )


def bounds_of(parts: Sequence[bytes]) -> NDArray[np.int64]:
    """Where each of `parts` begins when they stand one behind the other, and where the last ends."""
    bounds = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=bounds[1:])
    return bounds


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that could not be used, and why. A value, not an exception."""

    reason: str  # one of flows.messages.columns.REASONS
    message: str  # names the field and what was found: "$.userId: expected str, got int"
    topic: str
    partition: int
    offset: int
    timestamp_ms: int  # Kafka record timestamp; -1: unknown
    payload: bytes  # as received, cut at the record limit
