"""What all tests share: real servers, the recorded data, and how hypothesis behaves here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from deploy.local import ROOT
from flows.compiled import loops as compiled
from tests import services
from tests.lacking import IN_CI, need, told

LONGEST = (
    "laws/test_laws.py",
    "job/test_recorded_data.py",
    "job/test_cluster.py",
    "bench/test_bench.py",
    "faults/test_faults.py",
    "deploy/alerts/test_pager.py",
    "job/test_restarts.py",
    "job/test_audit.py",
    "audit/test_cut.py",
    "demo/test_against_the_pipeline.py",
    "source/test_kafka.py",
    "laws/test_subscriptions.py",
    "bench/test_peers.py",
    "deploy/test_kafka.py",
    "security/test_refusals.py",
    "web/test_page.py",
)
"""The files that take half a minute and more. They are begun first, or at the end one would run alone for minutes."""

MARK_OF_FIXTURE = {
    "kafka_jars": "kafka",
    "kafka": "kafka",
    "own_kafka": "kafka",
    "shared_cluster": "brokers",
    "redis_server": "redis",
    "data_dir": "data",
}

compiled.checks_types = True  # here; the processes that tests start run as anybody's do

hypothesis.settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "local"))


def pytest_configure() -> None:
    # A shell without job control starts what is in the background deaf to Ctrl-C, and so would be all that tests start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if mark := MARK_OF_FIXTURE.get(fixture):
                item.add_marker(mark)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := told(terminalreporter.stats.get("skipped", [])):
        lines.append("!!! To install what is missing (Debian, as root): deploy/install-needs")
    for line in lines:
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Whatever a broker of one's own needs is on this machine."""
    need("Kafka", services.install_kafka)


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
def redis_server() -> Iterator[services.RedisServer]:
    """A real, empty Redis of the test's own, which it may pause, kill and start again."""
    need("Redis", services.redis_program)
    with services.running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded event files: TIDEGAUGE_DATA, else ../shared/data beside the project."""
    folder = Path(os.environ.get("TIDEGAUGE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the recorded event files are neither in ../shared/data nor where TIDEGAUGE_DATA points")
    return folder
