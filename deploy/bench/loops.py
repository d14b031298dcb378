"""The yardsticks: a loop that reads the topic and throws it away, and one that decodes each record as well.

    python -m deploy.bench.loops bare|decode BOOTSTRAP TOPIC

Each reads every partition to its end as of the start, with the consumer settings of the job.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from flows.config.limits import Limits
from flows.source.topic_consumer import TUNED

POLL = 10_000


class Device(msgspec.Struct):
    """`context.device`."""

    type: str | None = None


class Context(msgspec.Struct):
    """`context`."""

    device: Device | None = None
    bot: bool | None = None


class Properties(msgspec.Struct):
    """`properties`."""

    plan: str | None = None


class Event(msgspec.Struct):
    """The fields that the job needs under the config of the bench."""

    type: str
    event: str | None = None
    userId: str | None = None  # noqa: N815 - the name on the wire
    anonymousId: str | None = None  # noqa: N815
    messageId: str | None = None  # noqa: N815
    timestamp: str | float | None = None
    context: Context | None = None
    properties: Properties | None = None


def read(bootstrap_servers: str, topic: str, decodes: bool) -> int:
    """Read all records; returns how many they were."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "log_level": 2,
            "queued.max.messages.kbytes": Limits().queued_kbytes,
            **TUNED,
        }
    )
    parts = [TopicPartition(topic, number, 0) for number in consumer.list_topics(topic, 10).topics[topic].partitions]
    left = sum(consumer.get_watermark_offsets(part, 10)[1] for part in parts)
    count = left
    consumer.assign(parts)
    decode: Any = msgspec.json.Decoder(Event).decode
    while left > 0:
        messages = consumer.consume(POLL, 1.0)
        left -= len(messages)
        if decodes:
            for value in map(Message.value, messages):
                try:
                    decode(value)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
    consumer.close()
    return count


if __name__ == "__main__":
    print(read(sys.argv[2], sys.argv[3], decodes=sys.argv[1] == "decode"))
