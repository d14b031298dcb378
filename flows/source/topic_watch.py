"""Which topic it is that has the name: Kafka gives each an id, and one that is made anew gets another.

librdkafka goes over to a new topic of the same name silently, at the offset where it was in the old one. Its public
metadata have no ids; describing the topic does, asked of the consumer itself, without a connection more.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from flows.kafka.librdkafka import Signatures, handle, library

_POINTER, _TEXT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_SIGNATURES: Final[Signatures] = {
    "rd_kafka_queue_new": (_POINTER, [_POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_queue_poll": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_TopicCollection_of_topic_names": (_POINTER, [_POINTER, _SIZE]),
    "rd_kafka_TopicCollection_destroy": (None, [_POINTER]),
    "rd_kafka_DescribeTopics": (None, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "rd_kafka_event_error": (ctypes.c_int, [_POINTER]),
    "rd_kafka_event_destroy": (None, [_POINTER]),
    "rd_kafka_event_DescribeTopics_result": (_POINTER, [_POINTER]),
    "rd_kafka_DescribeTopics_result_topics": (ctypes.POINTER(_POINTER), [_POINTER, ctypes.POINTER(_SIZE)]),
    "rd_kafka_TopicDescription_error": (_POINTER, [_POINTER]),
    "rd_kafka_error_code": (ctypes.c_int, [_POINTER]),
    "rd_kafka_TopicDescription_topic_id": (_POINTER, [_POINTER]),
    "rd_kafka_Uuid_base64str": (_TEXT, [_POINTER]),
}


class TopicWatch:
    """Asks for the id of `topic` through a consumer whose `client.id` is `name`; close it before that."""

    def __init__(self, consumer: Any, name: str, topic: str) -> None:
        self._library = library(_SIGNATURES)
        self._client = handle(consumer, name)
        self._names = (_TEXT * 1)(topic.encode())
        self._queue = self._library.rd_kafka_queue_new(self._client)
        self._asked = False

    def ask(self) -> None:
        """Ask, unless an answer is still to come; never waits."""
        if not self._asked:
            self._asked = True
            topics = self._library.rd_kafka_TopicCollection_of_topic_names(self._names, 1)
            self._library.rd_kafka_DescribeTopics(self._client, topics, None, self._queue)
            self._library.rd_kafka_TopicCollection_destroy(topics)

    def answer(self, seconds: float = 0.0) -> str | None:
        """The id, once after each question; None: nothing has come within so long, or the topic has none."""
        event = self._library.rd_kafka_queue_poll(self._queue, int(seconds * 1000)) if self._asked else None
        if event is None:
            return None
        self._asked = False
        try:
            return self._id(event)
        finally:
            self._library.rd_kafka_event_destroy(event)

    def close(self) -> None:
        """Ask no more."""
        self._asked = False
        self._library.rd_kafka_queue_destroy(self._queue)

    def _id(self, event: int) -> str | None:
        loaded, count = self._library, _SIZE()
        if loaded.rd_kafka_event_error(event):
            return None
        result = loaded.rd_kafka_event_DescribeTopics_result(event)
        topics = loaded.rd_kafka_DescribeTopics_result_topics(result, count)
        error = loaded.rd_kafka_TopicDescription_error(topics[0]) if count.value else None
        if not count.value or (error and loaded.rd_kafka_error_code(error)):
            return None
        text: bytes = loaded.rd_kafka_Uuid_base64str(loaded.rd_kafka_TopicDescription_topic_id(topics[0]))
        return text.decode() if text.strip(b"A") else None  # a Kafka without ids tells zero
