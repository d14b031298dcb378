"""A topic that is deleted while it is read ends the run with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from flows.audit import Record
from flows.config.model import Config
from tests.job.running import SECONDS, Deployment
from tests.services import KafkaBroker, RedisServer

EVENT = {"type": "track", "event": "Viewed", "userId": "ana", "timestamp": "2026-03-02T09:00:00Z"}


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_topic_that_is_deleted_ends_the_run_with_a_sentence(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    # librdkafka believes in a topic's absence only after 30 s.
    monkeypatch.setenv("TIDEGAUGE_KAFKA_TOPIC_METADATA_PROPAGATION_MAX_MS", "1000")
    topic = kafka.create_topic(partitions)
    config = Config(product=f"deleted{partitions}", shards=4)
    job = Deployment(config, tmp_path, kafka.bootstrap_servers, topic, redis_server.url)
    job.produce([Record(json.dumps(EVENT).encode(), partition, 0, -1) for partition in range(partitions)])
    run = job.start()
    job.wait_until_consumed(partitions, run)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_topics([topic], operation_timeout=30)[topic].result(60)
    assert run.wait(SECONDS) == 1, job.log()
    assert job.log().rstrip().endswith(f"topic {topic} has disappeared from Kafka; what was read of it is kept")
