"""The cluster that all tests of this folder share; each finds it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.run.warm_up import warm_up
from tests.brokers.cluster import KafkaCluster, running_cluster
from tests.brokers.story import CONFIG, Story
from tests.services import RedisServer


@pytest.fixture(scope="session")
def shared_cluster(kafka_jars: None) -> Iterator[KafkaCluster]:
    """Three brokers, started once for the run. Tests take `cluster`."""
    warm_up(CONFIG)  # here, so that no job waits for a compiler
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: KafkaCluster) -> Iterator[KafkaCluster]:
    """Three brokers, whole; whatever a test does to them is mended behind it."""
    shared_cluster.mend()
    yield shared_cluster
    shared_cluster.mend()


@pytest.fixture
def story(cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path) -> Iterator[Story]:
    """A topic of six partitions whose leaders are spread over the brokers, for one test."""
    with Story(cluster, redis_server.url, tmp_path) as story:
        yield story
