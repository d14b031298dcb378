"""What a source hands on: the waiting records of one partition, untouched, and those that could not be used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Raw:
    """The records of one poll of one partition; `values`, `offsets` and `timestamps_ms` run in parallel."""

    topic: str
    partition: int
    partitions: int  # how many partitions the topic has
    values: list[bytes | None]  # None: a tombstone
    offsets: list[int]
    timestamps_ms: list[int]  # Kafka record timestamps; -1: unknown
    caught_up: bool  # the partition was read to its end with this poll
    monotonic_ms: int | None  # the reader's monotonic clock; None: time moves with the events only


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that could not be used, and why. A value, not an exception."""

    reason: str  # one of flows.columns.REASONS
    message: str  # names the field and what was found: "$.userId: expected str, got int"
    topic: str
    partition: int
    offset: int
    timestamp_ms: int  # Kafka record timestamp; -1: unknown
    payload: bytes  # as received, cut at the record limit
