"""The embedded broker keeps what has not been counted, and a little of what has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.demo.embedded import EmbeddedKafka
from flows.demo.retention import KEPT, Retention

SENT = 3 * KEPT


@pytest.fixture
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"events": 2}) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0, "batch.num.messages": 10})
        for number in range(SENT):
            producer.produce("events", b"%d" % number, partition=0)
        assert producer.flush(30) == 0
        yield broker


def begins(kafka: EmbeddedKafka, partition: int) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "test"})
    low, _ = consumer.get_watermark_offsets(TopicPartition("events", partition), timeout=30)
    consumer.close()
    return int(low)


def counted(behind: int) -> dict[str, str]:
    return {
        f"{name}{{partition={partition}}}": str(offset)
        for partition, to in enumerate((behind, 5))
        for name, offset in (("_from_offset", -(10**12)), ("_to_offset", to))
    }


def test_what_is_counted_goes_but_for_the_newest(kafka: EmbeddedKafka) -> None:
    retention = Retention(kafka, "events")
    retention.see(counted(2 * KEPT + 50))
    assert KEPT < begins(kafka, 0) <= KEPT + 50  # whole batches go
    assert begins(kafka, 1) == 0


def test_it_does_not_trouble_the_broker_for_a_few_records(kafka: EmbeddedKafka) -> None:
    retention = Retention(kafka, "events")
    retention.see(counted(2 * KEPT - 1))
    assert begins(kafka, 0) == 0
    retention.see(counted(2 * KEPT))
    before = begins(kafka, 0)
    retention.see(counted(2 * KEPT + 100))
    assert begins(kafka, 0) == before == KEPT
