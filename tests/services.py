"""Real servers for tests, each a process of its own on a free port with its data in a temporary folder.

A server can be paused, killed and started again on the same port, which is how tests make faults. All of them
end with the test process, however that ends (by setpriv where the system has it). Everything here waits for a
condition with a deadline, never for a time.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local import DEADLINE_SECONDS, ROOT, free_port, tied, wait_until

KAFKA_SCRIPT = ROOT / "deploy" / "kafka" / "kafka"
KAFKA_UNAVAILABLE = 3  # exit code of the script when Kafka cannot be had on this machine


class ServerUnavailable(Exception):  # noqa: N818 (a state of the machine, not an error of the test)
    """This machine has no such server and cannot get one; the message says what is missing."""


def thread_states(pid: int) -> list[str]:
    """The state letter of every thread of a process, as in proc(5); none where there is no /proc."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]


class RunningServer:
    """One server process: what tests can do to any of them."""

    process: subprocess.Popen[bytes]  # the one this class started
    pid: int  # the one that serves

    def pause(self) -> None:
        """Freeze the server, all threads of it: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: set(thread_states(self.pid)) <= {"T"}, f"the freezing of process {self.pid}")

    def resume(self) -> None:
        """Let a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the server and return once it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_SECONDS)

    def stop(self) -> None:
        """Stop the server in order and return once it is gone; nothing happens when it has already gone."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.resume()  # a frozen server could not heed what follows
            self.process.terminate()
            self.process.wait(DEADLINE_SECONDS)


# ------------------------------------------------------------------------------------------------ Kafka


class KafkaBroker:
    """A broker that tests may use together: each test makes topics of its own."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    def create_topic(
        self,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        *,
        name: str = "",
        replicas: Sequence[Sequence[int]] = (),
    ) -> str:
        """The name of a new, empty topic with `partitions` partitions that are ready for records.

        `replicas`: for each partition the nodes that keep it, the preferred leader first; Kafka chooses by default.
        """
        name = name or f"test-{uuid.uuid4().hex}"
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        placed = [list(nodes) for nodes in replicas]
        partitions = len(placed) or partitions
        where: dict[str, Any] = {"replica_assignment": placed} if placed else {}
        topic = NewTopic(name, num_partitions=partitions, config=dict(config or {}), **where)
        admin.create_topics([topic], operation_timeout=30)[name].result(DEADLINE_SECONDS)

        def ready() -> bool:
            found = admin.list_topics(name, timeout=10).topics[name]
            leaders = [partition.leader for partition in found.partitions.values()]
            return found.error is None and len(leaders) == partitions and min(leaders) >= 0

        wait_until(ready, f"a leader of every partition of {name}")
        return name


class KafkaServer(KafkaBroker, RunningServer):
    """A broker of the test's own, run by deploy/kafka/kafka in the folder `data`; options as the script's."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.options = options
        super().__init__(f"127.0.0.1:{free_port()}")
        self.start()

    def start(self) -> None:
        """Start the broker on its port, with the records that `data` holds, and return once it answers."""
        self.begin()
        self.await_answer()

    def begin(self) -> None:
        """Start the broker and do not wait for it: the nodes of a cluster start together."""
        port = self.bootstrap_servers.rpartition(":")[2]
        command = [sys.executable, str(KAFKA_SCRIPT), "run", "--port", port, "--data", str(self.data)]
        with self._told.open("wb") as errors:
            self.process = subprocess.Popen(
                tied([*command, *self.options]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def await_answer(self) -> None:
        """Return once the broker that was begun answers; else RuntimeError with its words."""
        assert self.process.stdout is not None
        with self.process.stdout as output, selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            answered = selector.select(2 * DEADLINE_SECONDS) and output.readline().decode().strip()
        if answered != self.bootstrap_servers:
            self.process.terminate()
            code = self.process.wait(DEADLINE_SECONDS)
            raise RuntimeError(f"the broker did not start (exit code {code}):\n{self._told.read_text()}")
        self.pid = int((self.data / "kafka.pid").read_text())

    @property
    def _told(self) -> Path:
        return self.data.parent / f"{self.data.name}.err"

    def restart(self) -> None:
        """Start a stopped or killed broker again: same port, same records."""
        self.stop()
        self.start()


def install_kafka() -> None:
    """Have Kafka's jars in the cache; ServerUnavailable when this machine cannot get or run them."""
    command = [sys.executable, str(KAFKA_SCRIPT), "install"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == KAFKA_UNAVAILABLE:
        raise ServerUnavailable(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{KAFKA_SCRIPT} install failed:\n{done.stderr}")


@contextlib.contextmanager
def running_kafka(*options: str) -> Iterator[KafkaServer]:
    """A broker of one's own for as long as the block lasts; options as those of `deploy/kafka/kafka run`.

    Its jars are in the cache (`install_kafka`).
    """
    with tempfile.TemporaryDirectory(prefix="tidegauge-kafka-") as folder:
        server = KafkaServer(Path(folder) / "data", *options)
        try:
            yield server
        finally:
            server.stop()


# ------------------------------------------------------------------------------------------------ Redis


class RedisServer(RunningServer):
    """A Redis or Valkey server of the test's own that keeps nothing on disk: it comes back empty."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.program = program
        self.folder = folder
        self.options = options
        for attempt in range(3):
            self.port = free_port()
            try:
                self.start()
            except RuntimeError:  # somebody took the port meanwhile
                if attempt == 2:
                    raise
            else:
                break

    @property
    def url(self) -> str:
        """As REDIS_URL has it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server on its port and return once it answers; else RuntimeError with its log."""
        log = self.folder / "redis.log"
        command = [self.program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", *self.options]
        with log.open("ab") as output:
            self.process = subprocess.Popen(tied(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.pid = self.process.pid
        client = redis.Redis("127.0.0.1", self.port, socket_timeout=2.0)

        def decided() -> bool:
            if self.process.poll() is not None:
                return True
            try:
                return bool(client.info("server")["process_id"] == self.pid)
            except redis.ConnectionError:
                return False

        try:
            wait_until(decided, f"an answer of {self.program}")
        except BaseException:
            self.kill()
            raise
        finally:
            client.close()
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.program} did not start:\n{log.read_text()[-2000:]}")

    def restart(self) -> None:
        """Start a stopped or killed server again: same port, no data."""
        self.stop()
        self.start()


def redis_program() -> str:
    """The Redis or Valkey on PATH; ServerUnavailable when there is none."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if not found:
        raise ServerUnavailable("there is neither redis-server nor valkey-server on PATH")
    return found


@contextlib.contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """A Redis of one's own for as long as the block lasts; options as on redis-server's command line."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-redis-") as folder:
        server = RedisServer(redis_program(), Path(folder), *options)
        try:
            yield server
        finally:
            server.stop()
