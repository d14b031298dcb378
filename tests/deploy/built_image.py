"""The image, built and run without a container engine: `make image`. It takes minutes, so `make test` leaves it out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from flows.client.reader import LiveNumbers
from tests.deploy.dockerfile import Image
from tests.lacking import lacking
from tests.services import ROOT, KafkaBroker, RedisServer, free_port, wait_until

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SHOP = (ROOT / "deploy" / "examples" / "shop.yaml").read_text()
SECONDS = 600.0  # compiling on a machine that does much else, too


def other_peoples_python() -> Path | None:
    """A Python with venv that a user without rights can run."""
    for name in ("/usr/bin/python3.12", "/usr/bin/python3.11", "/usr/bin/python3"):
        fits = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))"
        if Path(name).exists() and subprocess.run([name, "-c", fits], capture_output=True, check=False).returncode == 0:
            return Path(name)
    return None


def why_not() -> str:
    """Why this machine cannot seal a process off, or nothing."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return "this needs root, unshare and setpriv"
    bound = ["unshare", "--mount", "sh", "-ec", "mount --make-rprivate / && mount -o remount,bind,ro /"]
    if subprocess.run(bound, capture_output=True, check=False).returncode != 0:
        return "this machine lets nobody mount anything"
    return "" if other_peoples_python() else "there is no Python 3.11 or 3.12 with venv in /usr/bin"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if missing := why_not():
        lacking(missing)
    python = other_peoples_python()
    assert python is not None
    folder = tmp_path_factory.mktemp("image")
    built = Image(folder / "root", python)
    with (folder / "log").open("wb") as log:
        try:
            built.build(DOCKERFILE, log)
        except subprocess.CalledProcessError as failed:
            pytest.fail(f"{failed.cmd[-1][-300:]}:\n{(folder / 'log').read_text()[-3000:]}")
    yield built
    shutil.rmtree(folder, ignore_errors=True)


def service(name: str, replaced: dict[str, str]) -> tuple[list[str] | None, dict[str, str]]:
    """The command and environment that the compose file gives a service, with other addresses."""
    told = COMPOSE["services"][name]
    environment = {key: replaced.get(value, value) for key, value in told.get("environment", {}).items()}
    return told.get("command"), environment


def records_in(bootstrap_servers: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "count"})
    try:
        found = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30) for number in found]
        return sum(high for _, high in ends)
    finally:
        consumer.close()


def test_the_services_of_the_compose_file_run_in_the_image(
    image: Image, kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path
) -> None:
    image.put("/etc/tidegauge/tidegauge.yaml", SHOP)
    topic = f"compose-{os.getpid()}"
    here = {"kafka:9092": kafka.bootstrap_servers, "redis://valkey:6379/0": redis_server.url}
    more = {"TIDEGAUGE_TOPIC": topic, "TIDEGAUGE_METRICS_ADDRESS": "127.0.0.1:0", "NUMBA_DEBUG_CACHE": "1"}
    command, environment = service("traffic", here)
    with image.running(environment | more, tmp_path / "traffic.log", command) as traffic:

        def ready() -> bool:
            assert traffic.poll() is None, (tmp_path / "traffic.log").read_text()
            return "live, until Ctrl-C" in (tmp_path / "traffic.log").read_text()

        wait_until(ready, "the shop's history in Kafka", SECONDS)
        command, environment = service("tidegauge", here)
        assert command is None
        with (
            image.running(environment | more, tmp_path / "run.log") as run,
            LiveNumbers(redis_server.url, "shop") as numbers,
        ):
            log = tmp_path / "run.log"

            def live() -> bool:
                assert run.poll() is None, log.read_text()
                now = numbers.read()
                return now.state == "live" and now.count("_consumed") > 40_000

            wait_until(live, "live numbers", SECONDS)
            traffic.terminate()
            assert traffic.wait(SECONDS) == 0
            sent = records_in(kafka.bootstrap_servers, topic)
            assert sent > 40_000
            wait_until(lambda: numbers.read().count("_consumed") == sent, f"{sent} records counted", SECONDS)
            run.terminate()
            assert run.wait(SECONDS) == 0, log.read_text()
    said = log.read_text()
    assert "data loaded from" in said, "no compiled loop came from the image"
    # The two short loops that take records over from Kafka are compiled when they are first used, by a consumer.
    again = set(re.findall(r"data saved to '\S+/(\w+)\._\w+-\d+\.", said))
    assert again <= {"librdkafka_queues"}, re.findall(r"data saved to .*", said)
    state = image.folder / "lib" / "tidegauge" / "state"
    assert (state.stat().st_mode & 0o777, state.stat().st_uid) == (0o700, 10001)


def test_the_image_can_write_nothing_but_its_volume_and_tmp(image: Image) -> None:
    attempt = "touch {} 2>/dev/null && echo {}"
    places = ["/opt/tidegauge/x", "/etc/tidegauge/x", "/x", "/var/lib/x", "/tmp/x", "/var/lib/tidegauge/x"]
    done = image.run(["sh", "-c", "; ".join(attempt.format(place, place) for place in places)], {})
    assert done.stdout.split() == ["/tmp/x", "/var/lib/tidegauge/x"]
    assert image.run(["id", "-u"], {}).stdout == "10001\n"


def test_the_health_check_of_the_image_asks_whether_it_lives(image: Image) -> None:
    elsewhere = str(free_port())  # where nobody listens, whatever else runs on this machine
    done = image.run([word.replace("9108", elsewhere) for word in image.health], {})
    assert done.returncode != 0
    assert "Connection refused" in done.stderr


def test_a_wrong_use_of_the_image_is_told(image: Image) -> None:
    image.put("/etc/tidegauge/tidegauge.yaml", SHOP)
    done = image.run([*image.entrypoint, *image.command], {})
    assert (done.returncode, "no Kafka brokers are given" in done.stderr) == (2, True), done.stderr
