"""A cut through the stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A cut through the stream at which every shard reports: all polls before it count, none after."""

    number: int
    monotonic_ms: int | None  # as in Columns
    as_of_ms: int | None = None  # advance the stream clock to at least this event time (end of a replay)
    final: bool = False  # nothing follows
