"""Every kind of broken record through real Kafka: each is accounted for, dead-lettered, and harms no neighbour."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

import schemas
from flows.audit import Record, recompute
from flows.config.model import Config
from tests.job.running import Deployment, cells_of
from tests.services import KafkaBroker, RedisServer

EXAMPLES = Path(schemas.__file__).parent / "examples"
RECORD_MS = 1_772_442_060_000  # 2026-03-02T09:01:00Z, the reference clock of the examples


def stream() -> tuple[list[Record], Counter[str]]:
    """Good events, and between any two of them a broken one, a copy, or one that is left out; the reasons expected."""
    broken = sorted((EXAMPLES / "invalid").glob("*/*"))
    values: list[bytes | None] = []
    reasons: Counter[str] = Counter()
    for number, path in enumerate(broken):
        good = {"messageId": f"g{number}", "type": "page", "userId": f"u{number % 7}", "timestamp": RECORD_MS}
        values += [json.dumps(good).encode(), path.read_bytes()]
        reasons[path.parent.name] += 1
        if number % 5 == 0:
            values.append(json.dumps(good).encode())
            values.append(json.dumps(good | {"messageId": f"b{number}", "context": {"bot": True}}).encode())
    values.append(None)  # a tombstone, which is left out and no error
    values.append(b'{"type": "page", "userId": "u1", "pad": "' + b"x" * 40_000 + b'"}')
    reasons["too_large"] += 1
    return [Record(value, 0, offset, RECORD_MS) for offset, value in enumerate(values)], reasons


def test_a_stream_with_every_kind_of_bad_input_is_accounted_for_to_the_record(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    records, reasons = stream()
    topic = kafka.create_topic()
    config = Config(product="rubbish", subscriptions={"currency": "USD", "plans": ["basic", "pro"]})
    job = Deployment(config, tmp_path, kafka.bootstrap_servers, topic, redis_server.url)
    job.produce(records)
    job.finish()
    live = job.live()
    expected = recompute(records, job.config)

    account = {name: int(live[f"accounting.{name}"]) for name in expected.accounting[0]}
    assert account == expected.accounting[0]
    rejected = {name.removeprefix("rejected."): n for name, n in account.items() if name.startswith("rejected.") and n}
    assert rejected == dict(reasons)
    assert account["excluded"] > 0
    assert account["duplicate"] > 0
    assert (
        account["consumed"]
        == len(records)
        == (account["accepted"] + sum(rejected.values()) + account["duplicate"] + account["excluded"])
    )
    assert cells_of(live)["events.1h"] == account["accepted"]

    letters = dead_letters(kafka, f"{topic}.dead", sum(reasons.values()))
    assert Counter(letter["reason"] for letter in letters) == reasons
    by_offset = {record.offset: record.value for record in records}
    for letter in letters:
        payload = letter["payload"]
        if "payload_encoding" not in letter and letter["reason"] not in ("empty", "too_large"):
            assert payload.encode() == by_offset[letter["offset"]]


def dead_letters(kafka: KafkaBroker, topic: str, count: int) -> list[dict[str, Any]]:
    """The first `count` records of the dead-letter topic, and proof that there are no more."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "reader"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, count)
        letters: list[dict[str, Any]] = []
        while len(letters) < count:
            letters += [json.loads(message.value() or b"") for message in consumer.consume(count, timeout=1)]
        return letters
    finally:
        consumer.close()
