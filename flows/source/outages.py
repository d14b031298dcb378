"""From which partitions older events may still come, since Kafka is away for those who write them, or was just now.

While it is away producers keep their events, and deliver them when it is back. A partition of which that may be true
lags: the stream clock goes on with its records, if any come, and takes no time that has merely elapsed.

    leader killed        elected        delivered         grace: nothing older comes
    |--- none or silent ---|--------------------|------------------------------------------|
    T stands               T follows the records of the partition                          T takes elapsed time again

What can be known of it, and how soon:

* no answer to a fetch for 1 s (`kafka_contact`): the broker that is read from is gone or stands still;
* the leader answers no question for 2.5 s: it matters where a replica is read, and the leader is another broker;
* the metadata name no leader, or fewer in-sync replicas than `min.insync.replicas`: asked once a second;
* the high watermark stands still though the log goes on, which a hung follower does to all that it keeps, for as long
  as it counts as in sync (`replica.lag.time.max.ms`): readers see no more than the high watermark, but are told no
  offset of the newest record while that lies beyond it. Two such answers, a second apart, are one too many. Producers
  wait for such records, and with them for all others of the same leader, so these lag as well.

A run that starts does not know any of this yet: its partitions lag until their leaders have answered once. One that has
had to wait for the cluster has its grace first.

Grace begins with the end of any of these, with every change of the leader or the in-sync replicas, and anew with each
record from before the end. A set that stays shrunk (a broker is being replaced) has its grace once, then nothing is
missing any more: who can write has done so. Grace ends at `_LONGEST_MS` at the latest, for a producer keeps no event
longer than that; else a topic that is always behind its neighbours would never come out of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from flows.source.questions import Keepers

Trouble = Literal["silent", "no_leader", "few_in_sync", "no_answer", "withheld", "unchecked"]
Reason = Trouble | Literal["grace"]

ANSWER_MS: Final = 2_500
"""A leader is asked every second; two answers may be missed."""
DESCRIBED_MS: Final = 10_000
"""What is known of leaders and replicas is too old then."""
WITHHELD_MS: Final = 800
"""A record that was just written lies beyond the high watermark for some milliseconds."""
_WITHHELD_AT_MOST_MS: Final = 300_000
"""Longer than Kafka leaves a follower that does not fetch among those in sync: this broker means something else."""
_LONGEST_MS: Final = 300_000
"""Of a producer's `delivery.timeout.ms`: 2 minutes, or 5 for those made of librdkafka."""
_AWAKE_MS: Final = 2_000
"""After a stall brokers that seem silent have this long to be heard again: it was this process that did not listen."""


class _Unseen(NamedTuple):
    """A newest record that readers may not see, unless there is none at all; monotonic ms."""

    high: int  # the high watermark meanwhile
    first_ms: int
    last_ms: int


