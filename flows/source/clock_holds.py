"""Says why the stream clock stands still: which partitions hold it, since when, and what is known of their leaders.

Partitions lag every now and then, and the clock goes on with their records. It stands when the slowest of those that
lag gets no further; after three seconds of that a line names each of them, and another one says when it goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from flows.process.hold_reasons import MEANINGS, Reason
from flows.source.questions import Keepers

STANDS_SECONDS: Final = 3.0
_NAMED: Final = 8
"""So many partitions are named in one line; a broker may lead hundreds."""
_logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """A partition that lags."""

    reason: Reason
    seconds: float  # so far, for this reason
    sentence: str


def describe(keepers: Keepers | None) -> str:
    """What is known of those who keep a partition, in brackets; empty: nothing."""
    if keepers is None:
        return ""
    leader = "no leader" if keepers.leader < 0 else f"leader {keepers.leader}"
    return f" ({leader}, in sync {_list(keepers.in_sync)} of {_list(keepers.replicas)})"


class ClockHolds:
    """Of the partitions of one topic that this process reads."""

    def __init__(self, topic: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._monotonic = monotonic
        self._since: dict[int, tuple[Reason, float]] = {}
        self._known: Mapping[int, str] = {}
        self._slowest_ms: int | None = None
        self._stands_since: float | None = None  # None: it goes on
        self._said = False

    def look(self, slowest_ms: int | None, reasons: Mapping[int, Reason], known: Mapping[int, str]) -> None:
        """These partitions lag now, the slowest of them at this event time."""
        now = self._monotonic()
        self._since = {
            partition: before if (before := self._since.get(partition)) and before[0] == reason else (reason, now)
            for partition, reason in reasons.items()
        }
        self._known = known
        if not reasons or slowest_ms is None or slowest_ms != self._slowest_ms:
            self._goes_on(now)
            self._slowest_ms, self._stands_since = slowest_ms, now if reasons else None
        elif not self._said and self._stands_since is not None and now - self._stands_since >= STANDS_SECONDS:
            self._stands(now - self._stands_since)

    def holds(self) -> Mapping[int, Held]:
        """By partition that lags."""
        now = self._monotonic()
        return {
            partition: Held(reason, now - since, f"{MEANINGS[reason]}{self._known[partition]}, for {now - since:.0f} s")
            for partition, (reason, since) in self._since.items()
        }

    def _stands(self, seconds: float) -> None:
        holds = {number: held for number, held in self.holds().items() if held.reason != "transaction"}
        if not holds:
            return  # commits may be minutes apart, and one that hangs is told of elsewhere
        self._said = True
        told = "; ".join(f"partition {number}: {held.sentence}" for number, held in sorted(holds.items())[:_NAMED])
        more = f"; and {len(holds) - _NAMED} more" if len(holds) > _NAMED else ""
        _logger.warning("topic %s: the stream clock has stood still for %.0f s: %s%s", self._topic, seconds, told, more)

    def _goes_on(self, now: float) -> None:
        if self._said and self._stands_since is not None:
            seconds = now - self._stands_since
            _logger.warning("topic %s: the stream clock goes on, after %.0f s", self._topic, seconds)
        self._said = False


def _list(brokers: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(brokers))) or "none"
