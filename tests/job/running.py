"""Runs `tidegauge` as a user does, as a process, and reads what it published."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import Producer

from flows.audit import Record, Result
from flows.config.model import Config
from tests.services import ROOT, wait_until

SECONDS = 300.0
"""Deadline of everything that is waited for; nothing takes near as long on an idle machine."""


def write_config(path: Path, config: Config, limits: Mapping[str, object] | None = None) -> Path:
    """`config`, and other than the default limits, as a file; JSON is YAML too."""
    written = config.model_dump(mode="json", exclude_defaults=True) | {"version": 1, "limits": dict(limits or {})}
    path.write_text(json.dumps(written))
    return path


def replay(file: Path, config: Path, *options: str) -> dict[str, Any]:
    """What `tidegauge replay` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.app", "replay", str(file), "--config", str(config), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=True,
    )
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@dataclass
class Deployment:
    """One product's config, topic, Redis and checkpoint folder; `start` as many runs as a story needs."""

    config: Config
    folder: Path
    bootstrap_servers: str
    topic: str
    redis_url: str
    environment: Mapping[str, str] = field(default_factory=dict)  # for its runs, besides the others'
    limits: Mapping[str, object] = field(default_factory=dict)  # of the config file
    program: Sequence[str] = ("flows.app",)  # a module that is `tidegauge`, and its own options

    def start(self, *options: str, state: str = "state") -> subprocess.Popen[bytes]:
        """A `tidegauge run`; its log goes to `<folder>/log`."""
        file = write_config(self.folder / "config.yaml", self.config, self.limits)
        environment = os.environ | {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "TIDEGAUGE_TOPIC": self.topic,
            "REDIS_URL": self.redis_url,
            "TIDEGAUGE_METRICS_ADDRESS": "127.0.0.1:0",
            "TIDEGAUGE_STATE": str(self.folder / state),
            **self.environment,
        }
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self.program, "run", "--config", str(file), *options],
                cwd=ROOT,
                env=environment,
                stderr=log,
            )

    def finish(self, *options: str) -> None:
        """A run to the end of the topic."""
        run = self.start("--until-end", *options)
        assert run.wait(SECONDS) == 0, self.log()

    def log(self) -> str:
        """All that the runs have said."""
        return (self.folder / "log").read_text()

    def produce(self, records: Sequence[Record]) -> None:
        """Send `records` to their partitions, in their order."""
        # Idempotent, else a batch that a busy broker lets time out is sent again behind the next one, out of order.
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "linger.ms": 5, "enable.idempotence": True})
        for record in records:
            timestamp = max(0, record.timestamp_ms)  # 0: that of the moment
            while True:
                try:
                    producer.produce(self.topic, record.value, partition=record.partition, timestamp=timestamp)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(SECONDS) == 0

    def live(self) -> dict[str, str]:
        """The live hash."""
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            fields: dict[str, str] = client.hgetall(f"tidegauge:v1:{{{self.config.product}}}:live")
            return fields

    def minutes(self) -> dict[str, dict[str, str]]:
        """The minute hashes."""
        return self._closed("minute")

    def days(self) -> dict[str, dict[str, str]]:
        """The day hashes."""
        return self._closed("day")

    def _closed(self, kind: str) -> dict[str, dict[str, str]]:
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            keys = client.keys(f"tidegauge:v1:{{{self.config.product}}}:{kind}:*")
            return {key.split(f":{kind}:")[1]: client.hgetall(key) for key in keys}

    def consumed(self) -> int:
        """Records that the published numbers cover."""
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            return int(str(client.hget(f"tidegauge:v1:{{{self.config.product}}}:live", "_consumed") or 0))

    def wait_until_consumed(self, records: int, run: subprocess.Popen[bytes]) -> None:
        """Until so many records are in the published numbers; fails when `run` ends before that."""

        def there() -> bool:
            assert run.poll() is None, self.log()
            return self.consumed() >= records

        wait_until(there, f"{records} records are published", SECONDS)


def end(run: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a signal to a run, wait for its end, and return its exit code."""
    run.send_signal(number)
    return run.wait(SECONDS)


def cells_of(fields: Mapping[str, str]) -> dict[str, int | float]:
    """The cells among the fields of a live hash."""
    return {
        name: int(text) if text.lstrip("-").isdecimal() else float(text)
        for name, text in fields.items()
        if not name.startswith(("_", "accounting."))
    }


def disagreements(expected: Result, found: Mapping[str, int | float]) -> dict[str, tuple[object, object]]:
    """Cells of a live hash or a printed replay that differ from the reference.

    A float that is a whole number is written without its fraction, so 1 and 1.0 are the same here.
    """
    return {
        name: (expected.cells.get(name), found.get(name))
        for name in expected.cells.keys() | found.keys()
        if name not in expected.cells
        or name not in found
        or abs(expected.cells[name] - found[name]) > 1e-12 * max(1, abs(expected.cells[name]))
    }
