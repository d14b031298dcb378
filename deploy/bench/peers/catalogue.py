"""The peers: how each is started and read, and what it can express."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from deploy.bench.peers import environments
from deploy.bench.peers.fields import everything_in, flink_fields, from_redis, hours_of_minutes, windows_of_panes
from deploy.bench.peers.peer import Mode, Peer, Servers
from deploy.bench.peers.task import ACTIVE, CELLS, SESSIONS, TRAFFIC, config
from tests.job.running import write_config

PROGRAMS: Final = Path(__file__).resolve().parent / "programs"


def program(interpreter: Callable[[], Path], file: str) -> Callable[[Servers, str, Path, Mode], Sequence[str]]:
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
    cannot={
        "another definition": "each is a change to the loop; nothing but the bench tests it",
        "operation": "no fence against a second run, no accounting, no dead letters, no metrics",
    },
)

FLINK_FOLDER: Final = Path(__file__).resolve().parent / "flink"
FLINK_JVM: Final = (
    "-Xms1g",
    "-Xmx2g",
    "-XX:+UseSerialGC",  # one core
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.util", "java.lang", "java.time")),
)


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


FLINK: Final = Peer(
    "flink",
    "Flink SQL",
    (*TRAFFIC, *ACTIVE, *SESSIONS),
    _flink,
    _flink_version,
    lambda servers, topic: flink_fields(everything_in(servers.bootstrap_servers, f"{topic}.flink")),
    (300_000, 900_000),
    lateness_s=16.0,
    cannot={
        "funnel": "MATCH_RECOGNIZE gives out complete matches only, so attempts that stopped half-way are not counted; "
        "a process table function in Java could",
        "fresh numbers": "a window is given out once, when the watermark has passed its end",
        "a last word after a kill": "the splits of a checkpoint keep what they were told, to go on without end, so the "
        "windows still open are never given out here",
    },
    ends_again=False,
)

BYTEWAX: Final = Peer(
    "bytewax",
    "Bytewax's windows",
    (*TRAFFIC, *ACTIVE, *SESSIONS),
    program(lambda: environments.python("bytewax"), "bytewax_windows.py"),
    in_python("bytewax", "bytewax", "confluent-kafka"),
    lambda servers, topic: hours_of_minutes(from_redis(servers, topic)),
    (20_000, 60_000),
    lateness_s=26.0,
    cannot={
        "funnel": "no window operator knows the order of events; a stateful operator would hold the hand-written loop",
        "duplicates": "no operator drops copies",
        "late events": "an item behind its key's watermark is dropped, even where a window that holds it is still open",
    },
)

QUIX: Final = Peer(
    "quix",
    "Quix Streams",
    TRAFFIC,
    program(lambda: environments.python("quix"), "quix.py"),
    in_python("quix", "quixstreams", "confluent-kafka"),
    lambda servers, topic: windows_of_panes(from_redis(servers, topic)),
    (50_000, 150_000),
    cannot={
        "active users": "no distinct count; an aggregation of one's own would store its set of users at every event",
        "sessions": "a session is given out two gaps after its last event (documentation of session_window), "
        "half an hour after the task's sessions close",
        "funnel": "no window operator knows the order of events",
        "duplicates": "nothing drops copies",
    },
)

PATHWAY: Final = Peer(
    "pathway",
    "Pathway",
    (*TRAFFIC, *ACTIVE, *SESSIONS),
    program(lambda: environments.python("pathway"), "pathway_tables.py"),
    in_python("pathway", "pathway"),
    lambda servers, topic: windows_of_panes(from_redis(servers, topic)),
    (50_000, 150_000),
    environment=lambda _servers, _topic, _state: {"PATHWAY_THREADS": "1", "PATHWAY_PROCESSES": "1"},
    cannot={
        "funnel": "no operator for the order of events; a reducer in Python would be the hand-written loop",
        "bounded state": "copies are dropped and sessions joined by keeping all events: memory grows with the topic",
        "operator persistence": "asks for a licence key; here the input is saved and read again at a start",
    },
)

CLICKHOUSE: Final = Peer(
    "clickhouse",
    "ClickHouse's Kafka engine",
    (*TRAFFIC, *ACTIVE, *SESSIONS),
    program(lambda: environments.python("clickhouse"), "clickhouse.py"),
    in_python("clickhouse", "chdb"),
    from_redis,
    (200_000, 600_000),
    cannot={
        "funnel": "windowFunnel tells how far each user came at best, not each attempt",
        "a push": "it answers when asked: a program asks and writes to Redis, and each answer reads its rows again",
        "a server": "no registry that is used here has a current one (Debian's is 18.16, of 2018), so the engine runs "
        "inside a Python process: chDB 3.6, for in chDB 4.4 creating a Kafka table ends with 'Shutdown was called'",
    },
)

PEERS: Final = (TIDEGAUGE, HANDWRITTEN, CLICKHOUSE, BYTEWAX, QUIX, PATHWAY, FLINK)
