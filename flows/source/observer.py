"""What the source tells whoever wants to know how reading goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Observer(Protocol):
    """Who wants to know how reading goes; `flows.process.health.Health` is one."""

    def assign(self, partitions: Iterable[tuple[str, int]]) -> None:
        """These (topic, partition) are read by this process."""

    def lags(self, topic: str, partition: int, messages: int) -> None:
        """So many records of a partition wait to be read."""

    def open_transactions(self, topic: str, waits: Mapping[int, tuple[int, float]]) -> None:
        """By partition that stands before an open transaction: records behind it, and seconds that it has waited."""

    def clock_holds(self, topic: str, holds: Mapping[int, tuple[str, float, str]]) -> None:
        """By partition that lags: the reason (one of few), seconds so far, and a sentence."""

    def caught_up(self) -> None:
        """Every partition has been read to its end."""
