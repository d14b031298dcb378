"""Whatever becomes of the brokers that lead the dead-letter topic, the numbers and the checkpoints do not wait for it.

Broker 1 cannot be reached; it leads the dead letters and no partition of the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import wait_until
from tests.brokers.cluster import KafkaCluster
from tests.brokers.story import NOT_LED_BY_1, OFTEN, Job, Story
from tests.job.running import SECONDS
from tests.services import RedisServer

BROKEN = 0.05  # of the records
PANIC = "panicked"


@pytest.fixture
def story(cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path) -> Iterator[Story]:
    with Story(cluster, redis_server.url, tmp_path, replicas=NOT_LED_BY_1) as story:
        yield story


def led_by_1(story: Story) -> None:
    """Make the dead-letter topic as most are: one partition, here with broker 1 as its leader."""
    story.cluster.create_topic(name=story.dead_topic, replicas=[(1, 2, 3)])


def spooled(job: Job) -> dict[str, int]:
    """The files of letters in the job's state folder: name -> bytes."""
    return {path.name: path.stat().st_size for path in (job.folder / "state").glob("dead-letters-*.ndjson")}


def checkpointed(job: Job) -> None:
    """Until one more checkpoint is complete."""
    before = job.metric("tidegauge_checkpoint_timestamp_seconds")
    wait_until(lambda: job.metric("tidegauge_checkpoint_timestamp_seconds") > before, "a checkpoint", SECONDS)


def all_delivered(job: Job) -> None:
    """Until no letter waits."""
    wait_until(lambda: job.metric("tidegauge_dead_letters_waiting") == 0, f"all letters\n{job.log()[-2000:]}", SECONDS)


def test_numbers_and_checkpoints_go_on_and_the_letters_survive_a_kill(story: Story, cluster: KafkaCluster) -> None:
    led_by_1(story)
    job = story.job("one", *OFTEN)
    with story.feed(broken=BROKEN):
        story.flows()
        cluster.brokers[1].proxy.weather("black hole")
        wait_until(lambda: "dead letters wait, for topic" in job.log(), "the log to say so", SECONDS)
        story.flows()
        checkpointed(job)
        wait_until(lambda: spooled(job)["dead-letters-0.ndjson"] > 0, "letters in the spool", SECONDS)
        assert job.metric("tidegauge_dead_letters_waiting") > 0
        assert job.metric("tidegauge_dead_letters_oldest_seconds") > 5
        job.kill()
        assert spooled(job)["dead-letters-0.ndjson"] > 0
        job.begin()
        story.flows()
        cluster.brokers[1].proxy.weather("fine")
    story.check()
    all_delivered(job)
    assert job.end() == 0
    story.check_letters()
    assert spooled(job) == {"dead-letters-0.ndjson": 0}
    assert "dead letters of earlier runs are still to be sent" in job.log()
    assert PANIC not in job.log()


def test_with_partitions_of_their_own_letters_go_where_a_leader_can_be_reached(
    story: Story, cluster: KafkaCluster
) -> None:
    job = story.job("own", *OFTEN)
    with story.feed(broken=BROKEN):
        story.flows()
        leaders = {state.leader for state in cluster.states(story.dead_topic).values()}
        assert leaders == {1, 2, 3}, "the job has made a partition for each broker"
        cluster.brokers[1].proxy.weather("black hole")
        delivered = job.metric("tidegauge_dead_letters_delivered_total")
        story.flows(1000)
        assert job.metric("tidegauge_dead_letters_delivered_total") > delivered
    all_delivered(job)
    story.check_letters()
    cluster.brokers[1].proxy.weather("fine")
    story.check()


def test_each_of_several_processes_keeps_its_own_and_one_takes_over_those_of_all(
    story: Story, cluster: KafkaCluster
) -> None:
    led_by_1(story)
    cluster.brokers[1].proxy.weather("black hole")
    job = story.job("several", *OFTEN, "--processes", "2")
    both = {"dead-letters-0.ndjson", "dead-letters-1.ndjson"}
    with story.feed(broken=BROKEN):
        story.flows()
        wait_until(lambda: {name for name, size in spooled(job).items() if size} == both, "letters of both", SECONDS)
        checkpointed(job)
    assert job.end() == 0
    assert {name for name, size in spooled(job).items() if size} == both
    cluster.brokers[1].proxy.weather("fine")
    job.begin("--checkpoint", "500ms", "--processes", "1")
    story.check()
    all_delivered(job)
    story.check_letters()
    assert set(spooled(job)) == {"dead-letters-0.ndjson"}
    assert PANIC not in job.log()


def test_when_the_spool_is_full_the_run_goes_on_and_counts_what_it_drops(story: Story, cluster: KafkaCluster) -> None:
    led_by_1(story)
    cluster.brokers[1].proxy.weather("black hole")
    job = story.job("drops", *OFTEN, limits={"dead_letters_waiting_bytes": 64 * 1024})
    with story.feed(broken=0.9):
        wait_until(lambda: job.alive and "copies of rejected records were dropped" in job.log(), "drops", SECONDS)
        story.flows()
    story.check()
    assert job.metric("tidegauge_dead_letters_dropped_total") > 0
    assert spooled(job)["dead-letters-0.ndjson"] <= 2 * 64 * 1024
    assert job.end() == 0
    assert PANIC not in job.log()


def test_when_the_spool_is_full_the_run_can_end_with_one_sentence_and_goes_on_when_it_is_mended(
    story: Story, cluster: KafkaCluster
) -> None:
    led_by_1(story)
    cluster.brokers[1].proxy.weather("black hole")
    limits = {"dead_letters_waiting_bytes": 64 * 1024, "dead_letters_per_second": 1_000_000}
    job = story.job("ends", *OFTEN, limits=limits, TIDEGAUGE_ON_DEAD_LETTERS_FULL="stop")
    with story.feed(broken=0.9):
        assert job.ended() == 1
    last = job.log().splitlines()[-1]
    assert "ERROR   the dead letters that wait have reached limits.dead_letters_waiting_bytes" in last
    assert PANIC not in job.log()
    cluster.brokers[1].proxy.weather("fine")
    job.begin()
    story.check()
    all_delivered(job)
    story.check_letters()
