"""Groups of Redis servers that the tests of a session share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lacking import need
from tests.redis_groups import ClusterGroup, SentinelGroup
from tests.services import redis_program


@pytest.fixture(scope="session")
def sentinel_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    need("Redis", redis_program)
    group = SentinelGroup(tmp_path_factory.mktemp("sentinels"))
    yield group
    group.close()


@pytest.fixture(scope="session")
def cluster_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterGroup]:
    need("Redis", redis_program)
    group = ClusterGroup(tmp_path_factory.mktemp("cluster"))
    yield group
    group.close()


@pytest.fixture
def sentinels(sentinel_group: SentinelGroup) -> SentinelGroup:
    sentinel_group.whole()
    return sentinel_group


@pytest.fixture
def cluster(cluster_group: ClusterGroup) -> ClusterGroup:
    cluster_group.whole()
    return cluster_group
