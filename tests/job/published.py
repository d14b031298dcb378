"""What a job has published, held against the reference of the records that its topic really holds."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.job.running import SECONDS, cells_of, disagreements

LARGEST_FETCH = 12 << 20


def wrong_numbers(
    live: Mapping[str, str], minute: Callable[[str], Mapping[str, str]], records: Sequence[Record], config: Config
) -> list[str]:
    """What a live hash that covers all of `records`, and the minutes, have otherwise than the reference, in sentences.

    The reference is asked at the live hash's own `_as_of`. `minute` gives the fields of a minute's hash by its name.
    """
    wrong = []
    expected = recompute(records, config, int(live["_as_of"]))
    found = cells_of(live)
    if cells := disagreements(expected, found):
        some = dict(list(cells.items())[:5])
        wrong.append(f"{len(cells)} of {len(found)} cells differ (expected, found): {some}")
    published: dict[int, dict[str, int]] = defaultdict(dict)
    for name, text in live.items():
        if of := re.fullmatch(r"accounting\.(.+)\{partition=(\d+)\}", name):
            published[int(of[2])][of[1]] = int(text)
    for partition, account in expected.accounting.items():
        if account != published[partition]:
            wrong.append(f"accounting of partition {partition}: {account}, found {published[partition]}")
    for partition, account in published.items():
        rejected = sum(number for name, number in account.items() if name.startswith("rejected."))
        fates = account["accepted"] + rejected + account["duplicate"] + account["excluded"]
        if account["consumed"] != fates or account["accepted"] != account["on_time"] + account["late"]:
            wrong.append(f"the accounting of partition {partition} does not close: {account}")
    for start, values in expected.minutes.items():
        name = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(start // 1000))
        stored = minute(name)
        if stored != {field: str(number) for field, number in values.items()}:
            wrong.append(f"minute {name}: {values}, found {stored}")
    return wrong


def read_back(servers: str, topic: str, after: dict[int, int] | None = None) -> list[Record]:
    """All records of a topic, each partition from the offset in `after` on; none where there is no such topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "tests",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": LARGEST_FETCH,
            "log_level": "2",
        }
    )
    records: list[Record] = []
    try:
        found = consumer.list_topics(topic, timeout=30).topics[topic]
        if found.error is not None:
            return records
        waiting = set(found.partitions)
        consumer.assign([TopicPartition(topic, number, (after or {}).get(number, 0)) for number in waiting])
        deadline = time.monotonic() + SECONDS
        while waiting:
            assert time.monotonic() < deadline, f"topic {topic} could not be read back"
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    timestamp = message.timestamp()[1]
                    records.append(Record(message.value(), message.partition() or 0, message.offset() or 0, timestamp))
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition() or 0)
    finally:
        consumer.close()
    return records
