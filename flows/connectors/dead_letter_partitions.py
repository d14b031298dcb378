"""Which partition of the dead-letter topic the next letters go to: any whose leader takes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

AVOIDED_SECONDS: Final = 30.0
"""How long a broker is left alone that did not take a letter, while others do."""

_REFRESH_SECONDS: Final = 60.0


class Partitions:
    """The partitions, who leads them, and which brokers have failed lately."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.failed = False  # the last attempt; nothing has been delivered since
        self._monotonic = monotonic
        self._leaders: dict[int, int] = {}
        self._learnt_at = float("-inf")
        self._failed_at: dict[int, float] = {}  # broker -> when
        self._turn = 0

    @property
    def stale(self) -> bool:
        """Whether to ask Kafka again who leads."""
        return self.failed or self._monotonic() - self._learnt_at > _REFRESH_SECONDS

    def learn(self, leaders: Mapping[int, int]) -> None:
        """Partition -> leading broker, -1 for none, as Kafka says now."""
        self._leaders = dict(leaders)
        self._learnt_at = self._monotonic()

    def choose(self) -> int | None:
        """In turn one of those whose broker is not avoided; else that which failed first. None: there is none."""
        led = sorted(number for number, leader in self._leaders.items() if leader >= 0) or sorted(self._leaders)
        if not led:
            return None
        since = self._monotonic() - AVOIDED_SECONDS
        good = [number for number in led if self._last_failure(number) < since]
        if not good:
            return min(led, key=self._last_failure)
        self._turn += 1
        return good[self._turn % len(good)]

    def did_not_work(self, number: int) -> int:
        """The leader of a partition, which is returned, did not take a letter in time."""
        self.failed = True
        leader = self._leaders.get(number, -1)
        self._failed_at[leader] = self._monotonic()
        return leader

    def worked(self, number: int) -> None:
        """The leader of a partition has taken a letter."""
        self.failed = False
        self._failed_at.pop(self._leaders.get(number, -1), None)

    def _last_failure(self, number: int) -> float:
        return self._failed_at.get(self._leaders[number], float("-inf"))
