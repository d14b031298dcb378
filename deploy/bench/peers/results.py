"""Reads a topic that a peer writes its numbers to, again and again, each record once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition


@dataclass
class _Reader:
    """One topic, as far as it has been read."""

    consumer: Consumer
    offsets: dict[int, int] = field(default_factory=dict)
    values: list[bytes] = field(default_factory=list)


_READERS: Final[dict[tuple[str, str], _Reader]] = {}


def everything_in(bootstrap_servers: str, topic: str) -> list[bytes]:
    """All values in a topic so far; none while it does not exist."""
    reader = _READERS.get((bootstrap_servers, topic))
    if reader is None:
        settings = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "results",
            "enable.auto.commit": False,
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 5,
            "log_level": 2,
        }
        reader = _READERS[bootstrap_servers, topic] = _Reader(Consumer(settings))
    if not reader.offsets:
        try:
            found = reader.consumer.list_topics(topic, 5).topics[topic]
        except KafkaException:
            return []
        if found.error is not None or not found.partitions:
            return []
        reader.offsets = dict.fromkeys(found.partitions, 0)
        reader.consumer.assign([TopicPartition(topic, number, 0) for number in found.partitions])
    ends = {
        number: reader.consumer.get_watermark_offsets(TopicPartition(topic, number), 5)[1] for number in reader.offsets
    }
    while any(reader.offsets[number] < end for number, end in ends.items()):
        for message in reader.consumer.consume(1_000, 0.5):
            value, offset, partition = message.value(), message.offset(), message.partition()
            if message.error() is None and value is not None and offset is not None and partition is not None:
                reader.offsets[partition] = offset + 1
                reader.values.append(value)
    return reader.values