@dataclass(slots=True)
class _Known:
    """Of one partition; times are monotonic ms."""

    keepers: Keepers | None = None  # None: the cluster has not said yet
    answered_ms: int | None = None  # when its leader last spoke of it
    unseen: _Unseen | None = None  # the newest record, as far as its leader has said
    shows: bool | None = None  # readers see some record; None: not known
    settled: bool = False  # once its leader has answered that readers see all, or as much as can be known of that
    trouble: Trouble | None = None
    since_ms: int = 0  # of the trouble, or of what has ended with the grace
    calm_ms: int | None = None  # grace has begun; None: it is over, or there was no reason for it
    ended_ms: int = 0  # when the grace began first
    older_than_ms: int = 0  # event time: what is older was delayed
    seen: tuple[int, int] = (-1, 0)  # next offset and clock, as last looked at


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a partition lags though it has been read to its end."""

    reason: Reason
    since_ms: int  # monotonic


@dataclass(slots=True)
class Outages:
    """What is known of all partitions that this process reads; one thread."""

    wait_ms: int  # of grace
    monotonic: Callable[[], float] = time.monotonic
    min_in_sync: int = 1
    _known: dict[int, _Known] = field(default_factory=dict)
    _silent: frozenset[int] = frozenset()
    _describes: bool = True
    _described_ms: int | None = None
    _awake_ms: int = 0
    _newest: tuple[int, int] | None = None  # the largest event time, and when it came

    # What comes in

    def add(self, partitions: Iterable[int], *, after_outage: bool = False) -> None:
        """These are read from now on; `after_outage`: the cluster could not be reached when this run began."""
        for partition in partitions:
            known = self._known[partition] = _Known()
            if after_outage:
                self._begin_grace(known, self._now_ms())

    def described(self, partitions: Mapping[int, Keepers]) -> None:
        """The cluster has said who keeps the partitions."""
        now_ms = self._now_ms()
        self._described_ms = now_ms
        for partition, keepers in partitions.items():
            known = self._known.get(partition)
            if known is None or known.keepers == keepers:
                continue
            first, shrunk = known.keepers is None, keepers.in_sync != keepers.replicas
            if known.keepers is None or known.keepers.leader != keepers.leader:
                known.answered_ms = now_ms
            known.keepers = keepers
            if shrunk or not first:
                self._begin_grace(known, now_ms)

    def told(self, partition: int, *, newest: bool, high: int) -> None:
        """A leader has answered: whether readers may see its newest record, and where their high watermark is."""
        known, now_ms = self._known[partition], self._now_ms()
        known.answered_ms = now_ms
        if newest or high < 0:
            known.unseen, known.settled = None, True
        elif known.unseen is None or known.unseen.high != high:
            known.settled = known.settled or known.unseen is not None
            known.unseen = _Unseen(high, now_ms, now_ms)
        else:
            known.unseen = known.unseen._replace(last_ms=now_ms)

    def shows(self, partition: int, *, any_record: bool) -> None:
        """A leader has answered whether there is any record that readers may see."""
        known = self._known[partition]
        known.shows = any_record
        known.settled = known.settled or not any_record

    def undescribed(self) -> None:
        """This cluster does not say who keeps the partitions; so nothing can be asked of leaders."""
        self._describes = False

    def heard(self, silent: frozenset[int]) -> None:
        """No broker is heard of for these partitions."""
        self._silent = silent

    def woke(self) -> None:
        """This process stood still: what it has not heard meanwhile says nothing."""
        now_ms = self._now_ms()
        self._awake_ms = now_ms + _AWAKE_MS
        self._described_ms = None if self._described_ms is None else now_ms
        for known in self._known.values():
            known.answered_ms = None if known.answered_ms is None else now_ms
            known.unseen = None

    def reads(self, partition: int, next_offset: int, clock_ms: int) -> None:
        """How far a partition has been read, and its clock (event time)."""
        known, now_ms = self._known[partition], self._now_ms()
        if self._newest is None or clock_ms > self._newest[0]:
            self._newest = clock_ms, now_ms
        if known.seen != (next_offset, clock_ms):
            known.seen = next_offset, clock_ms
            if known.calm_ms is not None and clock_ms <= known.older_than_ms:
                known.calm_ms = now_ms

    # What comes of it

    def look(self) -> None:
        """Judge all partitions anew; call once a round."""
        now_ms = self._now_ms()
        withheld = {
            known.keepers.leader for known in self._known.values() if known.keepers and self._withholds(known, now_ms)
        }
        for partition, known in self._known.items():
            trouble = self._trouble(partition, known, withheld, now_ms)
            if trouble is not None and known.trouble is None:
                known.since_ms = now_ms
            if trouble is None and known.trouble not in (None, "unchecked"):
                self._begin_grace(known, now_ms)
            known.trouble = trouble
            if known.calm_ms is not None and (
                now_ms - known.calm_ms >= self.wait_ms or now_ms - known.ended_ms >= _LONGEST_MS
            ):
                known.calm_ms = None

    def hold(self, partition: int) -> Hold | None:
        """Why the partition lags; None: it does not for any of this."""
        known = self._known[partition]
        if known.trouble is not None:
            return Hold(known.trouble, known.since_ms)
        return None if known.calm_ms is None else Hold("grace", known.since_ms)

    def keepers(self, partition: int) -> Keepers | None:
        """Who keeps it, as last heard."""
        return self._known[partition].keepers

    def suspects(self) -> set[int]:
        """Partitions whose newest record readers may not see, unless they are empty."""
        return {partition for partition, known in self._known.items() if known.unseen is not None}

    def leaders(self) -> Mapping[int, list[int]]:
        """The partitions of each leader that is known."""
        by_leader: dict[int, list[int]] = {}
        for partition, known in self._known.items():
            if known.keepers is not None and known.keepers.leader >= 0:
                by_leader.setdefault(known.keepers.leader, []).append(partition)
        return by_leader

    def _trouble(self, partition: int, known: _Known, withheld: set[int], now_ms: int) -> Trouble | None:
        if partition in self._silent and now_ms >= self._awake_ms:
            return "silent"
        if known.keepers is None:
            return "unchecked" if self._describes else None
        if known.keepers.leader < 0:
            return "no_leader"
        if len(known.keepers.in_sync) < min(self.min_in_sync, len(known.keepers.replicas)):
            return "few_in_sync"
        if known.answered_ms is not None and now_ms - known.answered_ms > ANSWER_MS:
            return "no_answer"
        if known.keepers.leader in withheld:
            return "withheld"
        if not known.settled:
            return "unchecked"
        if self._described_ms is not None and now_ms - self._described_ms > DESCRIBED_MS:
            return "unchecked"
        return None

    def _withholds(self, known: _Known, now_ms: int) -> bool:
        unseen = known.unseen
        if unseen is None or not known.shows or unseen.last_ms - unseen.first_ms < WITHHELD_MS:
            return False
        known.settled = known.settled or now_ms - unseen.first_ms >= _WITHHELD_AT_MOST_MS
        return now_ms - unseen.first_ms < _WITHHELD_AT_MOST_MS

    def _begin_grace(self, known: _Known, now_ms: int) -> None:
        if self.wait_ms <= 0:
            return
        if known.trouble is None and known.calm_ms is None:
            known.since_ms = now_ms
        known.calm_ms = known.ended_ms = now_ms
        if self._newest is not None:
            known.older_than_ms = self._newest[0] + now_ms - self._newest[1]

    def _now_ms(self) -> int:
        return int(self.monotonic() * 1000)
