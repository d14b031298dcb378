"""Reads all partitions of one process through one Kafka consumer, and keeps them in step.

Every partition has a queue of its own inside librdkafka (`record_queue`), where what has been fetched waits; it is
taken from there as whole arrays. Nothing waits in this process besides.

Caught up. A partition has been read to its end when librdkafka says so (an empty fetch), or when the next
offset is the high watermark that came with the last fetch: without the second rule a busy partition would
never be caught up, since its fetches are never empty. An empty fetch below the high watermark is no end but an open
transaction (`open_transactions`).

Skew. While some partition lags, one whose event time is further than `skew_ms` ahead of the slowest lagging
one is held: nothing is taken for it, so that its queue fills and librdkafka fetches no more. It goes on at half that
distance. The slowest lagging partition is never held, so this cannot stand still.

Identity. Wherever reading begins, and after every doubt, the last record counted is read once more and compared: the
log may be another one (`log_identity`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.config.settings import Settings
from flows.kafka.client import START_SECONDS, Link, options, wait_for_topic
from flows.kafka.contact import STATISTICS_MS, Contact
from flows.kafka.librdkafka import LibraryError
from flows.messages.raw import Raw
from flows.process.outcomes import SourceError
from flows.source.lag_commits import LagCommits
from flows.source.log_identity import Place, Proof, proof_of
from flows.source.open_transactions import OpenTransactions
from flows.source.record_queue import NOTHING, Batch, News, RecordQueue, RecordQueues
from flows.source.topic_watch import TopicWatch

Lost = Literal["stop", "earliest", "latest"]

IDLE_SECONDS: Final = 0.020
"""Polls are this far apart at the live edge, so that a trickle is not handled one by one."""
_QUERY_SECONDS: Final = 5.0
_CHECK_SECONDS: Final = 0.3
"""The flow stands still for so long at most when the cluster does not answer a check: less than what counts as a stall,
after which all partitions would be fetched anew.
"""
_CLOSE_SECONDS: Final = 2.0
_ID_SECONDS: Final = 5.0  # for the topic's id, where a checkpoint holds one to compare with
_OTHER_LOG: Final = "its log is not the one that was read (an unclean leader election, or was the topic made anew?)"
_LEAST_QUEUED_KBYTES: Final = 256
_logger = logging.getLogger(__name__)

TUNED: Final[dict[str, Any]] = {
    # After a full queue librdkafka waits this long before it fetches again; its default of 1 s throttles a
    # fast reader to a sixth.
    "fetch.queue.backoff.ms": 20,
    "fetch.min.bytes": 64 * 1024,  # a trickle comes in one answer every 20 ms, not record by record
    "fetch.wait.max.ms": 20,  # how long a broker may hold an empty answer back; how late an end is noticed
    "fetch.max.bytes": 8 * 1024 * 1024,  # one answer
    "max.partition.fetch.bytes": 256 * 1024,  # compressed; bounds how far a queue can overshoot
    "queued.min.messages": 100_000,
}
_PASSING: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
    }
)
"""Consumer errors that librdkafka mends by itself. Any other ends the process: it might have skipped
records.
"""


class Pace(Protocol):
    """How far the event time of each partition has come. Only a hint: it changes when, never what, is
    read.
    """

    def clock_ms(self, partition: int) -> int:
        """The largest event time accepted from the partition, ms; NO_TIME before the first."""

    def elsewhere_ms(self) -> int | None:
        """The event time of the slowest lagging partition that other processes read, ms; None: none lags."""


@dataclass(slots=True)
class _Partition:
    number: int
    queue: RecordQueue
    fetched: int  # offset of the first record not yet handed on
    proof: Proof | None  # the last record handed on; None: none was, or it is not known
    end: int | None  # hand on nothing from here on; None: there is no end
    at_end: bool = False  # all that could be read has been handed on
    told: bool = False  # what the last Raw said: caught up
    held: bool = False  # ahead of the slowest: hands nothing on
    done: bool = False  # everything up to `end` has been handed on
    awaited: bool = False  # it is fetched anew, and nothing has come yet
    unproven: bool = False  # reading has begun at `proof`, which has not come yet
    reached: int = 0  # how far it had been read when it was assigned: markers of transactions behind the last record
    unheard: tuple[News, ...] = ()  # errors behind the records handed on last


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
        self.partitions = 0  # of the topic
        self._settings = settings
        self._limit = settings.limits.poll_records
        self._pace = pace
        self._stopping = stopping
        self._processes = processes
        self._start_seconds = start_seconds
        self._link = Link(settings)
        self._contact = Contact()
        self._transactions = OpenTransactions(settings.topic, settings.limits.transaction_wait_ms, monotonic)
        self._parts: dict[int, _Partition] = {}
        self._never_caught_up: set[int] = set()
        self._to_fetch_anew: set[int] = set()  # partitions whose end was known, and is not any more
        self._last_poll = 0.0
        self._full = False  # records were left behind since then
        self._trouble: int | None = None
        self.commits = LagCommits(settings, group_id)
        self._group_id = group_id
        self.topic_id: str | None = None  # of the topic whose records have been counted; None: not known
        self._consumer, self._queues, self._watch = self._connect()

    def _connect(self) -> tuple[Consumer, RecordQueues, TopicWatch]:
        configuration = options(
            self._settings,
            {**TUNED, "queued.max.messages.kbytes": self._queued_kbytes()},
            {
                "group.id": self._group_id,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "statistics.interval.ms": STATISTICS_MS,
                "stats_cb": self._contact.on_statistics,
            },
        )
        try:
            consumer = Consumer(configuration)
            name = str(configuration["client.id"])
            queues = RecordQueues(consumer, name, self._limit, self._link.on_error)
            return consumer, queues, TopicWatch(consumer, name, self.topic)
        except LibraryError as error:
            raise SourceError(str(error)) from error
        except (KafkaException, TypeError, ValueError) as error:
            raise SourceError(f"Kafka cannot be used with these options: {_text(error)}") from error

    def _queued_kbytes(self) -> int:
        """librdkafka counts what waits by queue, and there is one per partition."""
        own = max(1, -(-self.partitions // self._processes))
        return max(_LEAST_QUEUED_KBYTES, self._settings.limits.queued_kbytes // own)

    def find_topic(self) -> int:
        """The number of partitions; waits for the cluster and the topic, up to `start_seconds`."""
        try:
            self.partitions = wait_for_topic(
                self._consumer,
                self.topic,
                self._link,
                serve=lambda: self._consumer.poll(0),
                stopping=self._stopping,
                seconds=self._start_seconds,
            )
        except (TimeoutError, InterruptedError) as error:
            raise SourceError(str(error)) from error
        if self.partitions > 1 and not self._parts:  # now that their number is known, so is what each may queue
            self._watch.close()
            self._consumer.close()
            self._queues.close()
            self._consumer, self._queues, self._watch = self._connect()
        return self.partitions

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
                low, high = self._watermarks(number)
                end = high if to_end else None
                offset = offset if offset is not None else low if start == "earliest" else high
            added.append(_Partition(number, self._queues.queue(self.topic, number), offset, proof, end))
        self._parts.update((part.number, part) for part in added)
        self._never_caught_up.update(places)
        self._assign(added)
        for part in added:
            if part.end is not None and part.fetched > part.end:
                self._on_lost(part)
        self.topic_id = topic_id
        self._watch.ask()
        if topic_id is not None:
            self._compare_topic(self._watch.answer(_ID_SECONDS))

    def position(self, number: int) -> Place | None:
        """How far the partition has been handed on; None: it has not been added yet."""
        part = self._parts.get(number)
        return None if part is None else Place(max(part.fetched, part.reached), part.proof)

    def finished(self, number: int) -> bool:
        """Whether everything up to the partition's end has been handed on."""
        part = self._parts[number]
        return part.done and part.told

    def poll(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Begin a round: hear of the connection, and keep the partitions in step.

        At the live edge a round comes `idle_seconds` after the last one at the soonest. The time is slept here: the
        engine measures its own pauses with the wall clock, and one that is stepped back would stop the source for as
        long.
        """
        if self._link.fatal is not None:
            raise SourceError(f"Kafka has ended the connection: {self._link.fatal.str()}")
        if self._pace is not None:
            self._keep_in_step(self._pace)
        if not self._full:
            pause = self._last_poll + idle_seconds - time.monotonic()
            if pause > 0:
                time.sleep(min(pause, idle_seconds))
        message = self._consumer.poll(0)
        while message is not None:  # records have queues of their own
            if error := message.error():
                self._on_error(error, message.partition(), message.offset())
            message = self._consumer.poll(0)
        self.commits.hear()
        self._last_poll = time.monotonic()
        self._full = False
        self._look_for_transactions()
        self._compare_topic(self._watch.answer())

    def doubt(self, monotonic_ms: int | None, *, everything: bool) -> Iterable[Raw]:
        """Call before records are handed on: the news of partitions whose end is not known any more,
        since no broker has been heard of for a while, or (`everything`) this process stood still.

        Else records of one that come first would move the clock, and make late what has waited in another.
        """
        silent, found_again = self._contact.silent, self._contact.found_again()
        if not (everything or silent or found_again or self._to_fetch_anew):
            return
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
            self._assign([part for part in ready if not part.done])
        for part in parts:
            part.at_end = False
            if part.told:
                part.told = False
                yield Raw.of(self.topic, part.number, self.partitions, [], [], [], False, monotonic_ms)

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

    def lags(self) -> Iterable[tuple[int, int]]:
        """(partition, records not yet handed on) as of the last fetches, where known."""
        for part in self._parts.values():
            high = self._known_high(part)
            if high >= 0:
                yield part.number, max(0, high - part.fetched)

    def waits_for_transactions(self) -> Mapping[int, tuple[int, float]]:
        """By partition that stands before an open transaction: records behind it, and seconds that it has waited."""
        return self._transactions.waits()

    def all_caught_up(self) -> bool:
        """Whether every partition of this process has been read at least once as far as it could be."""
        return not self._never_caught_up

    @property
    def full(self) -> bool:
        """Whether of some partition as much waits as is handed on at once."""
        return any(len(part.queue) >= self._limit for part in self._parts.values() if not part.held)

    @property
    def behind(self) -> bool:
        """Whether some partition has not been told to be read to its end, and more than a transaction is to come."""
        return any(
            not (part.told or (part.at_end and part.number in self._transactions)) for part in self._parts.values()
        )

    def slowest_ms(self) -> int | None:
        """The event time of the slowest lagging partition of this process; None: none lags, or time is not kept."""
        if self._pace is None:
            return None
        lagging = (part for part in self._parts.values() if self._lags(part))
        return min((self._pace.clock_ms(part.number) for part in lagging), default=None)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell lag tools that a checkpoint holds these next offsets."""
        self.commits.commit(offsets)

    def count_partitions(self) -> int | None:
        """How many partitions the topic has now; None: the cluster does not say in time."""
        if self._link.down:
            return None
        self._watch.ask()
        try:
            found = self._consumer.list_topics(self.topic, timeout=_CHECK_SECONDS).topics.get(self.topic)
        except KafkaException:
            return None
        return None if found is None or found.error is not None else len(found.partitions)

    def close(self) -> None:
        """Send the last commit, if any, and leave; waits 2 s at most for an answer to each."""
        if not self._link.down:
            self.commits.settle()
        self.commits.close()
        self._watch.close()
        for part in self._parts.values():
            part.queue.close()
        # Nor is the end of a run to wait for a broker that does not answer.
        leaving = threading.Thread(target=self._consumer.close, name="kafka-goodbye", daemon=True)
        leaving.start()
        leaving.join(_CLOSE_SECONDS)
        self._queues.close()

    # Receiving

    def _receive(self, part: _Partition) -> Batch:
        """Take what waits for `part`, and note how far it has come.

        An error is heard of with the next call, when the records before it have been handed on.
        """
        for news in part.unheard:
            self._on_error(KafkaError(news.code), part.number, news.offset)
        part.unheard = ()
        batch = part.queue.take(self._limit)
        if len(batch) or batch.news:
            part.awaited = False
            self._on_answer()
            self._full |= len(batch) + len(batch.news) >= self._limit
        if part.done:
            return NOTHING
        news_of_it = batch.news
        if len(batch):
            if not self._is_the_same(part, batch):
                return NOTHING
            batch = self._wanted(part, batch)
        if len(batch):
            part.at_end = False
            self._transactions.moves(part.number)
        for news in news_of_it:
            if news.code != KafkaError._PARTITION_EOF:
                part.unheard += (news,)
            elif part.unproven and part.proof is not None and news.offset <= part.proof.offset:
                self._on_lost(part)  # it ends before what has been counted
                break
            elif news.offset >= part.fetched:  # else records have come since
                part.fetched = news.offset
                self._reach_end(part)
                self._transactions.stands(part.number, part.fetched, self._known_high(part))
        if len(batch) and not part.at_end and 0 <= self._known_high(part) <= part.fetched:
            self._reach_end(part)
        told = part.end is not None and (part.fetched > part.end or (part.fetched == part.end and part.at_end))
        if part.end is not None and told and not part.unproven:
            part.fetched = part.end
            self._finish(part)
        return batch

    def _wanted(self, part: _Partition, batch: Batch) -> Batch:
        """The records of `batch` that have not been handed on yet, up to the partition's end."""
        first, last = 0, len(batch)
        if batch.offsets[0] < part.fetched:
            first = int(np.searchsorted(batch.offsets, part.fetched))
        if part.end is not None and batch.offsets[-1] >= part.end:
            last = int(np.searchsorted(batch.offsets, part.end))
        if first < last:
            part.proof = proof_of(batch, last - 1)
        if first < len(batch):
            part.fetched = int(batch.offsets[-1]) + 1
        return batch.between(first, max(first, last))

    def _on_answer(self) -> None:
        self._link.on_answer()
        self._trouble = None

    def _on_error(self, error: KafkaError, number: int | None, offset: int | None) -> None:
        code = error.code()
        part = None if number is None else self._parts.get(number)
        if code == KafkaError._PARTITION_EOF:
            self._on_answer()
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE) and part is not None:
            self._on_lost(part)
        elif code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self.commits.on_answer(error, [])  # the group is for lag tools; reading needs no right to it
        elif code in _PASSING or (error.retriable() and not error.fatal()):
            if self._trouble != code:  # codes, since a KafkaError cannot be compared with None
                self._trouble = code
                _logger.warning("topic %s: %s; still trying", self.topic, error.str())
        elif code in (
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_TOPIC,
            KafkaError._UNKNOWN_PARTITION,
        ):
            raise SourceError(f"topic {self.topic} has disappeared from Kafka; what was read of it is kept")
        elif code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise SourceError(f"Kafka does not allow this user to read topic {self.topic}")
        else:
            where = "" if part is None else f" partition {part.number} at offset {part.fetched}"
            raise SourceError(f"topic {self.topic}{where} cannot be read: {error.str()} ({error.name()})")

    # Ends, losses, and places to begin

    def _lags(self, part: _Partition) -> bool:
        """Whether there is, or may be, more of `part` than has been handed on."""
        if part.held and len(part.queue):
            return True
        return not part.done and (not part.at_end or self._transactions.hold(part.number))

    def _reach_end(self, part: _Partition) -> None:
        part.at_end = part.number not in self._to_fetch_anew
        self._never_caught_up.discard(part.number)
        self._contact.reached(part.number)

    def _look_for_transactions(self) -> None:
        """Those that have begun where reading had come to the end, and those that last too long."""
        for number, stable, high in self._contact.ends():
            part = self._parts.get(number)
            # News of another place is outdated, or comes with records or an end of its own.
            if part is not None and part.at_end and not part.done and part.fetched == stable:
                self._transactions.stands(number, stable, high)
        self._transactions.heed_limit()

    def _finish(self, part: _Partition) -> None:
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
        self._consumer.pause([TopicPartition(self.topic, part.number)])

    def _is_the_same(self, part: _Partition, batch: Batch) -> bool:
        """Whether what is read first is what was counted last; where that is gone by its age, nothing can be said."""
        proof, part.unproven = part.proof if part.unproven else None, False
        if proof is None or batch.offsets[0] != proof.offset or proof.fits(found := proof_of(batch, 0)):
            return True
        low, high = self._watermarks(part.number)
        self._give_up(
            part,
            f"{_OTHER_LOG}: at offset {proof.offset} stands {found.text()}, while the record counted was "
            f"{proof.text()}, so records that were counted, up to that one, are no more",
            low,
            high,
        )
        return False

    def _compare_topic(self, found: str | None) -> None:
        """Whether the topic is still the one whose records have been counted; None: nothing new is known."""
        if found is None or found == self.topic_id:
            return
        for part in self._parts.values() if self.topic_id is not None else ():
            low, high = self._watermarks(part.number)
            loss = f"the topic was deleted and made anew (its id was {self.topic_id}, it is {found}), so records that "
            self._give_up(part, loss + "were counted are no more", low, high)
        self.topic_id = found  # only now: until the operator has chosen, every start says the same

    def _on_lost(self, part: _Partition) -> None:
        """The next record is not in Kafka, or was not when Kafka was asked: look whether it ever will be."""
        low, high = self._watermarks(part.number)
        if max(part.fetched, part.reached) < low:
            gone = f"{part.fetched} to {low - 1}"
            self._give_up(part, f"{low - part.fetched} records ({gone}) were deleted before they were read", low, high)
        elif part.fetched > high:
            gone = f"{high} to {part.fetched - 1}"
            loss = f"{_OTHER_LOG}: it ends at offset {high}, so records {gone}, which were counted, are no more"
            self._give_up(part, loss, low, high)
        else:  # a leader was behind for a moment, or another log has grown as long: the proof will tell
            if part.proof is not None and part.proof.offset < low:
                part.proof = None
                part.fetched = max(part.fetched, low)
            self._assign([part])

    def _give_up(self, part: _Partition, loss: str, low: int, high: int) -> None:
        """What would have to be read next cannot be: stop, or go on where the operator has chosen."""
        name = f"topic {self.topic} partition {part.number}"
        policy: Lost = self._settings.on_lost_offset
        if policy == "stop":
            raise SourceError(
                f"{name}: {loss}; start with --on-lost-offset earliest to go on with the oldest record there "
                f"is, latest to go on with new ones, or with an empty state folder to count from scratch"
            )
        part.fetched = part.reached = low if policy == "earliest" else high
        part.proof = None
        part.at_end = False
        _logger.error("%s: %s; going on at offset %d (--on-lost-offset %s)", name, loss, part.fetched, policy)
        self._assign([part])

    def _assign(self, parts: list[_Partition]) -> None:
        """(Re)start fetching, at the last record that was handed on where that is known."""
        for part in parts:
            part.unproven = part.proof is not None
            part.reached = max(part.reached, part.fetched)
            if part.proof is not None:
                part.fetched = part.proof.offset + 1
        assigned = {one.partition for one in self._consumer.assignment()}
        again = [TopicPartition(self.topic, part.number) for part in parts if part.number in assigned]
        if again:
            self._consumer.incremental_unassign(again)
        starts = [part.fetched - part.unproven for part in parts]
        self._consumer.incremental_assign(
            [TopicPartition(self.topic, part.number, start) for part, start in zip(parts, starts, strict=True)]
        )
        for part in parts:
            part.held = False
            part.awaited = True

    def _watermarks(self, number: int) -> tuple[int, int]:
        """The first offset there is and the one after the last, from the broker."""
        deadline = time.monotonic() + self._start_seconds
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(self.topic, number), timeout=_QUERY_SECONDS
                )
                return low, high
            except KafkaException as error:
                if self._stopping():
                    raise SourceError("stopped while waiting for Kafka") from error
                if time.monotonic() > deadline:
                    name = f"topic {self.topic} partition {number}"
                    raise SourceError(f"{name}: Kafka does not tell its offsets ({_text(error)})") from error
                time.sleep(0.1)

    def _known_high(self, part: _Partition) -> int:
        """The high watermark of the last fetch; negative: not known."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, part.number), cached=True)
        return high

    # Keeping in step

    def _keep_in_step(self, pace: Pace) -> None:
        parts = [part for part in self._parts.values() if not part.done]
        clocks = [pace.clock_ms(part.number) for part in parts]
        slowest = min((clock for part, clock in zip(parts, clocks, strict=True) if self._lags(part)), default=None)
        elsewhere = pace.elsewhere_ms()
        if elsewhere is not None:
            slowest = elsewhere if slowest is None else min(slowest, elsewhere)
        limit = self._settings.limits.skew_ms
        for part, clock in zip(parts, clocks, strict=True):
            ahead = 0 if slowest is None else clock - slowest
            if not part.held and ahead > limit:
                part.held = True
            elif part.held and ahead <= limit // 2:
                part.held = False

    # Committing, for lag tools


def _text(error: Exception) -> str:
    return str(error.args[0].str() if isinstance(error, KafkaException) else error)
