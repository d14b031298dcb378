"""Whoever reaches the metrics endpoint can read numbers there, and neither stop the job nor make it grow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from flows.config.settings import Settings
from flows.publish.http_endpoint import REQUEST_BYTES, HttpEndpoint, Page
from tests.security.test_hostile_events import NOW_MS, living, of_one_user, produce
from tests.services import KafkaBroker, RedisServer, wait_until

CONNECTIONS = 300


@pytest.fixture
def port() -> Iterator[int]:
    """An endpoint that answers every path with the number of its headers."""
    endpoint = HttpEndpoint("127.0.0.1:0", lambda path, headers: Page(str(len(headers)).encode()))
    endpoint.start()
    yield endpoint.port
    endpoint.close()


def answer(port: int, request: bytes) -> bytes:
    """All that comes back; a connection that is cut while it is still being sent to has an answer, too."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        received = b""
        try:
            connection.sendall(request)
            while more := connection.recv(65_536):
                received += more
        except ConnectionError:
            pass
        return received


def test_a_request_of_the_usual_size_is_answered(port: int) -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(20))
    assert answer(port, b"GET / HTTP/1.1\r\n" + headers + b"\r\n").endswith(b"\r\n\r\n20")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * REQUEST_BYTES + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * REQUEST_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 90 + b"Y: " + b"b" * REQUEST_BYTES + b"\r\n\r\n",
        b"G" * 10_000_000,
    ],
    ids=["path", "header", "headers", "no line at all"],
)
def test_a_request_that_is_too_long_is_read_no_further_than_the_limit(request_bytes: bytes, port: int) -> None:
    assert b" 200 " not in answer(port, request_bytes)[:20]
    assert answer(port, b"GET / HTTP/1.1\r\n\r\n").endswith(b"0")


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert Settings().metrics_address.startswith("127.0.0.1:")


@pytest.mark.usefixtures("kafka_jars")
def test_slow_and_countless_connections_stop_neither_the_job_nor_later_scrapes(
    kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path
) -> None:
    with (
        living(kafka, redis_server, tmp_path, of_one_user(0, 1000, "Product Viewed")) as life,
        ExitStack() as open_ones,
    ):
        life.read(1000)
        life.look()
        memory = life.memory_kib()
        slow = []
        for number in range(CONNECTIONS):
            connection = open_ones.enter_context(
                closing(socket.create_connection(("127.0.0.1", life.port), timeout=60))
            )
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX-%d: " % number)
            slow.append(connection)
        produce(kafka, life.topic, of_one_user(1000, 2000, "Product Viewed"))
        life.read(3000)  # while they are open
        published = int(life.client.hget("tidegauge:v1:{shop}:live", "_published_at") or 0)
        for connection in slow:
            try:
                connection.sendall(b"y" * 100)  # a drip keeps no connection open
            except ConnectionError:
                continue
        assert published > NOW_MS

        def scraped() -> bool:
            try:
                life.look()
            except OSError:
                return False
            return True

        wait_until(scraped, "a scrape, once the slow ones have been cut", 120)
        assert life.memory_kib() - memory < 64 * 1024
        assert life.stop().code == 0
