"""Part of `make brokers`: outages of Kafka that make producers keep their events for longer than the lateness."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.run.warm_up import warm_up
from tests.brokers.away import AWAY, HUNG
from tests.brokers.cluster import KAFKAS_OWN, KafkaCluster, running_cluster
from tests.brokers.injuries import play
from tests.brokers.story import CONFIG, Story
from tests.services import RedisServer


@pytest.fixture(scope="module")
def shared_cluster(kafka_jars: None) -> Iterator[KafkaCluster]:
    """In place of the suite's, whose brokers give each other up sooner."""
    warm_up(CONFIG)
    with running_cluster(KAFKAS_OWN) as cluster:
        yield cluster


@pytest.mark.parametrize("name", AWAY)
def test_no_event_is_late_because_kafka_was_away_for_writers(
    name: str, cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    with Story(cluster, redis_server.url, tmp_path, replicas=AWAY[name].replicas) as story:
        play(story, AWAY[name])


def test_no_event_is_late_because_an_in_sync_follower_hangs(
    kafka_jars: None, redis_server: RedisServer, tmp_path: Path
) -> None:
    """It has a session of a minute, so that only its lag can put it out of sync: after 30 s."""
    long_session = {"broker.session.timeout.ms": "60000", "broker.heartbeat.interval.ms": "2000"}
    with (
        running_cluster(long_session) as cluster,
        Story(cluster, redis_server.url, tmp_path, replicas=HUNG.replicas) as story,
    ):
        play(story, HUNG)
