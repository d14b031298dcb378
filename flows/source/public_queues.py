"""Records through `Consumer.consume()`, which is all public: for a confluent-kafka whose private parts are not known.

librdkafka mixes the messages of all partitions in the consumer's one queue. Each round empties it into a queue of our
own for each partition. One of these that is still full when the next round begins (its partition is held back, or there
is more than anybody takes) has its partition paused, and resumed when half of it has been taken: memory is bounded, and
no other partition waits. A pause throws away what the client has fetched ahead of the records that it has delivered,
and reading resumes behind the last one delivered, so that nothing is lost or comes twice.

Most errors of a partition come as messages, in order with its records. Some reach the client's `error_cb` instead,
among the client's own and without a partition: that the topic was deleted, or may not be read any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from flows.messages.raw import PADDING, bounds_of
from flows.source.queues import NOTHING, Batch, News

MESSAGE_BYTES: Final = 400
"""What a `Message` that waits takes besides its value: two objects, its topic and a short key; rather too much."""


_GONE: Final = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


class PublicQueues:
    """Makes the queues of the consumer that `make` returns for an `error_cb`; all its errors go to `on_error`, too.

    A partition is paused when `most` records of it wait, or about `most_bytes`; up to twice as much may have come then.
    """

    def __init__(
        self,
        make: Callable[[Callable[[KafkaError], None]], Consumer],
        most: int,
        most_bytes: int,
        on_error: Callable[[KafkaError], None],
    ) -> None:
        self.more = False
        self.most = most
        self.most_bytes = most_bytes
        self._on_error = on_error
        self._errors: list[KafkaError] = []  # that reading has to know of, since the last round
        self._queues: dict[int | None, PublicQueue] = {}
        self.consumer = make(self._hear)

    def queue(self, topic: str, partition: int) -> PublicQueue:
        """The queue of a partition; ask for it before the partition is assigned."""
        self._queues[partition] = made = PublicQueue(self, topic, partition)
        return made

    def receive(self) -> Iterable[tuple[KafkaError, int | None]]:
        """Pause and resume partitions, then deal out what has come, until nothing more does or a queue is full."""
        for queue in self._queues.values():
            queue.keep_bounds()
        self.more = True
        while self.more:
            try:
                messages = self.consumer.consume(self.most, 0)
            except KafkaException as failure:
                yield failure.args[0], None
                break
            yield from self._deal_out(messages)
            errors, self._errors = self._errors, []
            yield from ((error, None) for error in errors)
            self.more = len(messages) == self.most
            if any(queue.full and not queue.paused for queue in self._queues.values()):
                break

    def _deal_out(self, messages: list[Message]) -> Iterable[tuple[KafkaError, int | None]]:
        for number, run in groupby(messages, Message.partition):
            if (queue := self._queues.get(number)) is not None:
                queue.put(list(run))
                continue
            for message in run:
                if error := message.error():
                    yield error, number

    def _hear(self, error: KafkaError) -> None:
        self._on_error(error)
        of_the_connection = error.code() == KafkaError.SASL_AUTHENTICATION_FAILED
        if error.code() in _GONE or (error.code() > 0 and not of_the_connection):  # a broker's word, not librdkafka's
            self._errors.append(error)

    def close(self) -> None:
        """Forget the queues."""
        self._queues.clear()


class PublicQueue:
    """What has been received of one partition and waits."""

    def __init__(self, queues: PublicQueues, topic: str, partition: int) -> None:
        self.paused = False
        self._queues = queues
        self._place = TopicPartition(topic, partition)
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._stopped = False

    def __len__(self) -> int:
        """Records and news that wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether as much waits as may."""
        return len(self._waiting) >= self._queues.most or self._bytes >= self._queues.most_bytes

    def keep_bounds(self) -> None:
        """Pause the partition if its queue has stayed full, and resume it when half of that has been taken."""
        if not self.paused:
            if self.full:
                self._queues.consumer.pause([self._place])
                self.paused = True
        elif 2 * len(self._waiting) <= self._queues.most and 2 * self._bytes <= self._queues.most_bytes:
            self._resume()

    def put(self, messages: list[Message]) -> None:
        """More has come."""
        if not self._stopped:
            self._waiting.extend(messages)
            self._bytes += sum(map(len, messages)) + MESSAGE_BYTES * len(messages)

    def take(self, most: int) -> Batch:
        """At most `most` of what waits; never waits for more. Errors come behind all records of their batch."""
        if not self._waiting:
            return NOTHING
        if len(self._waiting) <= most:
            messages = list(self._waiting)
            self._clear()
        else:
            messages = [self._waiting.popleft() for _ in range(most)]
            self._bytes -= sum(map(len, messages)) + MESSAGE_BYTES * len(messages)
        return _batch(messages)

    def restart(self) -> None:
        """Drop what waits: the partition is about to be assigned anew, maybe at another offset."""
        self._clear()
        if self.paused:
            self._resume()  # a partition that is assigned anew stays paused

    def stop(self) -> None:
        """Drop what waits and fetch no more, for good."""
        self._clear()
        self._stopped = True
        self._queues.consumer.pause([self._place])
        self.paused = True

    def close(self) -> None:
        """Drop what waits."""
        self._clear()
        self._stopped = True

    def _clear(self) -> None:
        self._waiting.clear()
        self._bytes = 0

    def _resume(self) -> None:
        if not self._stopped:
            self._queues.consumer.resume([self._place])
            self.paused = False


def _batch(messages: list[Message]) -> Batch:
    """`messages` of one partition as arrays."""
    errors = [(place, error) for place, error in enumerate(map(Message.error, messages)) if error is not None]
    news = tuple(
        News(error.code(), -1 if (offset := messages[place].offset()) is None else offset, place - told)
        for told, (place, error) in enumerate(errors)
    )
    for place, _ in reversed(errors):
        del messages[place]
    if not messages:
        return Batch(NOTHING.buffer, NOTHING.bounds, NOTHING.offsets, NOTHING.timestamps_ms, news)
    values = [value or b"" for value in map(Message.value, messages)]  # a tombstone has none
    return Batch(
        np.frombuffer(bytearray().join([*values, bytes(PADDING)]), np.uint8),
        bounds_of(values),
        np.fromiter(map(Message.offset, messages), np.int64, len(messages)),
        np.fromiter((at_ms for _, at_ms in map(Message.timestamp, messages)), np.int64, len(messages)),
        news,
        (_epoch(messages[0]), _epoch(messages[-1])),
    )


def _epoch(message: Message) -> int:
    epoch = message.leader_epoch()
    return -1 if epoch is None else epoch
