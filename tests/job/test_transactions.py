"""A run on a topic whose producers commit transactions seconds apart, as an exactly-once sink does."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.job.running import Deployment, cells_of, disagreements, end
from tests.services import KafkaBroker, RedisServer, wait_until

PARTITIONS = 3
COMMITS = 4
COMMIT_SECONDS = 3.0
"""Three times the lateness: without waiting, two events in three would be late."""
CONFIG = Config(
    product="transactions",
    lateness="1s",
    sessions={"timeout": "2s"},
    churn_after="5s",
    funnels={"buy": {"window": "10s", "steps": ["Viewed", "Bought"]}},
    shards=4,
)


class Sink(threading.Thread):
    """Sends events of now, and commits those since the last commit together; users keep to their partitions."""

    def __init__(self, servers: str, topic: str, partitions: list[int], commit_seconds: float, commits: int) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {"bootstrap.servers": servers, "transactional.id": f"{topic}-{partitions}", "linger.ms": 5}
        )
        self._topic = topic
        self._partitions = partitions
        self._commit_seconds = commit_seconds
        self._commits = commits
        self.sent = 0

    def run(self) -> None:
        """Until all is committed; the next transaction begins at once where there is one."""
        chance = random.Random(self._partitions[0])
        self._producer.init_transactions(60)
        for _ in range(self._commits):
            self._producer.begin_transaction()
            ends_at = time.monotonic() + self._commit_seconds
            while time.monotonic() < ends_at:
                partition = chance.choice(self._partitions)
                event = {
                    "messageId": f"{self._partitions[0]}-{self.sent}",
                    "type": "track",
                    "event": chance.choice(["Viewed", "Viewed", "Bought"]),
                    "userId": f"u{partition}-{chance.randrange(12)}",
                    "timestamp": int(time.time() * 1000),
                }
                self._producer.produce(self._topic, json.dumps(event), partition=partition)
                self.sent += 1
                self._producer.poll(0.03)  # the pace
            self._producer.commit_transaction(60)
        self._producer.close()


def committed(servers: str, topic: str) -> list[Record]:
    """All records of the topic that a consumer of committed data gets, one partition after the other."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "all", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[Record] = []
    ended: set[int | None] = set()
    while len(ended) < PARTITIONS:
        if (message := consumer.poll(60)) is None or message.error():
            ended.add(message.partition() if message is not None else None)
            continue
        place = message.partition() or 0, message.offset() or 0
        found.append(Record(message.value(), *place, message.timestamp()[1]))
    consumer.close()
    assert None not in ended
    return sorted(found, key=lambda record: (record.timestamp_ms, record.partition, record.offset))


def test_commits_that_come_seconds_apart_make_nothing_late(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    topic = kafka.create_topic(PARTITIONS)
    job = Deployment(CONFIG, tmp_path, kafka.bootstrap_servers, topic, redis_server.url)
    run = job.start()
    # Two sinks that do not commit together; a partition of each, and one of both, where their transactions overlap.
    sinks = [
        Sink(kafka.bootstrap_servers, topic, [0, 1], COMMIT_SECONDS, COMMITS),
        Sink(kafka.bootstrap_servers, topic, [1, 2], COMMIT_SECONDS * 1.4, COMMITS),
    ]
    for sink in sinks:
        sink.start()
    for sink in sinks:
        sink.join()
    records = committed(kafka.bootstrap_servers, topic)
    assert len(records) == sum(sink.sent for sink in sinks)
    job.wait_until_consumed(len(records), run)
    newest_ms = max(json.loads(record.value)["timestamp"] for record in records if record.value)
    # With all read the clock goes on with the time, over the end of every session.
    wait_until(lambda: int(job.live()["_as_of"]) > newest_ms + 8_000, "the end of all sessions")
    assert end(run, signal.SIGTERM) == 0, job.log()
    live = job.live()
    expected = recompute(records, job.config, as_of_ms=int(live["_as_of"]))
    assert int(live["accounting.late"]) == 0
    assert disagreements(expected, cells_of(live)) == {}
    assert expected.cells["sessions.closed.1m"] > 0
