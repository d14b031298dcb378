from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.connectors.dead_letters import (
    Allowance,
    DeadLetterError,
    FileLetters,
    KafkaLetters,
    NoLetters,
    dead_letter_topic,
    to_json,
)
from flows.connectors.embedded import PRODUCE_REQUEST, EmbeddedKafka
from flows.limits import Limits
from flows.records import Rejected
from flows.settings import Settings


def rejected(payload: bytes = b"{}", message: str = "$.type: expected str, got int", offset: int = 7) -> Rejected:
    return Rejected("bad_type", message, "events", 3, offset, 1_700_000_000_000, payload)


def letter(record: Rejected) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(to_json(record))
    return parsed


# The JSON


def test_a_letter_says_what_and_where_and_why() -> None:
    assert letter(rejected(b'{"type": 5}')) == {
        "reason": "bad_type",
        "message": "$.type: expected str, got int",
        "topic": "events",
        "partition": 3,
        "offset": 7,
        "timestamp": 1_700_000_000_000,
        "payload": '{"type": 5}',
    }


def test_bytes_that_are_no_text_are_kept_in_base64() -> None:
    found = letter(rejected(b"\x1f\x8b\xff"))
    assert found["payload_encoding"] == "base64"
    assert base64.b64decode(found["payload"]) == b"\x1f\x8b\xff"


@pytest.mark.parametrize("extra", [0, 1, 100_000])
def test_a_large_payload_is_cut_between_characters(extra: int) -> None:
    payload = b"x" + "\u00e9".encode() * 16_384 + b"y" * extra  # the 32768th byte is the first half of one
    found = letter(rejected(payload))
    assert found["payload"] == "x" + "\u00e9" * 16_383
    assert "payload_encoding" not in found


def test_half_a_character_at_the_end_of_a_short_payload_is_kept_as_bytes() -> None:
    assert letter(rejected(b"caf\xc3"))["payload_encoding"] == "base64"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"\xed\xa0\x80",
        b"\xff" * 40_000,
        b"\n\r\x1b",
        "\U0001f600\u202e".encode(),
    ],
)
def test_any_payload_makes_one_line_of_json_that_gives_it_back(payload: bytes) -> None:
    line = to_json(rejected(payload))
    assert b"\n" not in line
    found = json.loads(line)
    if found.get("payload_encoding") == "base64":
        assert base64.b64decode(found["payload"]) == payload[: 32 * 1024]
    else:
        assert found["payload"].encode() == payload


def test_a_lone_surrogate_in_the_message_is_replaced() -> None:
    assert letter(rejected(message="$.userId: \ud800"))["message"] == "$.userId: ?"


# The limit


def test_only_so_many_a_second_are_copied_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    now = 0.0
    allowance = Allowance(10, monotonic=lambda: now)
    letters = [rejected(offset=offset) for offset in range(25)]
    assert [len(allowance.grant(letters)), len(allowance.grant(letters))] == [10, 0]
    now = 0.5
    assert [one.offset for one in allowance.grant(letters)] == [0, 1, 2, 3, 4]
    now = 3600.0
    assert len(allowance.grant(letters)) == 10
    assert (allowance.copied, allowance.skipped) == (25, 75)
    assert len(caplog.records) == 2  # at most once a minute


# To Kafka


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"events": 1}) as broker:
        yield broker


def settings(embedded: EmbeddedKafka) -> Settings:
    return Settings(bootstrap_servers=embedded.bootstrap_servers, topic="events")


def stored(kafka: Any, topic: str) -> list[tuple[dict[str, Any], dict[str, bytes], bytes | None]]:
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


def letters(settings: Settings, **options: Any) -> KafkaLetters:
    return KafkaLetters(settings, Allowance(settings.limits.dead_letters_per_second), **options)


def test_letters_are_in_the_topic_when_they_are_settled(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 2)
    kept = letters(settings(embedded))
    kept.write([rejected(b"one", offset=1), rejected(b"two", offset=2)])
    kept.write([])
    kept.settle()
    kept.settle()
    found = stored(embedded, "events.dead")
    assert [(one["offset"], one["payload"]) for one, _, _ in found] == [(1, "one"), (2, "two")]
    assert found[0][1] == {"reason": b"bad_type", "message": b"$.type: expected str, got int"}
    assert found[0][2] is None
    assert kept.allowance.copied == 2
    kept.close()


