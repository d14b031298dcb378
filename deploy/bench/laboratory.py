"""The servers of a bench, the topics in them, and runs of what is measured."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from deploy.bench import processes, stream
from deploy.bench.processes import Cost
from deploy.bench.stream import Stream
from flows.config.model import Config
from tests.job.running import write_config
from tests.services import KafkaServer, RedisServer, install_kafka, running_kafka, running_redis

RETENTION = {"retention.ms": "-1"}  # the events' times are made up, so Kafka would think them old
COMPILE_SECONDS = 1_800.0  # on a machine that has much else to do


class Topic:
    """A topic that holds the beginning of a stream, and can grow."""

    def __init__(self, laboratory: Laboratory, of: Stream) -> None:
        self.stream = of
        self.name = laboratory.kafka.create_topic(of.partitions, RETENTION)
        self.events = 0
        self._servers = laboratory.kafka.bootstrap_servers

    def grow(self, events: int) -> None:
        """Hold the first `events` of the stream."""
        stream.send(self._servers, self.name, self.stream, self.events, events)
        self.events = events


class Laboratory:
    """Kafka and Redis, both on `server_core`, and `core` for whatever is measured."""

    def __init__(self, kafka: KafkaServer, server: RedisServer, folder: Path, server_core: int, core: int) -> None:
        self.kafka = kafka
        self.redis = server
        self.server_core = server_core
        self.core = core
        self.folder = folder
        self.log = folder / "log"
        self.config: Config = stream.config()
        self.checkpoints: list[tuple[int, int]] = []  # known users and bytes, as measured so far
        self._config_file = write_config(folder / "config.yaml", self.config)
        self._client: Any = redis.Redis.from_url(server.url, decode_responses=True)

    def loop(self, mode: str, topic: Topic) -> Cost:
        """One of the yardsticks of loops.py, to the end of the topic."""
        printed = self.folder / "printed"
        arguments = [mode, self.kafka.bootstrap_servers, topic.name]
        process = processes.start("deploy.bench.loops", arguments, self.core, self.log, output=printed)
        cost = processes.cost_of(process, self.log)
        if int(printed.read_text()) != topic.events:
            raise processes.RunFailed(f"the {mode} loop read {printed.read_text()} of {topic.events} records")
        return cost

    def job(
        self,
        topic: Topic | str,
        *options: str,
        state: Path,
        report: Path | None = None,
        config: Path | None = None,
        metrics: str = "127.0.0.1:0",
    ) -> subprocess.Popen[bytes]:
        """Start `tidegauge run`, with stopwatches when there is a `report` to write."""
        name = topic if isinstance(topic, str) else topic.name
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TIDEGAUGE_TOPIC": name,
            "TIDEGAUGE_DEAD_LETTER_TOPIC": f"{name}.dead",
            "REDIS_URL": self.redis.url,
            "TIDEGAUGE_METRICS_ADDRESS": metrics,
            "TIDEGAUGE_STATE": str(state),
        }
        arguments = ["--config", str(config or self._config_file), *options]
        if report is None:
            return processes.start("flows.app", ["run", *arguments], self.core, self.log, environment)
        return processes.start("deploy.bench.staged", [str(report), *arguments], self.core, self.log, environment)

    def file_of(self, config: Config) -> Path:
        """`config` as a new file."""
        return write_config(self.folder / f"config-{uuid.uuid4().hex}.yaml", config)

    def warm_up(self, topic: Topic, config: Path | None = None) -> None:
        """A run of the job that is not measured; the first one of a version and a config compiles its loops."""
        self.catch_up(topic, config=config, seconds=COMPILE_SECONDS)

    def catch_up(
        self,
        topic: Topic,
        *options: str,
        report: Path | None = None,
        state: Path | None = None,
        config: Path | None = None,
        seconds: float = processes.RUN_SECONDS,
    ) -> Cost:
        """The job from nothing to the end of the topic: empty Redis, no checkpoint before. `state` keeps its last.

        `config`: another one, of the same product.
        """
        self._client.flushall()
        with self.state() as passing:
            run = self.job(topic, "--until-end", *options, state=state or passing, report=report, config=config)
            cost = processes.cost_of(run, self.log, seconds)
        if self.live().get("_consumed") != str(topic.events):
            raise processes.RunFailed(f"the job published {self.live().get('_consumed')} of {topic.events} records")
        return cost

    @contextmanager
    def state(self) -> Iterator[Path]:
        """A checkpoint folder for as long as the block lasts."""
        folder = self.folder / f"state-{uuid.uuid4().hex}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def live(self) -> dict[str, str]:
        """The live hash."""
        fields: dict[str, str] = self._client.hgetall(f"tidegauge:v1:{{{self.config.product}}}:live")
        return fields

    def minutes(self) -> dict[str, dict[str, str]]:
        """The minute hashes, by minute."""
        keys = self._client.keys(f"tidegauge:v1:{{{self.config.product}}}:minute:*")
        return {key.split(":minute:")[1]: self._client.hgetall(key) for key in keys}

    def last_words(self) -> str:
        """The end of what all processes have logged."""
        return self.log.read_text()[-2000:]

    def empty_redis(self) -> None:
        """Forget what earlier runs have published."""
        self._client.flushall()


@contextmanager
def running(server_core: int, core: int) -> Iterator[Laboratory]:
    """A laboratory for as long as the block lasts; this process works on the servers' core meanwhile.

    ServerUnavailable when Kafka or Redis cannot be had.
    """
    install_kafka()
    with (
        tempfile.TemporaryDirectory(prefix="tidegauge-bench-") as folder,
        processes.on_core(server_core),
        running_kafka() as kafka,
        running_redis() as server,
    ):
        yield Laboratory(kafka, server, Path(folder), server_core, core)


def say(text: str) -> None:
    """One line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
