from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from deploy.bench import pacer
from deploy.bench.freshness import batches
from deploy.bench.outgoing import HEAD, Bodies
from deploy.bench.stream import Stream
from tests.services import KafkaBroker

BODIES = [b'"type":"identify","userId":"%d"}' % number for number in (1, 22, 333)]


def test_records_get_ids_and_times_and_keep_the_rest() -> None:
    bodies = Bodies(BODIES)
    bodies.stamp(1, 3, 0xABCDEF, 1_700_000_000_123)
    assert [json.loads(value) for value in bodies.values(1, 3)] == [
        {
            "messageId": f"00abcd{end}-5b1d-4c57-000000abcd{end}",
            "timestamp": 1_700_000_000_123,
            "type": "identify",
            "userId": user,
        }
        for end, user in (("ef", "22"), ("f0", "333"))
    ]
    assert bodies.values(0, 1) == [HEAD + BODIES[0]]


def test_kafka_holds_what_the_pacer_says_it_has_sent(kafka: KafkaBroker, tmp_path: Path) -> None:
    stream = Stream(users=100, partitions=2)
    topic = kafka.create_topic(stream.partitions)
    pacer.send(kafka.bootstrap_servers, topic, stream, rate=5_000.0, seconds=0.5, log=tmp_path / "log")
    told = batches(tmp_path / "log")
    assert sum(told[-1].sent) == 2_500
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "none"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(stream.partitions)])
    counts = [0] * stream.partitions
    events = []
    while sum(counts) < 2_500:
        for message in consumer.consume(1_000, 10.0):
            partition = message.partition()
            assert partition is not None
            counts[partition] += 1
            events.append(json.loads(message.value() or b""))
    consumer.close()
    assert tuple(counts) == told[-1].sent
    assert len({event["messageId"] for event in events}) == 2_500
    assert {event["timestamp"] for event in events} == {batch.due_ms for batch in told}
