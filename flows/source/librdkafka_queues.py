"""The records of one partition straight from librdkafka's queue, without a Python object for each.

confluent-kafka makes a `Message` of every record, which costs more than all that librdkafka does for it. Here the
partition's own queue (`rd_kafka_queue_get_partition`, taken out of the consumer's by forwarding it nowhere) is emptied
into an array of pointers, and a compiled loop copies what they point to into one buffer and frees them. Everything else
is left to the confluent-kafka consumer: options, assignment, commits. Errors have a way of their own (`client_errors`),
for librdkafka delivers some of them while such a queue is emptied; there they become news of the partition.

What is read of memory is the public `rd_kafka_message_t` of librdkafka's rdkafka.h, whose layout is part of its ABI.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, TopicPartition
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled
from flows.kafka.client_errors import Listener, forget, listen
from flows.kafka.librdkafka import Signatures, handle, library
from flows.messages.raw import PADDING
from flows.source.memory import call_for_int64, call_for_nothing, copy_bytes, int32_at, int64_at
from flows.source.queues import NOTHING, Batch, News

_POINTER, _TEXT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_SIGNATURES: Final[Signatures] = {
    "rd_kafka_queue_get_partition": (_POINTER, [_POINTER, _TEXT, ctypes.c_int32]),
    "rd_kafka_queue_forward": (None, [_POINTER, _POINTER]),
    "rd_kafka_queue_length": (_SIZE, [_POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, [_POINTER, ctypes.c_int, _POINTER, _SIZE]),
    "rd_kafka_message_timestamp": (ctypes.c_int64, [_POINTER, _POINTER]),
    "rd_kafka_message_leader_epoch": (ctypes.c_int32, [_POINTER]),
    "rd_kafka_message_destroy": (None, [_POINTER]),
}

# Where the fields of rd_kafka_message_t are: err, rkt, partition, payload, len, key, key_len, offset, _private.
_ERR: Final = 0
_PAYLOAD: Final = 24
_LENGTH: Final = 32
_OFFSET: Final = 56


class LibrdkafkaQueues:
    """Makes the queues of one consumer, whose `client.id` is `name`; at most `most` records are taken at once.

    The consumer has no `error_cb`: its errors go to `on_error`, but for those of a partition, which are its news.
    Raises LibraryError where librdkafka cannot be reached past confluent-kafka.
    """

    def __init__(self, consumer: Any, name: str, most: int, on_error: Listener) -> None:
        self.more = False  # all that has been fetched lies in the queues
        self.consumer = consumer
        self.library = library(_SIGNATURES)
        self.client = handle(consumer, name)
        self.messages = np.zeros(most, np.int64)
        self._taking: list[News] | None = None
        self._on_error = on_error
        listen(consumer, name, self._hear)

    def queue(self, topic: str, partition: int) -> LibrdkafkaQueue:
        """The queue of a partition; ask for it before the partition is assigned."""
        return LibrdkafkaQueue(self, topic, partition)

    def receive(self) -> Iterable[tuple[KafkaError, int | None]]:
        """Run the client's callbacks; what comes through the consumer itself is no record."""
        while (message := self.consumer.poll(0)) is not None:
            if error := message.error():
                yield error, message.partition()

    def empty(self, queue: int | None, most: int) -> tuple[int, list[News]]:
        """Fill `messages` from a queue; how many there are, and the errors that came instead of one."""
        errors: list[News] = []
        self._taking = errors
        try:
            count = self.library.rd_kafka_consume_batch_queue(queue, 0, self.messages.ctypes.data, most)
        finally:
            self._taking = None
        return count, errors

    def close(self) -> None:
        """Hear nothing more; call when the consumer is closed, and after its queues are."""
        forget(self.client)

    def _hear(self, error: KafkaError) -> None:
        if self._taking is None:
            self._on_error(error)
        else:
            self._taking.append(News(error.code(), -1, 0))


