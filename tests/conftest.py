"""What all tests share: real servers, the recorded data, and how hypothesis behaves here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from deploy.local import ROOT
from schemas import compiled
from tests import services

IN_CI = os.environ.get("CI") == "true"
MARK_OF_FIXTURE = {
    "kafka_jars": "kafka",
    "kafka": "kafka",
    "own_kafka": "kafka",
    "redis_server": "redis",
    "data_dir": "data",
}
MISSING = pytest.StashKey[dict[str, str]]()

compiled.checks_types = True  # here; the processes that tests start run as anybody's do

hypothesis.settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "local"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MISSING] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if mark := MARK_OF_FIXTURE.get(fixture):
                item.add_marker(mark)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes; what it found missing is told by the first
        session.config.workeroutput["missing"] = session.config.stash[MISSING]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[MISSING].update(getattr(node, "workeroutput", {}).get("missing", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for server, reason in config.stash[MISSING].items():
        line = f"!!! ALL TESTS WITH A REAL {server.upper()} WERE SKIPPED: {' '.join(reason.split())}"
        terminalreporter.write_line(line, red=True, bold=True)


def need(request: pytest.FixtureRequest, server: str, get: Callable[[], object]) -> None:
    """Skip where `get` finds no server to be had, and say so loudly at the end; in CI that is a failure."""
    missing = ""
    try:
        get()
    except services.ServerUnavailable as unavailable:
        missing = str(unavailable)
    if missing and IN_CI:
        pytest.fail(f"with CI=true a real {server} must be there: {missing}", pytrace=False)
    if missing:
        request.config.stash[MISSING][server] = missing
        pytest.skip(f"no real {server} here")


@pytest.fixture(scope="session")
def kafka_jars(request: pytest.FixtureRequest) -> None:
    """Whatever a broker of one's own needs is on this machine."""
    need(request, "Kafka", services.install_kafka)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[services.KafkaBroker]:
    """A real broker that all tests share: that of KAFKA_BOOTSTRAP_SERVERS, else one started for this run."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield services.KafkaBroker(servers)
    else:
        request.getfixturevalue("kafka_jars")
        with services.running_kafka() as broker:
            yield broker


@pytest.fixture
def own_kafka(kafka_jars: None) -> Iterator[services.KafkaServer]:
    """A real broker of the test's own, which it may pause, kill and start again."""
    with services.running_kafka() as broker:
        yield broker


@pytest.fixture
def redis_server(request: pytest.FixtureRequest) -> Iterator[services.RedisServer]:
    """A real, empty Redis of the test's own, which it may pause, kill and start again."""
    need(request, "Redis", services.redis_program)
    with services.running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded event files: TIDEGAUGE_DATA, else ../shared/data beside the project."""
    folder = Path(os.environ.get("TIDEGAUGE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the recorded event files are neither in ../shared/data nor where TIDEGAUGE_DATA points")
    return folder
