"""Questions to the cluster through confluent-kafka's public `AdminClient`, which has connections of its own.

Who keeps the partitions is read from the metadata, which any broker gives; the call waits, so that a thread makes it.
The topic's id comes from the broker that clients take for the controller, as an answer of its own: where that broker is
away, nothing else waits for it.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection, TopicPartition, admin

from flows.config.settings import Settings
from flows.kafka.client import options
from flows.source.questions import FIRST, LATEST, NEWEST, Answer, Keepers, Offsets, Topic, TopicOptions, Unanswered

_ADMIN: Final[Any] = admin  # whose types leave out what it documents
_SPECS: Final[Mapping[int, Any]] = {
    FIRST: _ADMIN.OffsetSpec.for_timestamp(0),
    NEWEST: _ADMIN.OffsetSpec.max_timestamp(),
    LATEST: _ADMIN.OffsetSpec.latest(),
}


@dataclass(frozen=True, slots=True)
class _Open:
    """A question; `read` makes an answer of what all its futures have come to."""

    futures: list[Future[Any]]
    read: Callable[[int], Answer | None]  # gets the number of the question


class PublicQuestions:
    """About the topic of `settings`; connects with the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic
        self._client: Any = None
        self._waits: ThreadPoolExecutor | None = None
        self._open: dict[int, _Open] = {}
        self._asked = 0
        self._id_question: int | None = None

    def ask_topic(self, broker: int | None, seconds: float) -> int:
        """Ask who keeps each partition, and for the topic's id; the number of the first question."""
        client = self._connected()
        self._waits = self._waits or ThreadPoolExecutor(1, thread_name_prefix="kafka-metadata")
        metadata = self._waits.submit(client.list_topics, self._topic, timeout=seconds)
        number = self._question([metadata], lambda number: self._keepers(number, metadata))
        if not self.is_open(self._id_question):
            described = client.describe_topics(TopicCollection([self._topic]), request_timeout=seconds)[self._topic]
            self._id_question = self._question([described], lambda _: _topic_id(described))
        return number

    def ask_offsets(self, which: int, partitions: Iterable[int], seconds: float) -> int:
        """FIRST, NEWEST or LATEST of these partitions."""
        asked = tuple(partitions)
        places = {TopicPartition(self._topic, partition): _SPECS[which] for partition in asked}
        told = self._connected().list_offsets(places, request_timeout=seconds)
        by_partition = {place.partition: future for place, future in told.items()}
        return self._question(
            list(by_partition.values()), lambda number: _offsets(number, Offsets(which, asked, {}), by_partition)
        )

    def ask_options(self, broker: int | None, seconds: float) -> int:
        """Ask how the topic is configured."""
        resource = _ADMIN.ConfigResource(_ADMIN.ConfigResource.Type.TOPIC, self._topic)
        (described,) = self._connected().describe_configs([resource], request_timeout=seconds).values()
        return self._question([described], lambda number: _topic_options(number, described))

    def is_open(self, number: int | None) -> bool:
        """Whether the answer to this question is still to come."""
        return number in self._open

    def answer(self, seconds: float = 0.0) -> Answer | None:
        """What has come; None: nothing has within so long."""
        deadline = time.monotonic() + seconds
        while self._open:
            for number, question in list(self._open.items()):
                if all(future.done() for future in question.futures):
                    del self._open[number]
                    if (answer := question.read(number)) is not None:
                        return answer
            left = deadline - time.monotonic()
            if left <= 0:
                break
            pending = [one for question in self._open.values() for one in question.futures if not one.done()]
            concurrent.futures.wait(pending, left, concurrent.futures.FIRST_COMPLETED)
        return None

    def close(self) -> None:
        """Ask no more."""
        self._open.clear()
        if self._waits is not None:
            self._waits.shutdown(wait=False, cancel_futures=True)
            self._waits = None
        self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            self._client = _ADMIN.AdminClient(options(self._settings, {}, {}))
        return self._client

    def _question(self, futures: list[Future[Any]], read: Callable[[int], Answer | None]) -> int:
        self._asked += 1
        self._open[self._asked] = _Open(futures, read)
        return self._asked

    def _keepers(self, number: int, metadata: Future[Any]) -> Answer:
        if (code := _failure(metadata)) is not None:
            return Unanswered(number, code)
        topic = metadata.result().topics[self._topic]
        if topic.error is not None:
            return Unanswered(number, topic.error.code())
        return Topic(
            None,
            {
                one.id: Keepers(one.leader, frozenset(one.isrs), frozenset(one.replicas))
                for one in topic.partitions.values()
            },
        )


def _failure(future: Future[Any]) -> int | None:
    """The code of the error that a future has come to; None: it has a result."""
    error = future.exception()
    if error is None:
        return None
    if not isinstance(error, KafkaException):
        raise error
    code: int = error.args[0].code()
    return code


def _topic_id(described: Future[Any]) -> Answer | None:
    if _failure(described) is not None:
        return None
    text = str(described.result().topic_id)
    return Topic(text, {}) if text.strip("A") else None  # a Kafka without ids tells zero


def _offsets(number: int, asked: Offsets, told: Mapping[int, Future[Any]]) -> Answer:
    failures = [code for future in told.values() if (code := _failure(future)) is not None]
    if len(failures) == len(told):
        return Unanswered(number, failures[0])
    found = {partition: int(future.result().offset) for partition, future in told.items() if _failure(future) is None}
    return Offsets(asked.which, asked.asked, found)


def _topic_options(number: int, described: Future[Any]) -> Answer:
    if (code := _failure(described)) is not None:
        return Unanswered(number, code)
    entries = described.result()
    return TopicOptions({name: "" if entry.value is None else entry.value for name, entry in entries.items()})
