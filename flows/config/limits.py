"""What one process will take in and hold at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit has a name; in the file they stand under `limits:`."""

    record_bytes: int = 32 * 1024  # a larger record is rejected as too_large
    poll_records: int = 10_000  # records handed on at once
    queued_kbytes: int = 16 * 1024  # librdkafka's own queues together
    skew_ms: int = 60_000  # how far (event time) a partition may be read ahead of the slowest lagging one
    transaction_wait_ms: int = 900_000  # how long an open transaction may hold the stream clock
    delivery_wait_ms: int = 45_000  # how long after an outage of Kafka events may come that producers have kept
    users_per_shard: int = 4_000_000  # beyond it the longest idle are forgotten, and counted
    tickets_per_shard: int = (
        1_000_000  # beyond it the longest resolved are forgotten, then the longest open, and counted
    )
    spend_per_shard: int = 100_000  # records of spending; beyond it further ones are refused, and counted
    top_values: int = 1_000  # of each top list in a shard; further ones count in `other`
    top_pairs: int = 100_000  # the same of value and user, where a list counts users
    held_per_shard: int = 4_000_000  # rows in the reorder buffer
    dead_letters_per_second: int = 1_000  # beyond it records are still counted, no longer copied
    dead_letters_waiting_bytes: int = 64 * 1024**2  # that Kafka has not taken; in memory, and in the state folder
    publish_fields: int = 200_000  # cells in one publish
