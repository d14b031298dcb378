from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from flows.demo.embedded import EmbeddedKafka
from flows.kafka.librdkafka import LibraryError, handle, library
from flows.source.librdkafka_queues import Batch, News, RecordQueue, RecordQueues
from tests.services import wait_until

TOPIC = "events"
START_MS = 1_700_000_000_000


@pytest.fixture
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({TOPIC: 2}) as kafka:
        yield kafka


@pytest.fixture
def consumer(kafka: EmbeddedKafka) -> Iterator[Consumer]:
    made = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "queues",
            "client.id": "reader",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "log_level": 2,
        }
    )
    yield made
    made.close()


def produce(kafka: EmbeddedKafka, values: list[bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 2})
    for number, value in enumerate(values):
        producer.produce(TOPIC, value, key=b"a key", partition=1, timestamp=START_MS + number)
    assert producer.flush(30) == 0
    producer.close()


def opened(consumer: Consumer, most: int = 100) -> RecordQueue:
    queue = RecordQueues(consumer, "reader", most, lambda error: None).queue(TOPIC, 1)
    consumer.incremental_assign([TopicPartition(TOPIC, 1, 0)])
    return queue


def values(batch: Batch) -> list[bytes]:
    return [batch.buffer[begin:end].tobytes() for begin, end in zip(batch.bounds[:-1], batch.bounds[1:], strict=True)]


def taken(queue: RecordQueue, count: int, most: int = 100) -> list[Batch]:
    batches: list[Batch] = []

    def enough() -> bool:
        batches.append(queue.take(most))
        return sum(map(len, batches)) >= count

    wait_until(enough, "the records")
    return [batch for batch in batches if len(batch) or batch.news]


def test_records_come_as_arrays_with_what_kafka_says_of_them(kafka: EmbeddedKafka, consumer: Consumer) -> None:
    sent: list[bytes | None] = [b"one", None, b"", b"\0\xff", b"x" * 100_000, "é".encode()]
    produce(kafka, sent)
    queue = opened(consumer)
    batches = taken(queue, len(sent))
    assert [value for batch in batches for value in values(batch)] == [value or b"" for value in sent]
    assert [offset for batch in batches for offset in batch.offsets.tolist()] == list(range(6))
    assert [ms for batch in batches for ms in batch.timestamps_ms.tolist()] == [START_MS + n for n in range(6)]
    assert all(not batch.buffer[batch.bounds[-1] :].any() for batch in batches)
    queue.close()


def test_the_end_is_news_between_records(kafka: EmbeddedKafka, consumer: Consumer) -> None:
    produce(kafka, [b"0", b"1"])
    queue = opened(consumer)
    news: list[News] = []
    wait_until(lambda: bool(news.extend(queue.take(100).news)) or len(news) == 1, "the end")
    assert news[0].code == KafkaError._PARTITION_EOF
    assert news[0].offset == 2
    queue.close()


def test_no_more_is_taken_at_once_than_asked_for(kafka: EmbeddedKafka, consumer: Consumer) -> None:
    produce(kafka, [b"%d" % number for number in range(50)])
    queue = opened(consumer, most=20)
    batches = taken(queue, 50, most=7)
    assert max(len(batch) for batch in batches) <= 7
    assert [value for batch in batches for value in values(batch)] == [b"%d" % number for number in range(50)]
    queue.close()


def test_nothing_of_the_partition_comes_through_the_consumer(kafka: EmbeddedKafka, consumer: Consumer) -> None:
    produce(kafka, [b"0"] * 10)
    queue = opened(consumer)
    taken(queue, 10)
    assert consumer.poll(0) is None
    queue.close()


def test_a_part_of_a_batch_shares_its_buffer(kafka: EmbeddedKafka, consumer: Consumer) -> None:
    produce(kafka, [b"0", b"11", b"222", b"3333"])
    queue = opened(consumer)
    whole = next(batch for batch in taken(queue, 4) if len(batch) == 4)
    part = whole.between(1, 3)
    assert values(part) == [b"11", b"222"]
    assert part.offsets.tolist() == [1, 2]
    assert part.buffer is whole.buffer
    assert whole.between(0, 4) is whole
    queue.close()


def test_a_client_that_is_not_where_it_should_be_is_refused(consumer: Consumer) -> None:
    with pytest.raises(LibraryError, match=r"requirements\.lock"):
        handle(consumer, "somebody else")
    assert handle(consumer, "reader")


def test_a_function_that_the_library_lacks_is_named() -> None:
    with pytest.raises(LibraryError, match=r"no rd_kafka_make_coffee\(\)"):
        library({"rd_kafka_make_coffee": (None, [])})
