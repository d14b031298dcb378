"""Both ways of receiving records keep the same promises to the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.demo.embedded import EmbeddedKafka
from flows.source.librdkafka_queues import LibrdkafkaQueues
from flows.source.public_queues import MESSAGE_BYTES, PublicQueues
from flows.source.queues import Batch, News, RecordQueue, RecordQueues
from tests.services import KafkaBroker, wait_until

TOPIC = "events"
START_MS = 1_700_000_000_000
MANY_BYTES = 2**30


@pytest.fixture
def kafka_here() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({TOPIC: 2}) as kafka:
        yield kafka


class Bench:
    """A consumer and its queues, made in one of the two ways."""

    def __init__(self, servers: str, api: str, most: int, most_bytes: int, topic: str = TOPIC) -> None:
        self.topic = topic
        self.errors: list[KafkaError] = []  # that reading has to know of
        self.of_client: list[KafkaError] = []
        configuration: dict[str, Any] = {
            "bootstrap.servers": servers,
            "group.id": "queues",
            "client.id": "reader",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "topic.metadata.propagation.max.ms": 1000,
            "log_level": 2,
        }
        self.queues: RecordQueues
        if api == "librdkafka":
            self.consumer = Consumer(configuration)
            self.queues = LibrdkafkaQueues(self.consumer, "reader", most, self.of_client.append)
        else:
            self.queues = PublicQueues(
                lambda listener: Consumer({**configuration, "error_cb": listener}),
                most,
                most_bytes,
                self.of_client.append,
            )
            self.consumer = self.queues.consumer
        self.all: list[RecordQueue] = []

    def opened(self, partition: int = 1, offset: int = 0) -> RecordQueue:
        queue = self.queues.queue(self.topic, partition)
        self.consumer.incremental_assign([TopicPartition(self.topic, partition, offset)])
        self.all.append(queue)
        return queue

    def receives(self, until: Callable[[], bool]) -> bool:
        """One round; whether it is over then."""
        self.receive()
        return until()

    def receive(self) -> None:
        self.errors += [error for error, _ in self.queues.receive()]

    def taken(self, queue: RecordQueue, enough: Callable[[list[Batch]], bool], most: int = 100) -> list[Batch]:
        """Round by round, until it is enough."""
        batches: list[Batch] = []

        def once_more() -> bool:
            self.receive()
            batches.append(queue.take(most))
            return enough(batches)

        wait_until(once_more, "the records")
        return [batch for batch in batches if len(batch) or batch.news]

    def records(self, queue: RecordQueue, count: int, most: int = 100) -> list[Batch]:
        return self.taken(queue, lambda batches: sum(map(len, batches)) >= count, most)

    def close(self) -> None:
        for queue in self.all:
            queue.close()
        self.consumer.close()
        self.queues.close()


Make = Callable[..., Bench]


@pytest.fixture(params=["librdkafka", "public"])
def make(request: pytest.FixtureRequest, kafka_here: EmbeddedKafka) -> Iterator[Make]:
    made: list[Bench] = []

    def one(most: int = 100, most_bytes: int = MANY_BYTES, servers: str = "", topic: str = TOPIC) -> Bench:
        made.append(Bench(servers or kafka_here.bootstrap_servers, request.param, most, most_bytes, topic))
        return made[-1]

    yield one
    for bench in made:
        bench.close()


def produce(kafka: EmbeddedKafka, values: list[bytes | None], partition: int = 1) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 2})
    for number, value in enumerate(values):
        producer.produce(TOPIC, value, key=b"a key", partition=partition, timestamp=START_MS + number)
    assert producer.flush(30) == 0
    producer.close()


def numbered(count: int, start: int = 0) -> list[bytes | None]:
    return [b"%d" % number for number in range(start, start + count)]


def values(batch: Batch) -> list[bytes]:
    return [batch.buffer[begin:end].tobytes() for begin, end in pairwise(batch.bounds.tolist())]


def all_values(batches: list[Batch]) -> list[bytes]:
    return [value for batch in batches for value in values(batch)]


def news_of(batches: list[Batch]) -> list[News]:
    return [news for batch in batches for news in batch.news]


def test_records_come_as_arrays_with_what_kafka_says_of_them(kafka_here: EmbeddedKafka, make: Make) -> None:
    sent: list[bytes | None] = [b"one", None, b"", b"\0\xff", b"x" * 100_000, "é".encode()]
    produce(kafka_here, sent)
    bench = make()
    batches = bench.records(bench.opened(), len(sent))
    assert all_values(batches) == [value or b"" for value in sent]
    assert [offset for batch in batches for offset in batch.offsets.tolist()] == list(range(6))
    assert [ms for batch in batches for ms in batch.timestamps_ms.tolist()] == [START_MS + n for n in range(6)]
    for batch in batches:
        assert len(batch.buffer) > batch.bounds[-1]
        assert not batch.buffer[batch.bounds[-1] :].any()
        assert (batch.buffer.dtype, batch.buffer.flags.writeable) == (np.dtype(np.uint8), True)
        assert {batch.bounds.dtype, batch.offsets.dtype, batch.timestamps_ms.dtype} == {np.dtype(np.int64)}


def test_the_leaders_epochs_of_a_batch_are_told(kafka: KafkaBroker, make: Make) -> None:
    topic = kafka.create_topic(1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value in numbered(3):
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0
    bench = make(servers=kafka.bootstrap_servers, topic=topic)
    batches = bench.records(bench.opened(0), 3)
    assert {batch.epochs for batch in batches if len(batch)} == {(0, 0)}


def test_the_end_is_news_between_records(kafka_here: EmbeddedKafka, make: Make) -> None:
    produce(kafka_here, numbered(2))
    bench = make()
    queue = bench.opened()
    (end,) = news_of(bench.taken(queue, lambda batches: bool(news_of(batches))))
    assert (end.code, end.offset) == (KafkaError._PARTITION_EOF, 2)
    produce(kafka_here, numbered(2, 2))
    batches = bench.taken(queue, lambda batches: bool(news_of(batches)))
    assert all_values(batches) == numbered(2, 2)
    assert news_of(batches)[0].offset == 4


def test_no_more_is_taken_at_once_than_asked_for(kafka_here: EmbeddedKafka, make: Make) -> None:
    produce(kafka_here, numbered(50))
    bench = make(most=20)
    batches = bench.records(bench.opened(), 50, most=7)
    assert max(len(batch) for batch in batches) <= 7
    assert all_values(batches) == numbered(50)


def test_each_partition_has_its_own_records(kafka_here: EmbeddedKafka, make: Make) -> None:
    produce(kafka_here, numbered(10))
    produce(kafka_here, numbered(5, 100), partition=0)
    bench = make()
    zero, one = bench.opened(0), bench.opened(1)
    assert all_values(bench.records(zero, 5)) == numbered(5, 100)
    assert all_values(bench.records(one, 10)) == numbered(10)
    assert bench.errors == []


def test_what_nobody_takes_waits_and_is_counted(kafka_here: EmbeddedKafka, make: Make) -> None:
    produce(kafka_here, numbered(10))
    bench = make()
    queue = bench.opened()
    wait_until(lambda: bench.receives(lambda: len(queue) >= 11), "ten records and the end")
    assert len(queue.take(4)) == 4
    assert 6 <= len(queue) <= 7
    assert all_values(bench.records(queue, 6)) == numbered(6, 4)
    assert len(queue) == 0


@pytest.mark.parametrize("again_at", [0, 7])
def test_a_partition_that_is_assigned_anew_begins_there(kafka_here: EmbeddedKafka, make: Make, again_at: int) -> None:
    produce(kafka_here, numbered(10))
    bench = make(most=4)
    queue = bench.opened()
    wait_until(lambda: bench.receives(lambda: len(queue) >= 4), "more than may wait")
    bench.receive()  # with the public API the partition is paused now
    queue.restart()
    bench.consumer.incremental_unassign([TopicPartition(TOPIC, 1)])
    bench.consumer.incremental_assign([TopicPartition(TOPIC, 1, again_at)])
    assert all_values(bench.records(queue, 10 - again_at)) == numbered(10 - again_at, again_at)


def test_a_partition_that_is_stopped_says_nothing_more(kafka_here: EmbeddedKafka, make: Make) -> None:
    produce(kafka_here, numbered(10))
    bench = make()
    queue, other = bench.opened(), bench.opened(0)
    bench.records(queue, 10)
    queue.stop()
    queue.take(100)
    produce(kafka_here, numbered(5, 10))
    produce(kafka_here, numbered(5), partition=0)
    bench.records(other, 5)
    for _ in range(20):
        bench.receive()
        assert len(queue.take(100)) == 0


def test_a_topic_that_is_deleted_is_news_or_an_error(kafka: KafkaBroker, make: Make) -> None:
    topic = kafka.create_topic(1)
    bench = make(servers=kafka.bootstrap_servers, topic=topic)
    queue = bench.opened(0)
    bench.taken(queue, lambda batches: bool(news_of(batches)))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_topics([topic], operation_timeout=30)[topic].result(60)
    news: list[News] = []

    def told() -> bool:
        bench.receive()
        news.extend(queue.take(100).news)
        codes = {one.code for one in news} | {error.code() for error in bench.errors}
        return KafkaError.UNKNOWN_TOPIC_OR_PART in codes

    wait_until(told, "the news")


def test_a_part_of_a_batch_shares_its_buffer(kafka_here: EmbeddedKafka, make: Make) -> None:
    produce(kafka_here, [b"0", b"11", b"222", b"3333"])
    bench = make()
    queue = bench.opened()
    wait_until(lambda: bench.receives(lambda: len(queue) >= 4), "all of it")
    whole = queue.take(4)
    part = whole.between(1, 3)
    assert values(part) == [b"11", b"222"]
    assert part.offsets.tolist() == [1, 2]
    assert part.buffer is whole.buffer
    assert whole.between(0, 4) is whole


# What only one of them has to do


def public(kafka: EmbeddedKafka, most: int, most_bytes: int = MANY_BYTES) -> Bench:
    return Bench(kafka.bootstrap_servers, "public", most, most_bytes)


@pytest.mark.parametrize(("most", "most_bytes"), [(20, MANY_BYTES), (200, 20 * (MESSAGE_BYTES + 5))])
def test_a_partition_that_is_held_back_fills_no_memory_and_stops_no_other(
    kafka_here: EmbeddedKafka, most: int, most_bytes: int
) -> None:
    """Nothing is lost and nothing comes twice, however often the client pauses it.

    partition 1   |-- 2,000 records, of which up to 30 are taken, now and then: paused, resumed, paused, ...
    partition 0   |-- 1,000 records, all of which pass meanwhile
    """
    produce(kafka_here, [b"%05d" % number for number in range(2_000)])
    produce(kafka_here, numbered(1_000), partition=0)
    bench = public(kafka_here, most, most_bytes)
    held, other = bench.opened(1), bench.opened(0)
    assert all_values(bench.records(other, 1_000)) == numbered(1_000)
    found: list[bytes] = []
    turns = 0

    def all_there() -> bool:
        nonlocal turns
        turns += 1
        bench.receive()
        assert len(held) < 2 * most
        if turns % 3 == 0:
            found.extend(values(held.take(30)))
        return len(found) >= 2_000

    wait_until(all_there, "all records", pause=0.001)
    bench.receive()
    assert found == [b"%05d" % number for number in range(2_000)]
    bench.close()


def test_a_round_that_could_not_receive_everything_says_so(kafka_here: EmbeddedKafka) -> None:
    produce(kafka_here, numbered(500))
    bench = public(kafka_here, 10)
    queue = bench.opened()
    wait_until(lambda: bench.receives(lambda: len(queue) >= 10), "a full queue")
    found = list(values(queue.take(100)))
    rounds = []
    while len(found) < 500:
        bench.receive()
        rounds.append(bench.queues.more)
        found += values(queue.take(100))
    assert any(rounds)
    wait_until(lambda: bench.receives(lambda: not bench.queues.more), "the end")
    assert found == numbered(500)
    bench.close()
