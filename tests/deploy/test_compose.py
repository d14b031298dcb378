"""The compose file: valid, closed to the outside, of files that are there, and its services work together."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from compose_spec import PyCompose
from confluent_kafka import Consumer, TopicPartition

from flows.client.reader import LiveNumbers
from tests.lacking import need, program
from tests.services import ROOT, KafkaBroker, RedisServer, redis_program, running_redis, tied, wait_until
from tests.test_docs import promtool

FILE = ROOT / "deploy" / "compose.yaml"
SECONDS = 600.0  # compiling on a machine that does much else, too

Json = dict[str, Any]


def interpolated(text: str) -> Json:
    """The file with its variables' defaults, as `docker compose config` reads it first."""
    read: Json = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return read


COMPOSE = interpolated(FILE.read_text())
SERVICES: dict[str, Json] = COMPOSE["services"]


def check(text: str) -> None:
    """Raise ValueError for what the compose specification does not allow."""
    PyCompose.from_json(json.dumps(interpolated(text))).to_spec()


def test_it_is_what_the_compose_specification_says() -> None:
    check(FILE.read_text())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stop_grace_period:", "stop_grace_perod:"),
        ("condition: service_healthy", "condition: service_hale"),
        ("cap_drop: [ALL]", "cap_drop: 3"),
        ("stop_grace_period: 30s", "stop_grace_period: 30 bananas"),
    ],
)
def test_a_mistake_in_it_would_be_noticed(right: str, wrong: str) -> None:
    text = FILE.read_text()
    assert right in text
    with pytest.raises(ValueError, match=r"perod|service_hale|invalid type|bananas"):
        check(text.replace(right, wrong))


def test_every_mounted_file_is_there_and_every_volume_declared() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FILE.parent / source).exists(), f"{name} mounts {source}"
                assert volume.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"], f"{name} mounts {source}"


def test_it_listens_on_loopback_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_what_can_be_hardened_is() -> None:
    hardened = {name for name, service in SERVICES.items() if service.get("read_only")}
    assert set(SERVICES) - hardened == {"kafka"}  # its image writes its configuration when it starts
    assert all(SERVICES[name]["cap_drop"] == ["ALL"] for name in hardened)
    assert all(SERVICES[name]["security_opt"] == ["no-new-privileges:true"] for name in hardened)


def test_images_have_versions_and_kafka_that_of_the_tests() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert all(re.search(r":v?\d+\.\d+", image) for image in images.values() if image != "tidegauge"), images
    tested = re.search(r"<kafka.version>(.+)</kafka.version>", (ROOT / "deploy" / "kafka" / "pom.xml").read_text())
    assert tested is not None
    assert images["kafka"] == f"apache/kafka:{tested[1]}"


def test_each_service_waits_for_what_it_needs() -> None:
    waits = {name: service["depends_on"] for name, service in SERVICES.items() if "depends_on" in service}
    for needed in (*waits["traffic"], *waits["tidegauge"]):
        condition = {**waits["traffic"], **waits["tidegauge"]}[needed]["condition"]
        assert condition != "service_healthy" or "healthcheck" in SERVICES[needed]
    # The shop's past lies in Kafka before the job starts, so that no partition is ahead of another by days.
    assert waits["tidegauge"]["traffic"]["condition"] == "service_healthy"


def test_grafana_finds_the_data_source_and_the_dashboards() -> None:
    grafana, folder = SERVICES["grafana"], ROOT / "deploy" / "grafana"
    source = yaml.safe_load((folder / "provisioning" / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    used = set(re.findall(r"\$([A-Z_]+)", json.dumps(source)))
    assert used <= set(grafana["environment"])
    provider = yaml.safe_load((folder / "provisioning" / "dashboards" / "tidegauge.yaml").read_text())["providers"][0]
    mounted = dict(volume.removesuffix(":ro").split(":") for volume in grafana["volumes"])
    assert provider["options"]["path"] == mounted["./grafana/dashboards"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (folder / "dashboards" / home.name).is_file()
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_the_configs_that_are_mounted_are_understood() -> None:
    mounted = {name: SERVICES[name]["command"][0].rpartition("/")[2] for name in ("prometheus", "alertmanager")}
    promtool("check", "config", str(ROOT / "deploy" / "prometheus" / mounted["prometheus"]))
    checked = [program("amtool"), "check-config", str(ROOT / "deploy" / "alertmanager" / mounted["alertmanager"])]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_services_are_found_under_the_names_that_they_have_here() -> None:
    targets = ROOT / "deploy" / "prometheus" / "targets"
    named = {
        target.partition(":")[0]
        for file in targets.glob("*.yml")
        for group in yaml.safe_load(file.read_text())
        for target in group["targets"]
    }
    assert named == {"tidegauge", "alertmanager"}
    assert named <= set(SERVICES)


# --------------------------------------------------------------------------------------------- the shop's traffic


def records_in(bootstrap_servers: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "count"})
    try:
        found = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30) for number in found]
        return sum(high for _, high in ends)
    finally:
        consumer.close()


