"""Questions to the cluster through the consumer's own connections, which librdkafka asks and answers in its threads.

confluent-kafka offers admin requests to an `AdminClient` alone, and names no broker to ask; a consumer's handle takes
them as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flows.kafka.librdkafka import Signatures, handle, library
from flows.source.questions import Answer, Keepers, Offsets, Topic, TopicOptions, Unanswered

_POINTER, _TEXT, _SIZE, _NUMBER = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
_MANY: Final = ctypes.POINTER(_POINTER)
_COUNT: Final = ctypes.POINTER(_SIZE)
_ANY_OPERATION: Final = 0  # rd_kafka_admin_op_t: options that every question has
_TOPIC: Final = 2  # rd_kafka_ResourceType_t
_SIGNATURES: Final[Signatures] = {
    "rd_kafka_queue_new": (_POINTER, [_POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_queue_poll": (_POINTER, [_POINTER, _NUMBER]),
    "rd_kafka_event_error": (_NUMBER, [_POINTER]),
    "rd_kafka_event_opaque": (_POINTER, [_POINTER]),
    "rd_kafka_event_destroy": (None, [_POINTER]),
    "rd_kafka_error_code": (_NUMBER, [_POINTER]),
    "rd_kafka_AdminOptions_new": (_POINTER, [_POINTER, _NUMBER]),
    "rd_kafka_AdminOptions_set_request_timeout": (_NUMBER, [_POINTER, _NUMBER, _TEXT, _SIZE]),
    "rd_kafka_AdminOptions_set_broker": (_NUMBER, [_POINTER, ctypes.c_int32, _TEXT, _SIZE]),
    "rd_kafka_AdminOptions_set_opaque": (None, [_POINTER, _POINTER]),
    "rd_kafka_AdminOptions_destroy": (None, [_POINTER]),
    "rd_kafka_TopicCollection_of_topic_names": (_POINTER, [_POINTER, _SIZE]),
    "rd_kafka_TopicCollection_destroy": (None, [_POINTER]),
    "rd_kafka_DescribeTopics": (None, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "rd_kafka_event_DescribeTopics_result": (_POINTER, [_POINTER]),
    "rd_kafka_DescribeTopics_result_topics": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_TopicDescription_error": (_POINTER, [_POINTER]),
    "rd_kafka_TopicDescription_topic_id": (_POINTER, [_POINTER]),
    "rd_kafka_Uuid_base64str": (_TEXT, [_POINTER]),
    "rd_kafka_TopicDescription_partitions": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_TopicPartitionInfo_partition": (_NUMBER, [_POINTER]),
    "rd_kafka_TopicPartitionInfo_leader": (_POINTER, [_POINTER]),
    "rd_kafka_TopicPartitionInfo_isr": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_TopicPartitionInfo_replicas": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_Node_id": (_NUMBER, [_POINTER]),
    "rd_kafka_topic_partition_list_new": (_POINTER, [_NUMBER]),
    "rd_kafka_topic_partition_list_add": (_POINTER, [_POINTER, _TEXT, ctypes.c_int32]),
    "rd_kafka_topic_partition_list_set_offset": (_NUMBER, [_POINTER, _TEXT, ctypes.c_int32, ctypes.c_int64]),
    "rd_kafka_topic_partition_list_destroy": (None, [_POINTER]),
    "rd_kafka_ListOffsets": (None, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "rd_kafka_event_ListOffsets_result": (_POINTER, [_POINTER]),
    "rd_kafka_ListOffsets_result_infos": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_ListOffsetsResultInfo_topic_partition": (_POINTER, [_POINTER]),
    "rd_kafka_ConfigResource_new": (_POINTER, [_NUMBER, _TEXT]),
    "rd_kafka_ConfigResource_destroy": (None, [_POINTER]),
    "rd_kafka_DescribeConfigs": (None, [_POINTER, _MANY, _SIZE, _POINTER, _POINTER]),
    "rd_kafka_event_DescribeConfigs_result": (_POINTER, [_POINTER]),
    "rd_kafka_DescribeConfigs_result_resources": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_ConfigResource_error": (_NUMBER, [_POINTER]),
    "rd_kafka_ConfigResource_configs": (_MANY, [_POINTER, _COUNT]),
    "rd_kafka_ConfigEntry_name": (_TEXT, [_POINTER]),
    "rd_kafka_ConfigEntry_value": (_TEXT, [_POINTER]),
}


class _TopicPartition(ctypes.Structure):
    """The public `rd_kafka_topic_partition_t` of rdkafka.h, as far as it is read."""

    _fields_ = (
        ("topic", _TEXT),
        ("partition", ctypes.c_int32),
        ("offset", ctypes.c_int64),
        ("metadata", _POINTER),
        ("metadata_size", _SIZE),
        ("opaque", _POINTER),
        ("err", _NUMBER),
    )


class LibrdkafkaQuestions:
    """About one `topic`, through a consumer whose `client.id` is `name`; close it before that."""

    def __init__(self, consumer: Any, name: str, topic: str) -> None:
        self._library = library(_SIGNATURES)
        self._client = handle(consumer, name)
        self._topic = topic.encode()
        self._queue: int | None = self._library.rd_kafka_queue_new(self._client)
        self._open: dict[int, Offsets | None] = {}  # by the number of a question; the answer so far of one for offsets
        self._asked = 0

    def ask_topic(self, broker: int | None, seconds: float) -> int:
        """Ask a broker who keeps each partition; the number of the question, which is open for so long at most."""
        names = (_TEXT * 1)(self._topic)
        topics = self._library.rd_kafka_TopicCollection_of_topic_names(names, 1)
        number, options = self._question(None, seconds, broker)
        self._library.rd_kafka_DescribeTopics(self._client, topics, options, self._queue)
        self._library.rd_kafka_TopicCollection_destroy(topics)
        self._library.rd_kafka_AdminOptions_destroy(options)
        return number

    def ask_offsets(self, which: int, partitions: Iterable[int], seconds: float) -> int:
        """FIRST, NEWEST or LATEST of these partitions; all should have the same leader."""
        asked = tuple(partitions)
        places = self._library.rd_kafka_topic_partition_list_new(len(asked))
        for partition in asked:
            self._library.rd_kafka_topic_partition_list_add(places, self._topic, partition)
            self._library.rd_kafka_topic_partition_list_set_offset(places, self._topic, partition, which)
        number, options = self._question(Offsets(which, asked, {}), seconds)
        self._library.rd_kafka_ListOffsets(self._client, places, options, self._queue)
        self._library.rd_kafka_topic_partition_list_destroy(places)
        self._library.rd_kafka_AdminOptions_destroy(options)
        return number

    def ask_options(self, broker: int | None, seconds: float) -> int:
        """Ask a broker how the topic is configured."""
        resource = self._library.rd_kafka_ConfigResource_new(_TOPIC, self._topic)
        number, options = self._question(None, seconds, broker)
        self._library.rd_kafka_DescribeConfigs(self._client, (_POINTER * 1)(resource), 1, options, self._queue)
        self._library.rd_kafka_ConfigResource_destroy(resource)
        self._library.rd_kafka_AdminOptions_destroy(options)
        return number

    def is_open(self, number: int | None) -> bool:
        """Whether the answer to this question is still to come."""
        return number in self._open

    def answer(self, seconds: float = 0.0) -> Answer | None:
        """What has come; None: nothing has within so long."""
        event = self._library.rd_kafka_queue_poll(self._queue, int(seconds * 1000)) if self._open else None
        if event is None:
            return None
        try:
            number = self._library.rd_kafka_event_opaque(event) or 0
            offsets = self._open.pop(number, None)
            if code := self._library.rd_kafka_event_error(event):
                return Unanswered(number, code)
            if offsets is not None:
                return Offsets(offsets.which, offsets.asked, self._offsets(event))
            if result := self._library.rd_kafka_event_DescribeTopics_result(event):
                return self._described(result, number)
            return self._options(event)
        finally:
            self._library.rd_kafka_event_destroy(event)

    def close(self) -> None:
        """Ask no more."""
        self._open.clear()
        if self._queue is not None:
            self._library.rd_kafka_queue_destroy(self._queue)
            self._queue = None

    def _question(self, offsets: Offsets | None, seconds: float, broker: int | None = None) -> tuple[int, int]:
        self._asked += 1
        self._open[self._asked] = offsets
        options = self._library.rd_kafka_AdminOptions_new(self._client, _ANY_OPERATION)
        self._library.rd_kafka_AdminOptions_set_request_timeout(options, int(seconds * 1000), None, 0)
        if broker is not None:  # else the leaders are asked; librdkafka would turn to the controller for all else
            self._library.rd_kafka_AdminOptions_set_broker(options, broker, None, 0)
        self._library.rd_kafka_AdminOptions_set_opaque(options, self._asked)
        return self._asked, options

    def _described(self, result: int, number: int) -> Topic | Unanswered:
        loaded = self._library
        topics = _all(loaded.rd_kafka_DescribeTopics_result_topics, result)
        error = loaded.rd_kafka_TopicDescription_error(topics[0])
        if error and (code := loaded.rd_kafka_error_code(error)):
            return Unanswered(number, code)
        text: bytes = loaded.rd_kafka_Uuid_base64str(loaded.rd_kafka_TopicDescription_topic_id(topics[0]))
        partitions = {
            loaded.rd_kafka_TopicPartitionInfo_partition(one): self._keepers(one)
            for one in _all(loaded.rd_kafka_TopicDescription_partitions, topics[0])
        }
        return Topic(text.decode() if text.strip(b"A") else None, partitions)  # a Kafka without ids tells zero

    def _keepers(self, partition: int) -> Keepers:
        loaded = self._library
        leader = loaded.rd_kafka_TopicPartitionInfo_leader(partition)
        return Keepers(
            -1 if leader is None else loaded.rd_kafka_Node_id(leader),
            frozenset(map(loaded.rd_kafka_Node_id, _all(loaded.rd_kafka_TopicPartitionInfo_isr, partition))),
            frozenset(map(loaded.rd_kafka_Node_id, _all(loaded.rd_kafka_TopicPartitionInfo_replicas, partition))),
        )

    def _offsets(self, event: int) -> Mapping[int, int]:
        result = self._library.rd_kafka_event_ListOffsets_result(event)
        found = {}
        for info in _all(self._library.rd_kafka_ListOffsets_result_infos, result):
            place = _TopicPartition.from_address(self._library.rd_kafka_ListOffsetsResultInfo_topic_partition(info))
            if not place.err:
                found[place.partition] = place.offset
        return found

    def _options(self, event: int) -> TopicOptions:
        loaded = self._library
        result = loaded.rd_kafka_event_DescribeConfigs_result(event)
        values = {}
        for resource in _all(loaded.rd_kafka_DescribeConfigs_result_resources, result) if result else ():
            for entry in _all(loaded.rd_kafka_ConfigResource_configs, resource):
                name, value = loaded.rd_kafka_ConfigEntry_name(entry), loaded.rd_kafka_ConfigEntry_value(entry)
                values[name.decode()] = "" if value is None else value.decode()
        return TopicOptions(values)


def _all(function: Any, owner: int) -> Sequence[int]:
    """The pointers that librdkafka hands out as an array and its length."""
    count = _SIZE()
    found = function(owner, count)
    return found[: count.value] if count.value else ()
