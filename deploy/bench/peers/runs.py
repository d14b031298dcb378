"""Runs of peers on a core of their own: to the end of a topic, at a steady load, and killed in the middle of one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from deploy.bench import processes, stream
from deploy.bench.freshness import Batch, batches, percentile
from deploy.bench.laboratory import RETENTION
from deploy.bench.peers import task
from deploy.bench.peers.peer import Mode, Peer, Servers
from deploy.bench.processes import Cost, RunFailed
from deploy.bench.stream import Stream
from tests.services import ROOT, KafkaBroker, install_kafka, running_kafka, running_redis, tied, wait_until

LOOK_SECONDS = 0.01
QUIET_SECONDS = 3.0  # after the end of a load, in which the last numbers are still looked for, if they come at all
PRIMER_RATE = 100.0  # events/s, until the first number is there
KILLED_AT = 0.6  # of the load
RUN_SECONDS = 600.0  # a start of a JVM on a busy machine takes minutes


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old numbers were when they could be read, at a steady load."""

    ages_ms: tuple[float, ...]
    peak_bytes: int  # largest resident set

    @property
    def p50_ms(self) -> float:
        """The median age."""
        return percentile(list(self.ages_ms), 0.5)

    @property
    def p99_ms(self) -> float:
        """The age that 99 of 100 do not exceed."""
        return percentile(list(self.ages_ms), 0.99)


