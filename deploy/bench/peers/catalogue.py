"""The peers: how each is started and read, and what it can express."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis

from deploy.bench.peers import environments
from deploy.bench.peers.peer import Mode, Peer, Servers
from deploy.bench.peers.results import everything_in
from deploy.bench.peers.task import ACTIVE, CELLS, FUNNEL, SESSIONS, TRAFFIC, config
from tests.job.running import write_config

PROGRAMS: Final = Path(__file__).resolve().parent / "programs"
HASH: Final = "peers"


def from_redis(servers: Servers, _topic: str, key: str = HASH) -> Mapping[str, str]:
    """The fields of a hash."""
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        fields: dict[str, str] = client.hgetall(key)  # type: ignore[assignment]
    return fields


def program(
    interpreter: Callable[[], Path], file: str
) -> Callable[[Servers, str, Path, Mode], Sequence[str]]:
    """A peer in Python: `python file BOOTSTRAP TOPIC REDIS_URL STATE end|on`."""

    def command(servers: Servers, topic: str, state: Path, mode: Mode) -> Sequence[str]:
        path = str(PROGRAMS / file)
        return [str(interpreter()), path, servers.bootstrap_servers, topic, servers.redis_url, str(state), mode]

    return command


def _tidegauge(_servers: Servers, _topic: str, state: Path, mode: Mode) -> Sequence[str]:
    file = write_config(state.parent / "peers.yaml", config())
    return [sys.executable, "-m", "flows.app", "run", "--config", str(file), *["--until-end"][: mode == "end"]]


def _tidegauge_environment(servers: Servers, topic: str, state: Path) -> Mapping[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "TIDEGAUGE_TOPIC": topic,
        "TIDEGAUGE_DEAD_LETTER_TOPIC": f"{topic}.dead",
        "REDIS_URL": servers.redis_url,
        "TIDEGAUGE_METRICS_ADDRESS": "127.0.0.1:0",
        "TIDEGAUGE_STATE": str(state / "tidegauge"),
    }


def in_python(name: str, *packages: str) -> Any:
    """How the environment of a peer in Python is made."""
    return lambda: environments.versions(environments.python(name), *packages)


TIDEGAUGE: Final = Peer(
    "tidegauge",
    "Tidegauge",
    CELLS,
    _tidegauge,
    lambda: environments.versions(Path(sys.executable), "tidegauge"),
    partial(from_redis, key="tidegauge:v1:{peers}:live"),
    (500_000, 1_500_000),
    environment=_tidegauge_environment,
)

HANDWRITTEN: Final = Peer(
    "handwritten",
    "Hand-written loop",
    CELLS,
    program(lambda: environments.python("handwritten"), "handwritten.py"),
    in_python("handwritten", "confluent-kafka", "msgspec"),
    from_redis,
    (300_000, 900_000),
)

FLINK_FOLDER: Final = Path(__file__).resolve().parent / "flink"
FLINK_JVM: Final = (
    "-Xms1g",
    "-Xmx2g",
    "-XX:+UseSerialGC",  # one core
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.util", "java.lang", "java.time")),
)
FLINK_CELLS: Final = {
    "traffic.5m": ("events.5m", "active_users.5m"),
    "traffic.1h": ("events.1h", "active_users.1h"),
    "sessions.1h": ("sessions.closed.1h", "sessions.bounced.1h"),
}


def _flink(servers: Servers, topic: str, state: Path, mode: Mode) -> Sequence[str]:
    bounded = "latest-offset" if mode == "end" else "unbounded"
    values = [f"servers={servers.bootstrap_servers}", f"topic={topic}", f"bounded={bounded}"]
    return [
        "java",
        *FLINK_JVM,
        "-cp",
        f"{environments.jars()}/*",
        str(FLINK_FOLDER / "RunSql.java"),
        str(FLINK_FOLDER / "job.sql"),
        str(state / "checkpoints"),
        *values,
    ]


def _flink_version() -> str:
    found = next(environments.jars().glob("flink-core-[0-9]*.jar")).stem.removeprefix("flink-core-")
    connector = next(environments.jars().glob("flink-sql-connector-kafka-*.jar")).stem.rpartition("kafka-")[2]
    return f"Flink {found}, Kafka connector {connector}"


def flink_fields(rows: Iterable[bytes]) -> Mapping[str, str]:
    """The rows that the job has written, as fields; of two for one window the later counts."""
    fields = {}
    for row in rows:
        value = json.loads(row)
        end = round(datetime.fromisoformat(value["window_end"] + "+00:00").timestamp() * 1000)
        for cell, number in zip(FLINK_CELLS[value["cell"]], (value["number"], value["other"]), strict=True):
            fields[f"{cell}@{end}"] = str(number)
    return fields


FLINK: Final = Peer(
    "flink",
    "Flink SQL",
    (*TRAFFIC, *ACTIVE, *SESSIONS),
    _flink,
    _flink_version,
    lambda servers, topic: flink_fields(everything_in(servers.bootstrap_servers, f"{topic}.flink")),
    (300_000, 900_000),
    lateness_s=16.0,
)

PEERS: Final = (TIDEGAUGE, HANDWRITTEN, FLINK)