class Services:
    """The services that are ours, by the compose file's commands, without containers."""

    def __init__(self, kafka: KafkaBroker | None, server: RedisServer, folder: Path) -> None:
        self.topic = f"compose-{uuid.uuid4().hex}"
        self.folder = folder
        self.here = {
            "kafka:9092": kafka.bootstrap_servers if kafka else "",
            "redis://valkey:6379/0": server.url,
            "/etc/tidegauge/tidegauge.yaml": str(ROOT / "deploy" / "examples" / "shop.yaml"),
            "/tmp/ready": str(folder / "ready"),
            "redis://reader:reader@valkey:6379/0": server.url.replace("//", "//reader:reader@"),
            "0.0.0.0:9161": "127.0.0.1:0",
        }

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """The service's command, or the image's, with its environment; addresses and files are those of this test."""
        service = SERVICES[name]
        command = service.get("command", ["run", "--config", "/etc/tidegauge/tidegauge.yaml"])
        environment = {key: self.here.get(value, value) for key, value in service["environment"].items()}
        more = {
            "TIDEGAUGE_TOPIC": self.topic,
            "TIDEGAUGE_METRICS_ADDRESS": "127.0.0.1:0",
            "TIDEGAUGE_STATE": str(self.folder / "state"),
        }
        words = [sys.executable, "-m", "flows.app", *(self.here.get(word, word) for word in command)]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(tied(words), cwd=ROOT, env=os.environ | environment | more, stdout=log, stderr=log)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def services(kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path) -> Services:
    return Services(kafka, redis_server, tmp_path)


def test_the_shop_is_measured_live_and_goes_on_after_a_restart(
    services: Services, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    traffic = services.start("traffic")
    running = [traffic]
    try:
        # The file that the health check of the compose file looks for.
        wait_until(lambda: traffic.poll() is not None or (services.folder / "ready").exists(), "the past", SECONDS)
        assert traffic.poll() is None, services.log("traffic")
        past = records_in(kafka.bootstrap_servers, services.topic)
        assert past > 40_000
        job = services.start("tidegauge")
        running.append(job)
        with LiveNumbers(redis_server.url, "shop") as numbers:

            def measured(records: int) -> bool:
                assert job.poll() is None, services.log("tidegauge")
                now = numbers.read()
                return now.state == "live" and now.count("_consumed") >= records

            wait_until(lambda: measured(past), "live numbers of the past and the present", SECONDS)
            assert numbers.read().count("active_users.1h") > 0
            traffic.terminate()
            assert traffic.wait(SECONDS) == 0, services.log("traffic")

            sent = records_in(kafka.bootstrap_servers, services.topic)
            again = services.start("traffic")
            running.append(again)
            wait_until(lambda: measured(sent + 1), "numbers of a shop that was started again", SECONDS)
            again.terminate()
            assert again.wait(SECONDS) == 0
            # It went on from now: its past had been sent, and was not sent again.
            assert "the topic has events already" in services.log("traffic")
            assert records_in(kafka.bootstrap_servers, services.topic) < sent + past // 2
            job.terminate()
            assert job.wait(SECONDS) == 0, services.log("tidegauge")
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_the_live_page_shows_what_its_reader_may_read(tmp_path: Path) -> None:
    need("Redis", redis_program)
    options = SERVICES["valkey"]["command"][1:]
    if "v=6." in subprocess.run([redis_program(), "--version"], capture_output=True, text=True, check=True).stdout:
        options = [option.replace("%R~", "~") for option in options]  # deploy/SECURITY.md
    with running_redis(*options) as server:
        services = Services(None, server, tmp_path)
        fields = ("_as_of", "1", "_published_at", "1", "active_users.5m", "4711")
        redis.Redis.from_url(server.url).hset("tidegauge:v1:{shop}:live", items=list(fields))
        reader = redis.Redis.from_url(services.here[SERVICES["web"]["environment"]["REDIS_URL"]])
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.hset("tidegauge:v1:{shop}:live", "active_users.5m", "0")
        page = services.start("web")
        try:
            wait_until(lambda: page.poll() is not None or "http://" in services.log("web"), "the page", SECONDS)
            assert page.poll() is None, services.log("web")
            with urllib.request.urlopen(f"{services.log('web').split()[-1]}stream", timeout=30) as stream:
                assert any(b'"active_users.5m":"4711"' in line for line in itertools.islice(stream, 20))
            page.terminate()
            assert page.wait(SECONDS) == 0, services.log("web")
        finally:
            page.kill()
            page.wait()


def test_traffic_without_brokers_says_what_to_set() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
    done = subprocess.run(
        [sys.executable, "-m", "flows.app", "traffic"], cwd=ROOT, env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "set KAFKA_BOOTSTRAP_SERVERS" in done.stderr
