"""Reads all partitions of one process through one Kafka consumer, and keeps them in step.

What has been fetched waits in the partitions' queues (`queues`), and is taken from there as whole arrays. Nothing waits
in this process besides.

Caught up. A partition has been read to its end when librdkafka says so (an empty fetch), or when the next
offset is the high watermark that came with the last fetch: without the second rule a busy partition would
never be caught up, since its fetches are never empty. An empty fetch below the high watermark is no end but an open
transaction (`open_transactions`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from confluent_kafka import KafkaError

from flows.config.settings import Settings
from flows.kafka.client import START_SECONDS
from flows.messages.columns import NO_TIME
from flows.messages.raw import Raw
from flows.process.hold_reasons import Reason
from flows.process.outcomes import SourceError
from flows.source.clock_holds import ClockHolds, Held, describe
from flows.source.cluster_watch import ClusterWatch
from flows.source.log_identity import Place
from flows.source.lost_records import LostRecords
from flows.source.open_transactions import OpenTransactions
from flows.source.outages import Hold, Outages
from flows.source.partition import Partition
from flows.source.queues import NOTHING, Batch
from flows.source.read_errors import meaning
from flows.source.skew import Pace, hold_those_ahead, slowest_ms
from flows.source.topic_consumer import TopicConsumer

IDLE_SECONDS: Final = 0.020
"""Polls are this far apart at the live edge, so that a trickle is not handled one by one."""
_LOOK_SECONDS: Final = 0.1
"""News of the cluster comes once a second, and a topic may have thousands of partitions to judge."""
_ID_SECONDS: Final = 5.0  # for the topic's id, where a checkpoint holds one to compare with
_logger = logging.getLogger(__name__)


class Reader:
    """One consumer, many partitions. Used by one thread; every failure is a `SourceError`."""

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        *,
        pace: Pace | None,
        stopping: Callable[[], bool],
        processes: int = 1,
        start_seconds: float = START_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`processes`: so many read the topic, each as many of its partitions."""
        self.topic = settings.topic
        self._limits = settings.limits
        self._pace = pace
        self._consumer = TopicConsumer(
            settings, group_id, stopping=stopping, processes=processes, start_seconds=start_seconds
        )
        self._losses = LostRecords(self._consumer, settings.on_lost_offset)
        self._transactions = OpenTransactions(settings.topic, settings.limits.transaction_wait_ms, monotonic)
        self._holds = ClockHolds(settings.topic, monotonic)
        self._outages = Outages(settings.limits.delivery_wait_ms, monotonic)
        self._monotonic = monotonic
        self._watch: ClusterWatch | None = None
        self._watches = True  # for outages; towards an end no time is handed on
        self._silent: frozenset[int] = frozenset()  # when it was looked for outages last
        self._next_look = 0.0
        self._parts: dict[int, Partition] = {}
        self._never_caught_up: set[int] = set()
        self._to_fetch_anew: set[int] = set()  # partitions whose end was known, and is not any more
        self._last_poll = 0.0
        self._full = False  # records were left behind since then
        self._trouble: int | None = None

    # Before the first round

    @property
    def partitions(self) -> int:
        """How many the topic has."""
        return self._consumer.partitions

    @property
    def topic_id(self) -> str | None:
        """Of the topic whose records have been counted; None: not known."""
        return self._losses.topic_id

    def find_topic(self) -> int:
        """The number of partitions; waits for the cluster and the topic, up to `start_seconds`."""
        count = self._consumer.find_topic()
        if count > 1 and not self._parts:
            self._consumer.connect_anew()
        return count

    def add(
        self,
        places: Mapping[int, Place],
        *,
        start: Literal["earliest", "latest"],
        to_end: bool,
        topic_id: str | None = None,
    ) -> None:
        """Begin to read these partitions at their places; where nothing is known yet, at `start`.

        `topic_id`: of the topic whose records those places count; None: not known.
        """
        added = []
        for number, (offset, proof) in sorted(places.items()):
            end = None
            if offset is None or to_end:
                low, high = self._consumer.watermarks(number)
                end = high if to_end else None
                offset = offset if offset is not None else low if start == "earliest" else high
            added.append(Partition(number, self._consumer.queue(number), offset, proof, end))
        self._parts.update((part.number, part) for part in added)
        self._never_caught_up.update(places)
        self._consumer.assign(added)
        for part in added:
            if part.end is not None and part.fetched > part.end:
                self._losses.look_for(part)
        self._losses.topic_id = topic_id
        self._outages.add(places, after_outage=self._consumer.after_outage)
        self._watches = not to_end
        self._watch = ClusterWatch(
            self._consumer.questions, self._consumer.heard, self._outages, self._consumer.known_high, self._monotonic
        )
        if topic_id is not None:
            self._watch.ask_id(_ID_SECONDS)
            self._compare_topic()

    # A round

    def poll(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Begin a round: hear of the connection, and keep the partitions in step.

        At the live edge a round comes `idle_seconds` after the last one at the soonest. The time is slept here: the
        engine measures its own pauses with the wall clock, and one that is stepped back would stop the source for as
        long.
        """
        if (fatal := self._consumer.link.fatal) is not None:
            raise SourceError(f"Kafka has ended the connection: {fatal.str()}")
        if self._pace is not None:
            reading = [part for part in self._parts.values() if not part.done]
            hold_those_ahead(reading, self._pace, self._lags, self._limits.skew_ms)
        if not self._full:
            pause = self._last_poll + idle_seconds - time.monotonic()
            if pause > 0:
                time.sleep(min(pause, idle_seconds))
        for error, number in self._consumer.receive():
            self._on_error(error, number)
        self._consumer.commits.hear()
        self._last_poll = time.monotonic()
        self._full = self._consumer.more
        self._look_for_transactions()
        if self._watch is not None:
            self._watch.look()
        self._compare_topic()

    def doubt(self, monotonic_ms: int | None, *, everything: bool) -> Iterable[Raw]:
        """Call before records are handed on: the news of partitions that lag from now on, though they were read to
        their end. No broker has been heard of for a while, Kafka is away for those who write them, or (`everything`)
        this process stood still.

        Else records of one that come first would move the clock, and make late what has waited in another.
        """
        silent, found_again = self._consumer.contact.silent, self._consumer.contact.found_again()
        if everything or silent or found_again or self._to_fetch_anew:
            self._look_for_ends(silent, found_again, everything=everything)
        now = time.monotonic()
        if self._watches and (everything or silent != self._silent or now >= self._next_look):
            self._silent, self._next_look = silent, now + _LOOK_SECONDS
            self._look_for_outages(silent, everything=everything)
        for part in self._parts.values():
            if part.told and not part.done and (not part.at_end or self._hold(part)):
                part.told = False
                yield Raw.of(self.topic, part.number, self.partitions, [], [], [], False, monotonic_ms)

    def _look_for_ends(self, silent: frozenset[int], found_again: frozenset[int], *, everything: bool) -> None:
        """Of these partitions it is not known any more where they end."""
        parts = [
            part
            for part in self._parts.values()
            if not part.done and (everything or part.number in silent or part.number in found_again)
        ]
        # Fetched anew, for librdkafka says only once where the end is. What is on its way is waited for: to begin again
        # at every doubt would throw it away, and where each round brings one nothing would ever be handed on.
        self._to_fetch_anew |= {part.number for part in parts if part.at_end or part.number in found_again}
        ready = [self._parts[number] for number in self._to_fetch_anew - silent if not self._parts[number].awaited]
        if ready:
            self._to_fetch_anew -= {part.number for part in ready}
            self._consumer.assign([part for part in ready if not part.done])
        for part in parts:
            part.at_end = False
            part.stalled = part.stalled or everything

    def _look_for_outages(self, silent: frozenset[int], *, everything: bool) -> None:
        """Judge anew from which partitions older events may still come."""
        if everything:
            self._outages.woke()
        self._outages.heard(silent)
        clocks = {number: NO_TIME if self._pace is None else self._pace.clock_ms(number) for number in self._parts}
        for number, part in self._parts.items():
            self._outages.reads(number, part.fetched, clocks[number])
        self._outages.look()
        for number, part in self._parts.items():
            if self._outages.hold(number) is None:
                part.floor_ms = NO_TIME
            elif part.floor_ms == NO_TIME:
                part.floor_ms = max(clocks.values())

    def take(self, number: int, monotonic_ms: int | None) -> Raw | None:
        """The partition's waiting records, at most `limits.poll_records`, or the news that its end was
        reached.
        """
        part = self._parts[number]
        batch = NOTHING if part.held else self._receive(part)
        caught_up = not self._lags(part)
        if not len(batch) and caught_up == part.told:
            return None
        part.told = caught_up
        return Raw(
            topic=self.topic,
            partition=number,
            partitions=self.partitions,
            buffer=batch.buffer,
            bounds=batch.bounds,
            offsets=batch.offsets,
            timestamps_ms=batch.timestamps_ms,
            caught_up=caught_up,
            monotonic_ms=monotonic_ms,
        )

    # What is known

    def position(self, number: int) -> Place | None:
        """How far the partition has been handed on; None: it has not been added yet."""
        part = self._parts.get(number)
        return None if part is None else part.place

    def finished(self, number: int) -> bool:
        """Whether everything up to the partition's end has been handed on."""
        part = self._parts[number]
        return part.done and part.told

    def lags(self) -> Iterable[tuple[int, int]]:
        """(partition, records not yet handed on) as of the last fetches, where known."""
        for part in self._parts.values():
            high = self._consumer.known_high(part.number)
            if high >= 0:
                yield part.number, max(0, high - part.fetched)

    def waits_for_transactions(self) -> Mapping[int, tuple[int, float]]:
        """By partition that stands before an open transaction: records behind it, and seconds that it has waited."""
        return self._transactions.waits()

    def clock_holds(self) -> Mapping[int, Held]:
        """By partition that lags: why, and for how long; says so in the log when the stream clock stands still."""
        reasons = {part.number: self._why(part) for part in self._parts.values() if self._lags(part)}
        known = {number: describe(self._outages.keepers(number)) for number in reasons}
        self._holds.look(self.slowest_ms(), reasons, known)
        return self._holds.holds()

    def all_caught_up(self) -> bool:
        """Whether every partition of this process has been read at least once as far as it could be."""
        return not self._never_caught_up

    @property
    def full(self) -> bool:
        """Whether of some partition as much waits as is handed on at once."""
        limit = self._limits.poll_records
        return any(len(part.queue) >= limit for part in self._parts.values() if not part.held)

    @property
    def behind(self) -> bool:
        """Whether some partition has not been told to be read to its end, and more than a transaction is to come."""
        return any(
            not (part.told or (part.at_end and part.number in self._transactions)) for part in self._parts.values()
        )

    def slowest_ms(self) -> int | None:
        """The event time of the slowest lagging partition of this process; None: none lags, or time is not kept."""
        return None if self._pace is None else slowest_ms(list(self._parts.values()), self._pace, self._lags)

    def count_partitions(self) -> int | None:
        """How many partitions the topic has now; None: the cluster does not say in time."""
        if self._watch is not None:
            self._watch.ask_id()
        return self._consumer.count_partitions()

    # Behind the last round of an epoch, and of all

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell lag tools that a checkpoint holds these next offsets."""
        self._consumer.commits.commit(offsets)

    def close(self) -> None:
        """Send the last commit, if any, and leave; waits 2 s at most for an answer to each."""
        self._consumer.close(self._parts.values())

    # Receiving

    def _receive(self, part: Partition) -> Batch:
        """Take what waits for `part`, and note how far it has come.

        An error is heard of with the next call, when the records before it have been handed on.
        """
        for news in part.unheard:
            self._on_error(KafkaError(news.code), part.number)
        part.unheard = ()
        batch = part.queue.take(self._limits.poll_records)
        if len(batch) or batch.news:
            self._on_answer()
            self._full |= len(batch) + len(batch.news) >= self._limits.poll_records
        if part.done:
            return NOTHING
        news_of_it = batch.news
        if len(batch):
            if not self._losses.is_the_same(part, batch):
                return NOTHING
            batch = part.wanted(batch)
        part.awaited = part.awaited and not len(batch) and not news_of_it  # the last one counted, once more, is no news
        if len(batch):
            part.at_end = False
            self._transactions.moves(part.number)
        for news in news_of_it:
            if news.code != KafkaError._PARTITION_EOF:
                part.unheard += (news,)
            elif part.unproven and part.proof is not None and news.offset <= part.proof.offset:
                self._losses.look_for(part)  # it ends before what has been counted
                break
            elif news.offset >= part.fetched:  # else records have come since
                part.fetched = news.offset
                self._reach_end(part)
                self._transactions.stands(part.number, part.fetched, self._consumer.known_high(part.number))
        if len(batch) and not part.at_end and 0 <= self._consumer.known_high(part.number) <= part.fetched:
            self._reach_end(part)
        if part.end is not None and part.ends:
            part.fetched = part.end
            self._finish(part)
        return batch

    def _on_answer(self) -> None:
        self._consumer.link.on_answer()
        self._trouble = None

    def _on_error(self, error: KafkaError, number: int | None) -> None:
        part = None if number is None else self._parts.get(number)
        match meaning(error):
            case "end":
                self._on_answer()
            case "lost" if part is not None:
                self._losses.look_for(part)
            case "no commits":
                self._consumer.commits.on_answer(error, [])  # the group is for lag tools; reading needs no right to it
            case "passes":
                if self._trouble != error.code():  # codes, since a KafkaError cannot be compared with None
                    self._trouble = error.code()
                    _logger.warning("topic %s: %s; still trying", self.topic, error.str())
            case "gone":
                raise SourceError(f"topic {self.topic} has disappeared from Kafka; what was read of it is kept")
            case "forbidden":
                raise SourceError(f"Kafka does not allow this user to read topic {self.topic}")
            case _:
                where = "" if part is None else f" partition {part.number} at offset {part.fetched}"
                raise SourceError(f"topic {self.topic}{where} cannot be read: {error.str()} ({error.name()})")

    # Ends

    def _lags(self, part: Partition) -> bool:
        """Whether there is, or may be, more of `part` than has been handed on."""
        if part.held and len(part.queue):
            return True
        if part.done:
            return False
        return not part.at_end or self._transactions.hold(part.number) or self._hold(part) is not None

    def _hold(self, part: Partition) -> Hold | None:
        """What is known of an outage, where that matters."""
        return self._outages.hold(part.number) if self._watches else None

    def _why(self, part: Partition) -> Reason:
        """Why a partition lags: what Kafka lacks comes first, and grace last."""
        hold = self._hold(part)
        if hold is not None and hold.reason != "grace":
            return hold.reason
        if self._transactions.hold(part.number):
            return "transaction"
        if part.at_end and hold is not None and not len(part.queue):
            return hold.reason
        return "stall" if part.stalled else "reading"

    def _reach_end(self, part: Partition) -> None:
        part.at_end = part.number not in self._to_fetch_anew
        part.stalled = False
        self._never_caught_up.discard(part.number)
        self._consumer.contact.reached(part.number)

    def _look_for_transactions(self) -> None:
        """Those that have begun where reading had come to the end, and those that last too long."""
        for number, stable, high in self._consumer.contact.ends():
            part = self._parts.get(number)
            # News of another place is outdated, or comes with records or an end of its own.
            if part is not None and part.at_end and not part.done and part.fetched == stable:
                self._transactions.stands(number, stable, high)
        self._transactions.heed_limit()

    def _finish(self, part: Partition) -> None:
        if part.number in self._transactions:
            _logger.warning(
                "topic %s partition %d: what lies behind the transaction that is open at offset %d is not read by "
                "this run, which ends before it; a later one with the same state folder reads it",
                self.topic,
                part.number,
                part.fetched,
            )
        part.done = True
        self._reach_end(part)
        part.queue.stop()

    def _compare_topic(self) -> None:
        if self._watch is not None:
            self._losses.compare_topic(self._watch.topic_id(), self._parts.values())
