"""The stage that the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import services
from tests.faults.stage import Stage, running_stage
from tests.lacking import need


@pytest.fixture(scope="session")
def stage(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A broker, a Redis, and a network between them and the job that tests may break."""
    need("Redis", services.redis_program)
    with running_stage(tmp_path_factory.mktemp("stage")) as running:
        yield running
