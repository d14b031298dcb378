"""A topic of another tool's records, through real Kafka: a run says once what it is, and its end tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.audit import Record
from flows.config.model import Config
from flows.run.supervisor import NOTHING_ACCEPTED
from tests.job.running import SECONDS, Deployment
from tests.rejecting import AMPLITUDE
from tests.services import KafkaBroker, RedisServer, wait_until

RECORD_MS = 1_795_942_890_250
GOOD = b'{"type": "page", "userId": "ana", "timestamp": 1795942890250}'
NONE = "none of the records read so far was accepted"
LIKENESS = "They look like Amplitude's events"


@pytest.fixture
def job(tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer) -> Deployment:
    topic = kafka.create_topic(partitions=2)
    return Deployment(Config(product="theirs"), tmp_path, kafka.bootstrap_servers, topic, redis_server.url)


def records(*values: bytes) -> list[Record]:
    return [Record(value, number % 2, number // 2, RECORD_MS) for number, value in enumerate(values)]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_to_the_end_of_nothing_acceptable_says_so_and_its_exit_code_does(job: Deployment, processes: int) -> None:
    job.produce(records(*[AMPLITUDE] * 12))
    options = ["--until-end", "--processes", str(processes)]
    assert job.start(*options).wait(SECONDS) == NOTHING_ACCEPTED, job.log()
    assert job.log().count(NONE) == 1
    assert "missing_field" in job.log()
    assert job.log().count(LIKENESS) == 1
    assert int(job.live()["accounting.rejected.missing_field"]) == 12

    # The next run has nothing to read, and still nothing to show.
    assert job.start(*options).wait(SECONDS) == NOTHING_ACCEPTED, job.log()
    job.produce(records(GOOD))
    job.finish("--processes", str(processes))


def test_a_live_run_says_once_that_all_is_rejected_and_that_it_no_longer_is(job: Deployment) -> None:
    job.produce(records(*[AMPLITUDE] * 12))
    run = job.start()
    try:
        wait_until(lambda: NONE in job.log(), "the run says that it accepts nothing", SECONDS)
        assert LIKENESS in job.log()
        job.produce(records(GOOD, AMPLITUDE))
        wait_until(lambda: "Most records are accepted again" in job.log(), "the run takes it back", SECONDS)
        assert job.log().count(NONE) == 1
    finally:
        run.terminate()
        assert run.wait(SECONDS) == 0, job.log()