class Bench:
    """Kafka and Redis on one core, whatever is measured on another."""

    def __init__(self, kafka: KafkaBroker, redis_url: str, folder: Path, server_core: int, core: int) -> None:
        self.kafka = kafka
        self.servers = Servers(kafka.bootstrap_servers, redis_url)
        self.folder = folder
        self.log = folder / "log"
        self._server_core = server_core
        self._core = core
        self._redis: Any = redis.Redis.from_url(redis_url)

    def topic(self, of: Stream, events: int) -> str:
        """A new topic with the first `events` of a stream."""
        name = self.kafka.create_topic(of.partitions, RETENTION)
        stream.send(self.servers.bootstrap_servers, name, of, 0, events)
        return name

    def grow(self, topic: str, of: Stream, begin: int, end: int) -> None:
        """Append more of the stream."""
        stream.send(self.servers.bootstrap_servers, topic, of, begin, end)

    def start(self, peer: Peer, topic: str, state: Path, mode: Mode) -> subprocess.Popen[bytes]:
        """A peer's process, alone on its core."""
        return self._started(
            peer.command(self.servers, topic, state, mode), self._core, peer.environment(self.servers, topic, state)
        )

    def _started(self, command: Sequence[str], core: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with processes.on_core(core), self.log.open("ab") as log:
            return subprocess.Popen(
                tied(command),
                cwd=ROOT,
                env=os.environ | threads | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def to_end(self, peer: Peer, topic: str, state: Path | None = None) -> tuple[Cost, Mapping[str, str]]:
        """The topic from its beginning to its end: what that took and what was published.

        RunFailed when the peer does not end well.
        """
        with self.state() as fresh:
            if state is None:
                self._redis.flushall()
            process = self.start(peer, topic, state or fresh, "end")
            try:
                cost = processes.cost_of(process, self.log, RUN_SECONDS)
            finally:
                processes.end(process)
            # A result that is not there may be a topic that was made this moment.
            with suppress(TimeoutError):
                wait_until(lambda: bool(peer.read(self.servers, topic)), "a published number", QUIET_SECONDS)
            return cost, peer.read(self.servers, topic)

    def steady(self, peer: Peer, of: Stream, rate: float, seconds: float) -> Freshness:
        """The ages of numbers at a steady load, in the second half of `seconds`; in the first a peer warms up.

        A batch counts as read at the first look at the sink in which the events counted reach all that was due by
        then. Its age is that moment minus its due time; infinite when it was never seen.
        """
        looks: list[tuple[float, int]] = []
        with self.state() as state, self._at_work(peer, of, state) as (topic, run):
            earlier = task.size_of(self.servers.bootstrap_servers, topic)
            with self._load(topic, of, rate, seconds + peer.lateness_s) as log:
                total = None
                quiet_since = 0.0
                while total is None or time.monotonic() - quiet_since < QUIET_SECONDS:
                    self._must_run(run)
                    count = task.counted(peer.read(self.servers, topic)) - earlier
                    if not looks or count > looks[-1][1]:
                        looks.append((time.time() * 1000, count))
                    if total is None and _has_ended(log):
                        total, quiet_since = sum(batches(log)[-1].sent), time.monotonic()
                    if count == total:
                        break
                    time.sleep(LOOK_SECONDS)
                due = batches(log)
            peak = processes.peak_bytes(run.pid)
        middle_ms, end_ms = (due[0].due_ms + 1000 * part * seconds for part in (0.5, 1.0))
        return Freshness(tuple(ages_ms([b for b in due if middle_ms <= b.due_ms <= end_ms], looks)), peak)

    def killed(self, peer: Peer, of: Stream, rate: float, seconds: float) -> tuple[str, Mapping[str, str]]:
        """Killed with SIGKILL in the middle of a steady load, and started again on the state it had: the topic's name,
        and what was published in the end.
        """
        with self.state() as state:
            with self._at_work(peer, of, state) as (topic, run), self._load(topic, of, rate, seconds) as log:
                began = time.monotonic()
                while time.monotonic() - began < KILLED_AT * seconds:
                    self._must_run(run)
                    time.sleep(LOOK_SECONDS)
                run.send_signal(signal.SIGKILL)
                run.wait()
                wait_until(lambda: _has_ended(log), "the end of the load", RUN_SECONDS)
            _, fields = self.to_end(peer, topic, state)
        return topic, fields

    @contextmanager
    def _at_work(self, peer: Peer, of: Stream, state: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        """A new topic, and a peer that has read some of it and has published its first number, however long its start
        took; for as long as the block lasts.
        """
        topic = self.kafka.create_topic(of.partitions, RETENTION)
        self._redis.flushall()
        run = self.start(peer, topic, state, "on")
        try:
            with self._load(topic, of, PRIMER_RATE, RUN_SECONDS):
                deadline = time.monotonic() + RUN_SECONDS
                while not task.counted(peer.read(self.servers, topic)):
                    self._must_run(run)
                    if time.monotonic() > deadline:
                        raise RunFailed(f"it published nothing in {RUN_SECONDS:.0f} s:\n{self.last_words()}")
                    time.sleep(LOOK_SECONDS)
            yield topic, run
        finally:
            processes.end(run)

    def _must_run(self, run: subprocess.Popen[bytes]) -> None:
        if run.poll() is not None:
            raise RunFailed(f"it ended with code {run.returncode}:\n{self.last_words()}")

    @contextmanager
    def _load(self, topic: str, of: Stream, rate: float, seconds: float) -> Iterator[Path]:
        """A steady load of a topic for as long as the block lasts; its log, which holds the first batch."""
        log = self.folder / f"steady-{uuid.uuid4().hex}"
        arguments = [self.servers.bootstrap_servers, topic, of.partitions, of.users, rate, seconds, log]
        run = processes.start("deploy.bench.peers.steady", list(map(str, arguments)), self._server_core, self.log)
        try:
            wait_until(lambda: log.exists() and bool(batches(log)), "the first batch", RUN_SECONDS)
            yield log
        finally:
            processes.end(run)

    def last_words(self) -> str:
        """The end of what the peers have said."""
        return self.log.read_text(errors="replace")[-1500:]

    @contextmanager
    def state(self) -> Iterator[Path]:
        """A folder for a peer's state for as long as the block lasts."""
        folder = self.folder / f"state-{uuid.uuid4().hex}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def ages_ms(due: Sequence[Batch], looks: Sequence[tuple[float, int]]) -> list[float]:
    """The age of each batch when the count first reached it; infinite for one that was never seen."""
    ages = []
    position = 0
    for batch in due:
        while position < len(looks) and looks[position][1] < sum(batch.sent):
            position += 1
        ages.append(looks[position][0] - batch.due_ms if position < len(looks) else float("inf"))
    return ages


def _has_ended(log: Path) -> bool:
    with log.open("rb") as lines:
        lines.seek(0, os.SEEK_END)
        lines.seek(max(0, lines.tell() - 4))
        return lines.read() == b"end\n"


@contextmanager
def running(server_core: int, core: int) -> Iterator[Bench]:
    """Servers for as long as the block lasts; ServerUnavailable when they cannot be had."""
    install_kafka()
    with (
        tempfile.TemporaryDirectory(prefix="tidegauge-peers-") as folder,
        processes.on_core(server_core),
        running_kafka() as kafka,
        running_redis() as server,
    ):
        yield Bench(kafka, server.url, Path(folder), server_core, core)
