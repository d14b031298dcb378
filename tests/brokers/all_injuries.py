"""`make brokers`: all that can happen to three brokers, which give each other up as late as Kafka does by default.

Not part of the test suite, which has a short form of it: test_cluster.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.run.warm_up import warm_up
from tests.brokers.cluster import KAFKAS_OWN, PATIENT, KafkaCluster, running_cluster
from tests.brokers.injuries import HANGING_FOLLOWER, INJURIES, play
from tests.brokers.losses import LOSSES, TRIPLE, play_loss
from tests.brokers.story import CONFIG, Story
from tests.services import RedisServer


@pytest.fixture(scope="module")
def shared_cluster(kafka_jars: None) -> Iterator[KafkaCluster]:
    """In place of the suite's, whose brokers give each other up sooner."""
    warm_up(CONFIG)
    with running_cluster(KAFKAS_OWN) as cluster:
        yield cluster


@pytest.mark.parametrize("name", INJURIES)
def test_whatever_happens_to_brokers_every_number_is_right(
    name: str, cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    with Story(cluster, redis_server.url, tmp_path, replicas=INJURIES[name].replicas) as story:
        play(story, INJURIES[name])


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_counted_and_is_no_more_is_never_passed_over(
    name: str, cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    loss = LOSSES[name]
    with Story(cluster, redis_server.url, tmp_path, replicas=TRIPLE, topic_config=loss.config) as story:
        play_loss(story, loss)


def test_no_event_is_late_because_a_follower_hangs_that_its_controller_takes_for_alive(
    kafka_jars: None, redis_server: RedisServer, tmp_path: Path
) -> None:
    with (
        running_cluster(PATIENT) as cluster,
        Story(cluster, redis_server.url, tmp_path, replicas=HANGING_FOLLOWER.replicas) as story,
    ):
        play(story, HANGING_FOLLOWER)
