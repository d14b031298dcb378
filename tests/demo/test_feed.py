"""What is sent is what the witness was told, through a real Kafka protocol."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from flows.config.model import Config
from flows.demo.embedded import EmbeddedKafka
from flows.demo.feed import Feed, Start
from flows.demo.simulator import Record, Simulator
from tests.services import wait_until

PARTITIONS = 3
CONFIG = Config(product="shop")


@pytest.fixture
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"events": PARTITIONS}) as broker:
        yield broker


class Counted:
    """A witness that counts."""

    def __init__(self) -> None:
        self.total = 0

    def record(self, record: Record) -> None:
        self.total += 1


class Stored:
    """Everything in the topic, by partition, as far as it has been read."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "test"})
        self._consumer.assign([TopicPartition("events", p, 0) for p in range(PARTITIONS)])
        self.records: dict[int, list[tuple[bytes | None, bytes | None, int]]] = {p: [] for p in range(PARTITIONS)}

    def read(self) -> int:
        for message in self._consumer.consume(10_000, timeout=0.1):
            assert message.error() is None
            stored = (message.key(), message.value(), message.timestamp()[1])
            self.records[message.partition() or 0].append(stored)
        return sum(map(len, self.records.values()))

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def stored(kafka: EmbeddedKafka) -> Iterator[Stored]:
    reader = Stored(kafka.bootstrap_servers)
    yield reader
    reader.close()


def test_the_history_is_in_kafka_record_for_record_in_order(kafka: EmbeddedKafka, stored: Stored) -> None:
    start = Start(round(time.time() * 1000), time.monotonic())

    def simulated() -> Iterator[Record]:
        simulator = Simulator(CONFIG, start_ms=start.wall_ms, partitions=PARTITIONS, days=0.001)
        return simulator.records()

    witness = Counted()
    feed = Feed(kafka.bootstrap_servers, "events", simulated(), witness, start)
    feed.send_history()
    feed.close()
    sent = list(itertools.takewhile(lambda record: record.arrival_ms <= start.wall_ms, simulated()))
    assert witness.total == len(sent) > 1000
    wait_until(lambda: stored.read() >= len(sent), "the history")
    for partition in range(PARTITIONS):
        expected = [(r.key, r.value, r.arrival_ms) for r in sent if r.partition == partition]
        assert stored.records[partition] == expected


def test_live_records_follow_in_real_time_until_it_is_closed(kafka: EmbeddedKafka, stored: Stored) -> None:
    start = Start(round(time.time() * 1000), time.monotonic())
    simulator = Simulator(CONFIG, start_ms=start.wall_ms, partitions=PARTITIONS, days=0.001)
    witness = Counted()
    feed = Feed(kafka.bootstrap_servers, "events", simulator.records(), witness, start)
    feed.send_history()
    history = witness.total
    feed.start()
    wait_until(lambda: stored.read() > history + 20, "live records")
    feed.close()
    sent = witness.total
    wait_until(lambda: stored.read() >= sent, "the last record")
    assert stored.read() == sent
    newest = max(stamp for records in stored.records.values() for _, _, stamp in records)
    assert start.wall_ms < newest <= time.time() * 1000


def test_a_simulation_that_breaks_is_reported(kafka: EmbeddedKafka) -> None:
    start = Start(round(time.time() * 1000), time.monotonic())
    record = Record(0, None, b"1", start.wall_ms, event=None, reason="not_an_object")
    feed = Feed(kafka.bootstrap_servers, "events", iter([record]), Counted(), start)
    feed.start()

    def failed() -> bool:
        try:
            feed.check()
        except RuntimeError:
            return True
        return False

    wait_until(failed, "the failure")
    with pytest.raises(RuntimeError, match="StopIteration"):
        feed.close()
