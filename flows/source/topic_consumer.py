"""The one consumer of a process: its options, what it is assigned, and what it knows of the topic.

What has been fetched waits in a queue for each partition (`queues`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.config.settings import Settings
from flows.kafka.client import START_SECONDS, Link, wait_for_topic
from flows.kafka.contact import STATISTICS_MS, Contact
from flows.process.outcomes import SourceError
from flows.source.connection import Connection, connect
from flows.source.lag_commits import LagCommits
from flows.source.partition import Partition
from flows.source.questions import Questions
from flows.source.queues import RecordQueue

_QUERY_SECONDS: Final = 5.0
_CHECK_SECONDS: Final = 0.3
"""The flow stands still for so long at most when the cluster does not answer a check: less than what counts as a stall,
after which all partitions would be fetched anew.
"""
_CLOSE_SECONDS: Final = 2.0
_LEAST_QUEUED_KBYTES: Final = 256

TUNED: Final[dict[str, Any]] = {
    # After a full queue librdkafka waits this long before it fetches again; its default of 1 s throttles a
    # fast reader to a sixth.
    "fetch.queue.backoff.ms": 20,
    "fetch.min.bytes": 64 * 1024,  # a trickle comes in one answer every 50 ms, not record by record
    "fetch.wait.max.ms": 50,  # how long a broker may hold an empty answer back; how late an end is noticed
    "fetch.max.bytes": 8 * 1024 * 1024,  # one answer
    "max.partition.fetch.bytes": 256 * 1024,  # compressed; bounds how far a queue can overshoot
    "queued.min.messages": 100_000,
}


class TopicConsumer:
    """Fetches partitions of `settings.topic`. Used by one thread; every failure is a `SourceError`."""

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        *,
        stopping: Callable[[], bool],
        processes: int = 1,
        start_seconds: float = START_SECONDS,
    ) -> None:
        """`processes`: so many read the topic, each as many of its partitions."""
        self.topic = settings.topic
        self.partitions = 0  # of the topic
        self.brokers: frozenset[int] = frozenset()  # of the cluster, as it was first seen
        self.after_outage = False  # the cluster could not be reached at first
        self.link = Link(settings)
        self.contact = Contact()
        self.commits = LagCommits(settings, group_id)
        self._settings = settings
        self._group_id = group_id
        self._stopping = stopping
        self._processes = processes
        self._start_seconds = start_seconds
        self._connection = self._connect()

    @property
    def client(self) -> Consumer:
        """The consumer itself."""
        return self._connection.client

    @property
    def questions(self) -> Questions:
        """What can be asked of the cluster."""
        return self._connection.questions

    @property
    def more(self) -> bool:
        """Whether records wait that no queue holds yet."""
        return self._connection.queues.more

    def _connect(self) -> Connection:
        kbytes = self._queued_kbytes()
        tuned = {**TUNED, "queued.max.messages.kbytes": kbytes}
        required = {
            "group.id": self._group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "statistics.interval.ms": STATISTICS_MS,
            "stats_cb": self.contact.on_statistics,
        }
        return connect(self._settings, tuned, required, self.link, kbytes * 1024)

    def _queued_kbytes(self) -> int:
        """librdkafka counts what waits by queue, and there is one per partition."""
        own = max(1, -(-self.partitions // self._processes))
        return max(_LEAST_QUEUED_KBYTES, self._settings.limits.queued_kbytes // own)

    def find_topic(self) -> int:
        """The number of partitions; waits for the cluster and the topic, up to `start_seconds`.

        To be called before anything is assigned.
        """
        try:
            found = wait_for_topic(
                self.client,
                self.topic,
                self.link,
                serve=lambda: self.client.poll(0),
                stopping=self._stopping,
                seconds=self._start_seconds,
            )
        except (TimeoutError, InterruptedError) as error:
            raise SourceError(str(error)) from error
        self.partitions, self.brokers = found.partitions, found.brokers
        self.after_outage = found.after_outage
        return self.partitions

    def connect_anew(self) -> None:
        """Now that the number of partitions is known, so is what each may queue."""
        self.questions.close()
        self.client.close()
        self._connection.queues.close()
        self._connection = self._connect()

    def queue(self, number: int) -> RecordQueue:
        """The queue of a partition; ask for it before the partition is assigned."""
        return self._connection.queues.queue(self.topic, number)

    def receive(self) -> Iterable[tuple[KafkaError, int | None]]:
        """Run the client's callbacks and let records come to their queues; errors that no queue tells, by partition."""
        return self._connection.queues.receive()

    def assign(self, parts: list[Partition]) -> None:
        """(Re)start fetching, at the last record that was handed on where that is known."""
        for part in parts:
            part.queue.restart()
        starts = [TopicPartition(self.topic, part.number, part.begin()) for part in parts]
        assigned = {one.partition for one in self.client.assignment()}
        again = [TopicPartition(self.topic, part.number) for part in parts if part.number in assigned]
        if again:
            self.client.incremental_unassign(again)
        self.client.incremental_assign(starts)

    def watermarks(self, number: int) -> tuple[int, int]:
        """The first offset there is and the one after the last, from the broker."""
        deadline = time.monotonic() + self._start_seconds
        while True:
            try:
                low, high = self.client.get_watermark_offsets(
                    TopicPartition(self.topic, number), timeout=min(_QUERY_SECONDS, self._start_seconds)
                )
                return low, high
            except KafkaException as error:
                if self._stopping():
                    raise SourceError("stopped while waiting for Kafka") from error
                if time.monotonic() > deadline:
                    name = f"topic {self.topic} partition {number}"
                    raise SourceError(f"{name}: Kafka does not tell its offsets ({_text(error)})") from error
                time.sleep(0.1)

    def known_high(self, number: int) -> int:
        """The high watermark of a partition, as its last fetch has told; negative: not known."""
        _, high = self.client.get_watermark_offsets(TopicPartition(self.topic, number), cached=True)
        return high

    def heard(self) -> frozenset[int]:
        """The brokers that can be asked something: those that are heard, or all while none is."""
        return self.contact.brokers or self.brokers

    def count_partitions(self) -> int | None:
        """How many partitions the topic has now; None: the cluster does not say in time."""
        if self.link.down:
            return None
        try:
            found = self.client.list_topics(self.topic, timeout=_CHECK_SECONDS).topics.get(self.topic)
        except KafkaException:
            return None
        return None if found is None or found.error is not None else len(found.partitions)

    def close(self, parts: Iterable[Partition]) -> None:
        """Send the last commit, if any, and leave; waits 2 s at most for an answer to each."""
        if not self.link.down:
            self.commits.settle()
        self.commits.close()
        self.questions.close()
        for part in parts:
            part.queue.close()
        # Nor is the end of a run to wait for a broker that does not answer.
        leaving = threading.Thread(target=self.client.close, name="kafka-goodbye", daemon=True)
        leaving.start()
        leaving.join(_CLOSE_SECONDS)
        self._connection.queues.close()


def _text(error: Exception) -> str:
    return str(error.args[0].str() if isinstance(error, KafkaException) else error)
