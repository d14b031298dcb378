"""Whether the brokers are heard: without news from them, being read to the end is no knowledge any more.

A consumer at the end of its partitions gets an empty answer every few milliseconds. When none has come for a while (a
cut or black-holed network, a broker that was killed or stands still) there may be records that nobody has seen, so its
partitions lag: the stream clock waits for them. librdkafka tells the silence of each broker in its statistics; it
reports a lost connection only where it notices one, which a black hole hides for the time of a request's timeout.

The statistics also tell how far a partition can be read and how far it goes, both of one answer: at an end that it has
told before, librdkafka says nothing of an answer that is as empty, though a transaction may have begun there.
"""

from __future__ import annotations

from typing import Final

import msgspec

STATISTICS_MS: Final = 250
SILENCE_US: Final = 1_000_000
"""Answers come every 50 ms (`fetch.wait.max.ms`); a longer silence than this is no pause between two."""


class _Assigned(msgspec.Struct):
    partition: int


class _Partition(msgspec.Struct):
    partition: int
    hi_offset: int = -1
    ls_offset: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] = msgspec.field(default_factory=dict)


class _Broker(msgspec.Struct):
    state: str
    nodeid: int = -1
    rxidle: int = -1  # us since something was received; -1: never
    toppars: dict[str, _Assigned] = msgspec.field(default_factory=dict)


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = msgspec.field(default_factory=dict)
    topics: dict[str, _Topic] = msgspec.field(default_factory=dict)


class Contact:
    """What one consumer's statistics say of its brokers; one topic is read."""

    def __init__(self) -> None:
        self.silent: frozenset[int] = frozenset()  # partitions that were heard of, and are not any more
        self.brokers: frozenset[int] = frozenset()  # that are heard
        self._known: frozenset[int] = frozenset()
        self._found_again: frozenset[int] = frozenset()
        self._ends: list[tuple[int, int, int]] = []
        self._decoder = msgspec.json.Decoder(_Statistics)

    def reached(self, partition: int) -> None:
        """An answer for this partition has just said where its end is."""
        if partition not in self._known:
            self._known |= {partition}

    def on_statistics(self, text: str) -> None:
        """librdkafka's `stats_cb`; served by the consumer's own calls."""
        told = self._decoder.decode(text)
        speaking = [
            broker for broker in told.brokers.values() if broker.state == "UP" and 0 <= broker.rxidle <= SILENCE_US
        ]
        self.brokers = frozenset(broker.nodeid for broker in speaking if broker.nodeid >= 0)
        heard = frozenset(one.partition for broker in speaking for one in broker.toppars.values())
        self._found_again |= self.silent & heard
        self._known |= heard
        self.silent = self._known - heard
        self._ends = [
            (one.partition, one.ls_offset, one.hi_offset)
            for topic in told.topics.values()
            for one in topic.partitions.values()
            if 0 <= one.ls_offset <= one.hi_offset
        ]

    def found_again(self) -> frozenset[int]:
        """The partitions with which contact has come back since the last call."""
        found, self._found_again = self._found_again, frozenset()
        return found

    def ends(self) -> list[tuple[int, int, int]]:
        """(partition, last stable offset, high watermark) of the last answers, once each time there is news of them."""
        ends, self._ends = self._ends, []
        return ends
