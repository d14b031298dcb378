from __future__ import annotations

import base64
import json
import logging
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from deploy.local import wait_until
from flows.config.limits import Limits
from flows.config.settings import Settings
from flows.demo.embedded import PRODUCE_REQUEST, EmbeddedKafka
from flows.publish.dead_letters.letters import Allowance, DeadLetterError
from flows.publish.dead_letters.topic import KafkaLetters, NoLetters, dead_letter_topic
from tests.publish.test_dead_letters import rejected

SECONDS = 30.0


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"events": 1}) as broker:
        yield broker


def settings(broker: EmbeddedKafka, **changed: Any) -> Settings:
    return replace(Settings(bootstrap_servers=broker.bootstrap_servers, topic="events"), **changed)


def letters(settings: Settings, **options: Any) -> KafkaLetters:
    return KafkaLetters(settings, Allowance(settings.limits.dead_letters_per_second), **options)


def stored(kafka: Any, topic: str) -> list[tuple[dict[str, Any], dict[str, str | bytes | None], bytes | None]]:
    """(JSON, headers, key) of everything in the topic, by offset of the rejected record."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "reader", "enable.partition.eof": True}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            message = consumer.poll(30)
            assert message is not None, "no answer"
            if message.error():
                ended += 1
            else:
                headers = dict(message.headers() or [])
                found.append((json.loads(message.value() or b""), headers, message.key()))
        return sorted(found, key=lambda one: one[0]["offset"])
    finally:
        consumer.close()


def offsets(kafka: Any, topic: str = "events.dead") -> list[int]:
    """Of the rejected records whose letters are in the topic, each once."""
    return sorted({one["offset"] for one, _, _ in stored(kafka, topic)})


# Sent


def test_letters_are_in_the_topic_when_they_are_closed(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 2)
    kept = letters(settings(embedded))
    kept.write([rejected(b"one", offset=1), rejected(b"two", offset=2)])
    kept.write([])
    kept.settle()
    kept.close(SECONDS)
    found = stored(embedded, "events.dead")
    assert [(one["offset"], one["payload"]) for one, _, _ in found] == [(1, "one"), (2, "two")]
    assert found[0][1] == {"reason": b"bad_type", "message": b"$.type: expected str, got int"}
    assert found[0][2] is None
    assert (kept.allowance.copied, kept.counts().delivered, kept.counts().waiting) == (2, 2, 0)


def test_letters_are_sent_while_nothing_else_happens(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    kept.write([rejected()])
    wait_until(lambda: kept.counts().delivered == 1, "the letter to be delivered")
    kept.close(0)


def test_the_topic_can_be_named(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("refused", 1)
    kept = letters(settings(embedded, dead_letter_topic="refused"))
    kept.write([rejected()])
    kept.close(SECONDS)
    assert len(stored(embedded, "refused")) == 1


def test_what_is_beyond_the_limit_is_not_written(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded, limits=Limits(dead_letters_per_second=3)))
    kept.write([rejected(offset=offset) for offset in range(10)])
    kept.close(SECONDS)
    assert offsets(embedded) == [0, 1, 2]
    assert kept.counts().skipped == 7


def test_a_limit_of_nothing_needs_no_kafka() -> None:
    kept = dead_letter_topic(Settings(bootstrap_servers="127.0.0.1:1", limits=Limits(dead_letters_per_second=0)))
    assert isinstance(kept, NoLetters)
    kept.write([rejected(), rejected()])
    kept.settle()
    kept.close(0)
    assert kept.counts().skipped == 2


def test_more_letters_than_the_producer_can_queue_are_all_written(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    limits = Limits(dead_letters_per_second=10_000)
    kept = letters(settings(embedded, kafka={"queue.buffering.max.messages": "10"}, limits=limits))
    kept.write([rejected(offset=offset) for offset in range(200)])
    kept.close(SECONDS)
    assert offsets(embedded) == list(range(200))


# Kafka away


def test_nothing_waits_for_kafka(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.go_down()
    for offset in range(50):
        kept.write([rejected(offset=offset)])
        kept.settle()
    assert (kept.counts().waiting, kept.counts().delivered) == (50, 0)
    embedded.come_up()
    kept.close(SECONDS)
    assert offsets(embedded) == list(range(50))


def test_a_passing_failure_is_tried_again(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.fail_requests(PRODUCE_REQUEST, [KafkaError.NOT_ENOUGH_REPLICAS] * 2)
    kept.write([rejected()])
    kept.close(SECONDS)
    assert offsets(embedded) == [7]


def test_a_record_that_kafka_refuses_waits_until_it_does_not(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.fail_requests(PRODUCE_REQUEST, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
    kept.write([rejected()])
    kept.close(SECONDS)
    assert offsets(embedded) == [7]


def test_a_run_that_begins_while_kafka_does_not_answer_keeps_its_letters(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    embedded.go_down()
    kept = letters(settings(embedded))
    kept.write([rejected()])
    embedded.come_up()
    kept.close(SECONDS)
    assert offsets(embedded) == [7]


def test_letters_that_wait_are_sent_by_the_next_run(
    embedded: EmbeddedKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded, state=tmp_path))
    embedded.go_down()
    kept.write([rejected(offset=offset) for offset in range(3)])
    kept.settle()
    kept.close(0)
    embedded.come_up()
    letters(settings(embedded, state=tmp_path)).close(SECONDS)
    assert offsets(embedded) == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        f"3 dead letters are still to be sent; the next run on {tmp_path} sends them to topic events.dead",
        "3 dead letters of earlier runs are still to be sent to topic events.dead",
    ]
    assert (tmp_path / "dead-letters-0.ndjson").read_bytes() == b""


def test_a_line_that_somebody_else_has_written_is_sent_as_it_is(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    embedded.create_topic("events.dead", 1)
    (tmp_path / "dead-letters-0.ndjson").write_bytes(b'{"offset":1}\n')
    letters(settings(embedded, state=tmp_path)).close(SECONDS)
    assert stored(embedded, "events.dead") == [({"offset": 1}, {}, None)]


def test_without_a_state_folder_letters_that_wait_are_lost_and_one_sentence_says_so(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.go_down()
    kept.write([rejected()])
    with pytest.raises(DeadLetterError, match=r"^1 dead letters are lost, for topic events\.dead did not take them \("):
        kept.close(0)


# Too many


SMALL = Limits(dead_letters_per_second=1_000_000, dead_letters_waiting_bytes=64 * 1024)


def test_when_too_many_wait_further_ones_are_dropped_and_counted(
    embedded: EmbeddedKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded, state=tmp_path, limits=SMALL), attempt_seconds=0.5)
    kept.fail = pytest.fail
    embedded.go_down()
    kept.write([rejected(offset=0)])
    wait_until(lambda: kept.counts().oldest_seconds > 1, "time in which it should have been sent")
    kept.write([rejected(b"x" * 1000, offset=offset) for offset in range(1, 1000)])
    kept.settle()
    counts = kept.counts()
    assert counts.waiting + counts.dropped == 1000
    assert 64 * 1024 <= counts.waiting_bytes < 66 * 1024
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said.startswith(
        "the dead letters that wait have reached limits.dead_letters_waiting_bytes (0.0625 MiB), for topic "
        "events.dead does not take them ("
    )
    assert said.endswith(
        f"); {counts.dropped} copies of rejected records were dropped so far; the records are counted all the same"
    )
    assert (tmp_path / "dead-letters-0.ndjson").stat().st_size == counts.waiting_bytes
    embedded.come_up()
    kept.close(SECONDS)
    assert offsets(embedded) == list(range(counts.waiting))


def test_when_too_many_wait_the_run_can_be_ended_and_nothing_is_dropped(
    embedded: EmbeddedKafka, tmp_path: Path
) -> None:
    embedded.create_topic("events.dead", 1)
    said: list[str] = []
    kept = letters(settings(embedded, state=tmp_path, limits=SMALL, on_dead_letters_full="stop"), attempt_seconds=0.5)
    kept.fail = said.append
    embedded.go_down()
    kept.write([rejected(b"x" * 1000, offset=offset) for offset in range(100)])
    assert len(said) == 1
    assert said[0].startswith("the dead letters that wait have reached limits.dead_letters_waiting_bytes (0.0625 MiB)")
    assert said[0].endswith("; mend that, raise the limit, or set on_dead_letters_full to drop")
    kept.settle()
    kept.close(0)
    assert len((tmp_path / "dead-letters-0.ndjson").read_bytes().splitlines()) == 100

    # The next run begins with them, and reads nothing before there is room.
    following = letters(settings(embedded, state=tmp_path, limits=SMALL, on_dead_letters_full="stop"))
    following.make_room(stopping=lambda: True)
    with pytest.raises(DeadLetterError, match="the dead letters that wait have reached"):
        following.make_room(stopping=lambda: False, seconds=0)
    embedded.come_up()
    following.make_room(stopping=lambda: False)
    assert following.counts().waiting_bytes <= 32 * 1024
    following.close(SECONDS)
    assert offsets(embedded) == list(range(100))


def test_a_burst_ends_no_run_while_kafka_takes_letters(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded, limits=SMALL, on_dead_letters_full="stop"))
    kept.fail = pytest.fail
    kept.write([rejected(b"x" * 1000, offset=offset) for offset in range(1000)])
    kept.close(SECONDS)
    assert offsets(embedded) == list(range(1000))


def test_a_disk_that_takes_no_letters_ends_the_run_before_the_checkpoint(
    embedded: EmbeddedKafka, tmp_path: Path
) -> None:
    embedded.create_topic("events.dead", 1)
    ended: list[str] = []
    kept = letters(settings(embedded, state=tmp_path), end=ended.append)
    embedded.go_down()
    kept.write([rejected()])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        kept.settle()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended == [
        f"dead letters cannot be written to the state folder {tmp_path}: File too large; the last checkpoint is whole, "
        "and with that mended the next run goes on from it"
    ]
    kept.close(0)


def test_a_second_run_on_the_folder_is_refused_with_one_sentence(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded, state=tmp_path))
    with pytest.raises(DeadLetterError, match=r"dead-letters-0\.ndjson are in use by another run; stop that one first"):
        letters(settings(embedded, state=tmp_path))
    kept.close(0)


# On a real broker


def test_a_missing_topic_is_created_on_a_real_broker(kafka: Any) -> None:
    topic = kafka.create_topic(1)
    told = Settings(bootstrap_servers=kafka.bootstrap_servers, topic=topic)
    dead_letter_topic(told).close(0)
    kept = dead_letter_topic(told)  # already there now
    kept.write([rejected(b"\xff" * 32 * 1024), rejected("\u0001".encode() * 32 * 1024, offset=8)])
    kept.close(SECONDS)
    found = stored(kafka, f"{topic}.dead")
    assert base64.b64decode(found[0][0]["payload"]) == b"\xff" * 32 * 1024
    assert found[1][0]["payload"] == "\u0001" * 32 * 1024