class LibrdkafkaQueue:
    """What has been fetched of one partition and waits. Must be closed before its consumer."""

    def __init__(self, queues: LibrdkafkaQueues, topic: str, partition: int) -> None:
        self._queues = queues
        self._place = TopicPartition(topic, partition)
        self._library = loaded = queues.library
        self._pointer: int | None = loaded.rd_kafka_queue_get_partition(queues.client, topic.encode(), partition)
        loaded.rd_kafka_queue_forward(self._pointer, None)
        self._timestamp = _address(loaded.rd_kafka_message_timestamp)
        self._destroy = _address(loaded.rd_kafka_message_destroy)

    def __len__(self) -> int:
        """Records and news that wait."""
        return int(self._library.rd_kafka_queue_length(self._pointer))

    def take(self, most: int) -> Batch:
        """At most `most` of what waits; never waits for more. Errors come behind all records of their batch."""
        messages = self._queues.messages
        count, errors = self._queues.empty(self._pointer, min(most, len(messages)))
        if count <= 0:
            return replace(NOTHING, news=tuple(errors)) if errors else NOTHING
        size, news, first, last = _weigh(messages, count)
        buffer = np.empty(size + PADDING, np.uint8)
        buffer[size:] = 0
        bounds = np.empty(count - news + 1, np.int64)
        offsets = np.empty(count - news, np.int64)
        timestamps_ms = np.empty(count - news, np.int64)
        told = np.empty((news, 3), np.int64)
        epoch_of = self._library.rd_kafka_message_leader_epoch
        epochs = (-1, -1) if last < 0 else (epoch_of(int(messages[first])), epoch_of(int(messages[last])))
        _copy(messages, count, self._timestamp, self._destroy, buffer.ctypes.data, bounds, offsets, timestamps_ms, told)
        all_news = (*(News(*one) for one in told.tolist()), *errors)
        return Batch(buffer, bounds, offsets, timestamps_ms, all_news, epochs)

    def restart(self) -> None:
        """Do nothing: librdkafka itself drops what it fetched before an assignment."""

    def stop(self) -> None:
        """Fetch no more, for good."""
        self._queues.consumer.pause([self._place])

    def close(self) -> None:
        """Give the queue back."""
        if self._pointer is not None:
            self._library.rd_kafka_queue_destroy(self._pointer)
            self._pointer = None


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


@compiled
def _weigh(messages: NDArray[np.int64], count: Number) -> tuple[Number, Number, Number, Number]:
    """How many bytes the records among `messages` have, how many messages are no records, and the places of the first
    and the last record (-1: there is none).
    """
    size = 0
    news = 0
    first = -1
    last = -1
    for i in range(count):
        if int32_at(messages[i] + _ERR):
            news += 1
        else:
            size += int64_at(messages[i] + _LENGTH)
            last = i
            if first < 0:
                first = i
    return size, news, first, last


@compiled
def _copy(
    messages: NDArray[np.int64],
    count: Number,
    timestamp: Number,
    destroy: Number,
    buffer: Number,
    bounds: NDArray[np.int64],
    offsets: NDArray[np.int64],
    timestamps_ms: NDArray[np.int64],
    news: NDArray[np.int64],
) -> None:
    """Copy the records to the arrays and what is none to `news`, and free the messages."""
    end = 0
    record = 0
    bounds[0] = 0
    told = 0
    for i in range(count):
        message = messages[i]
        error = int32_at(message + _ERR)
        if error:
            news[told, 0] = error
            news[told, 1] = int64_at(message + _OFFSET)
            news[told, 2] = record
            told += 1
        else:
            length = int64_at(message + _LENGTH)
            copy_bytes(buffer + end, int64_at(message + _PAYLOAD), length)
            end += length
            offsets[record] = int64_at(message + _OFFSET)
            timestamps_ms[record] = call_for_int64(timestamp, message, 0)
            record += 1
            bounds[record] = end
        call_for_nothing(destroy, message)
