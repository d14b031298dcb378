"""Which partitions stand before an open transaction: the records behind it are in Kafka and cannot be read yet.

From its last stable offset on, where the oldest open transaction begins, a partition answers a consumer of committed
data with nothing, just as it does at its end. Only its high watermark, further on, shows that there is more. Such a
partition lags: the stream clock waits for what the transaction holds back, or all of it would be late when it is
committed.

    offset        0 . . . . . . . . . 40 . . . . . . . . . 89
                  |--- can be read ---|--- undecided ------|
                                      last stable offset   high watermark
                                      = where reading stands

Waiting has a limit for each transaction (`limits.transaction_wait`), since one may hang: its producer is gone, and the
broker knows of none that could end it. The limit starts anew when reading gets any further.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flows.config.notation import format_duration

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wait:
    offset: int  # where reading stands
    records: int  # behind it; markers of transactions count as well
    since: float  # monotonic seconds
    given_up: bool = False


class OpenTransactions:
    """What one reader of `topic` knows of them; `wait_ms`: how long a partition may be held by one."""

    def __init__(self, topic: str, wait_ms: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._wait_ms = wait_ms
        self._monotonic = monotonic
        self._waits: dict[int, _Wait] = {}

    def stands(self, partition: int, offset: int, high: int) -> None:
        """Nothing can be read at `offset`, and the partition goes on to `high`; the same: this is its end."""
        wait = self._waits.get(partition)
        if high <= offset:
            self.moves(partition)
        elif wait is None or wait.offset != offset:
            self.moves(partition)
            self._waits[partition] = _Wait(offset, high - offset, self._monotonic())
        else:
            wait.records = high - offset

    def moves(self, partition: int) -> None:
        """Reading has got further."""
        wait = self._waits.pop(partition, None)
        if wait is not None and wait.given_up:
            _logger.warning(
                "topic %s partition %d: the transaction at offset %d has ended; what lay behind it is read now",
                self._topic,
                partition,
                wait.offset,
            )

    def heed_limit(self) -> None:
        """Give up waiting where it has lasted too long; said once for each transaction."""
        for partition, wait in self._waits.items():
            if not wait.given_up and (self._monotonic() - wait.since) * 1000 >= self._wait_ms:
                wait.given_up = True
                _logger.warning(
                    "topic %s partition %d: the transaction at offset %d has been open for %s "
                    "(limits.transaction_wait); the stream clock waits no longer for the records behind it, %d so "
                    "far, which may then be late",
                    self._topic,
                    partition,
                    wait.offset,
                    format_duration(self._wait_ms),
                    wait.records,
                )

    def hold(self, partition: int) -> bool:
        """Whether the partition lags because of one."""
        wait = self._waits.get(partition)
        return wait is not None and not wait.given_up

    def __contains__(self, partition: int) -> bool:
        """Whether reading stands before one, whether it is still waited for or not."""
        return partition in self._waits

    def waits(self) -> Mapping[int, tuple[int, float]]:
        """By partition: how many records wait, and for how many seconds they have."""
        now = self._monotonic()
        return {partition: (wait.records, now - wait.since) for partition, wait in self._waits.items()}
