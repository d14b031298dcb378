"""Whichever way records are received, the numbers are those of the reference."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from flows.audit import Record, Result, recompute
from tests.job.running import SECONDS, Deployment, cells_of, disagreements, end
from tests.job.test_restarts import CONFIG, deployment, stream
from tests.services import KafkaBroker, RedisServer, wait_until

EVENTS = 15_000
PARTITIONS = 3


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return stream(11, PARTITIONS, EVENTS)


@pytest.fixture(scope="module")
def expected(records: list[Record]) -> Result:
    return recompute(records, CONFIG)


@pytest.fixture(scope="module")
def topic(kafka: KafkaBroker, records: list[Record]) -> str:
    name = kafka.create_topic(PARTITIONS)
    Deployment(CONFIG, Path(), kafka.bootstrap_servers, name, redis_url="").produce(records)
    return name


def test_a_run_killed_with_the_public_api_goes_on_with_the_other(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, topic: str, records: list[Record], expected: Result
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "public", topic)
    job.environment = {"TIDEGAUGE_CONSUMER_API": "public"}
    job.limits = {"poll_records": 100}  # so that it does not read everything at once
    run = job.start("--checkpoint", "50ms", "--tick", "50ms")
    wait_until(lambda: job.consumed() > 0 or run.poll() is not None, "something to break", SECONDS)
    assert end(run, signal.SIGKILL) == -signal.SIGKILL, job.log()
    job.environment = {"TIDEGAUGE_CONSUMER_API": "librdkafka"}
    job.finish()
    assert job.consumed() == len(records)
    assert disagreements(expected, cells_of(job.live())) == {}


def test_with_a_confluent_kafka_of_another_make_the_run_says_so_once_and_counts_the_same(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, topic: str, records: list[Record], expected: Result
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "unknown", topic)
    job.program = ("tests.job.unknown_client",)
    job.finish()
    assert job.consumed() == len(records)
    assert disagreements(expected, cells_of(job.live())) == {}
    said = [line for line in job.log().splitlines() if "confluent-kafka 99.0" in line]
    assert len(said) == 1
    assert "WARNING" in said[0].upper()
    assert "public API" in said[0]
    # Nobody gets the other way who does not want it.
    job.environment = {"TIDEGAUGE_CONSUMER_API": "librdkafka"}
    refused = job.start("--until-end", state="another")
    assert refused.wait(SECONDS) == 1, job.log()
    assert "consumer_api: auto" in job.log()
