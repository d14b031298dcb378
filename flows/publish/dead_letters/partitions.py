"""Which partition of the dead-letter topic the next letters go to: any whose leader takes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

AVOIDED_SECONDS: Final = 30.0
"""How long a broker that did not take a letter is left alone, while others take them; then one letter tries."""

_REFRESH_SECONDS: Final = 60.0
_LEADERLESS_SECONDS: Final = 1.0  # the same while a partition has no leader, as those of a new topic


class Choice(NamedTuple):
    """Where letters go next."""

    partition: int
    doubtful: bool  # its leader took none the last time, so that one letter is enough


class Partitions:
    """The partitions, who leads them, and which brokers have failed and not taken a letter since."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._leaders: dict[int, int] = {}
        self._learnt_at = float("-inf")
        self._failed_at: dict[int, float] = {}  # broker -> when it did, or was tried since
        self._turn = 0

    @property
    def stale(self) -> bool:
        """Whether to ask Kafka again who leads."""
        return self._monotonic() - self._learnt_at > _REFRESH_SECONDS

    @property
    def hopeless(self) -> bool:
        """Whether no leader is left that has not failed lately."""
        return not self._good()

    def learn(self, leaders: Mapping[int, int]) -> None:
        """Partition -> leading broker, -1 for none, as Kafka says now; soon to be asked again where there is none."""
        self._leaders = dict(leaders)
        whole = leaders and min(leaders.values()) >= 0
        self._learnt_at = self._monotonic() - (0 if whole else _REFRESH_SECONDS - _LEADERLESS_SECONDS)

    def choose(self) -> Choice | None:
        """In turn one of those whose broker is not avoided; else that which failed first. None: there is none."""
        if good := self._good():
            self._turn += 1
            number = good[self._turn % len(good)]
        elif led := self._led():
            number = min(led, key=self._last_failure)
        else:
            return None
        leader = self._leaders[number]
        doubtful = leader in self._failed_at
        if doubtful:
            self._failed_at[leader] = self._monotonic()
        return Choice(number, doubtful)

    def did_not_work(self, number: int) -> int:
        """The leader of a partition, which is returned, did not take a letter in time."""
        leader = self._leaders.get(number, -1)
        self._failed_at[leader] = self._monotonic()
        self._learnt_at = float("-inf")
        return leader

    def worked(self, number: int) -> None:
        """The leader of a partition has taken a letter."""
        self._failed_at.pop(self._leaders.get(number, -1), None)

    def _good(self) -> Sequence[int]:
        since = self._monotonic() - AVOIDED_SECONDS
        return [number for number in self._led() if self._last_failure(number) < since]

    def _led(self) -> Sequence[int]:
        return sorted(number for number, leader in self._leaders.items() if leader >= 0) or sorted(self._leaders)

    def _last_failure(self, number: int) -> float:
        return self._failed_at.get(self._leaders[number], float("-inf"))
