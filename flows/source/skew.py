"""Keeps partitions in step: while some partition lags, one that is far ahead of the slowest lagging one is held.

Nothing is taken for a partition that is held, so that its queue fills and librdkafka fetches no more. It goes on at
half that distance. The slowest lagging partition is never held, so this cannot stand still. One that lags for an outage
of Kafka alone may have had its last event days ago: it counts as no slower than event time was when that began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flows.source.partition import Partition


class Pace(Protocol):
    """How far the event time of each partition has come. Only a hint: it changes when, never what, is
    read.
    """

    def clock_ms(self, partition: int) -> int:
        """The largest event time accepted from the partition, ms; NO_TIME before the first."""

    def elsewhere_ms(self) -> int | None:
        """The event time of the slowest lagging partition that other processes read, ms; None: none lags."""


def slowest_ms(parts: Sequence[Partition], pace: Pace, lags: Callable[[Partition], bool]) -> int | None:
    """The event time of the slowest lagging partition among `parts`; None: none lags."""
    return min((max(pace.clock_ms(part.number), part.floor_ms) for part in parts if lags(part)), default=None)


def hold_those_ahead(parts: Sequence[Partition], pace: Pace, lags: Callable[[Partition], bool], limit_ms: int) -> None:
    """Hold every partition that is further than `limit_ms` ahead, and let go those that no longer are."""
    slowest, elsewhere = slowest_ms(parts, pace, lags), pace.elsewhere_ms()
    if elsewhere is not None:
        slowest = elsewhere if slowest is None else min(slowest, elsewhere)
    for part in parts:
        ahead = 0 if slowest is None else pace.clock_ms(part.number) - slowest
        if not part.held and ahead > limit_ms:
            part.held = True
        elif part.held and ahead <= limit_ms // 2:
            part.held = False