def test_writing_does_not_wait_for_kafka(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.go_down()
    for offset in range(50):
        kept.write([rejected(offset=offset)])
    embedded.come_up()
    kept.settle()
    assert [one["offset"] for one, _, _ in stored(embedded, "events.dead")] == list(range(50))
    kept.close()


def test_the_topic_can_be_named(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("refused", 1)
    kept = letters(replace(settings(embedded), dead_letter_topic="refused"))
    kept.write([rejected()])
    kept.settle()
    assert len(stored(embedded, "refused")) == 1
    kept.close()


def test_what_is_beyond_the_limit_is_not_written(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(replace(settings(embedded), limits=Limits(dead_letters_per_second=3)))
    kept.write([rejected(offset=offset) for offset in range(10)])
    kept.settle()
    assert [one["offset"] for one, _, _ in stored(embedded, "events.dead")] == [0, 1, 2]
    assert kept.allowance.skipped == 7
    kept.close()


def test_a_limit_of_nothing_needs_no_kafka() -> None:
    kept = dead_letter_topic(Settings(bootstrap_servers="127.0.0.1:1", limits=Limits(dead_letters_per_second=0)))
    assert isinstance(kept, NoLetters)
    kept.write([rejected(), rejected()])
    kept.settle()
    assert kept.allowance.skipped == 2


def test_more_letters_than_the_producer_can_queue_are_all_written(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(
        replace(
            settings(embedded),
            kafka={"queue.buffering.max.messages": "10"},
            limits=Limits(dead_letters_per_second=10_000),
        )
    )
    kept.write([rejected(offset=offset) for offset in range(200)])
    kept.settle()
    assert [one["offset"] for one, _, _ in stored(embedded, "events.dead")] == list(range(200))
    kept.close()


def test_a_passing_failure_is_tried_again(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.fail_requests(PRODUCE_REQUEST, [KafkaError.NOT_ENOUGH_REPLICAS] * 2)
    kept.write([rejected()])
    kept.settle()
    assert len(stored(embedded, "events.dead")) == 1
    kept.close()


def test_a_lasting_failure_ends_with_one_sentence(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded), delivery_seconds=0.5)
    embedded.go_down()
    kept.write([rejected()])
    with pytest.raises(DeadLetterError, match=r"could not be written to topic events\.dead within 0\.5 s: "):
        kept.settle()


def test_a_record_that_kafka_refuses_ends_with_its_reason(embedded: EmbeddedKafka) -> None:
    embedded.create_topic("events.dead", 1)
    kept = letters(settings(embedded))
    embedded.fail_requests(PRODUCE_REQUEST, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
    kept.write([rejected()])
    with pytest.raises(DeadLetterError, match="authorization failed"):
        kept.settle()
    with pytest.raises(DeadLetterError, match="authorization failed"):
        kept.write([rejected()])  # nor is it forgotten
    kept.close()


# To a file


def test_a_file_gets_one_line_per_letter_and_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    path.write_text("old\n")
    kept = FileLetters(path)
    kept.write([rejected(offset=1)])
    kept.write([rejected(offset=2), rejected(offset=3)])
    kept.settle()
    assert [json.loads(line)["offset"] for line in path.read_bytes().splitlines()] == [1, 2, 3]
    kept.close()


def test_a_new_file_of_letters_can_be_read_by_its_user_alone(tmp_path: Path) -> None:
    FileLetters(tmp_path / "dead.ndjson").close()
    assert (tmp_path / "dead.ndjson").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeadLetterError, match=r"cannot be written to .*dead: No such file or directory"):
        FileLetters(tmp_path / "absent" / "dead")


# To a real broker


def test_a_missing_topic_is_created_on_a_real_broker(kafka: Any) -> None:
    topic = kafka.create_topic(1)
    told = Settings(bootstrap_servers=kafka.bootstrap_servers, topic=topic)
    dead_letter_topic(told).close()
    kept = dead_letter_topic(told)  # already there now
    kept.write([rejected(b"\xff" * 32 * 1024), rejected("\u0001".encode() * 32 * 1024, offset=8)])
    kept.settle()
    kept.close()
    found = stored(kafka, f"{topic}.dead")
    assert base64.b64decode(found[0][0]["payload"]) == b"\xff" * 32 * 1024
    assert found[1][0]["payload"] == "\u0001" * 32 * 1024
