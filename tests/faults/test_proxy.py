"""The network of the suite does what it is told."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import SLOW_SECONDS, Proxy


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        while data := self.request.recv(1000):
            self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = Proxy(server.server_address[1])
        yield proxy
        proxy.close()
        server.shutdown()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=30)


def ended(client: socket.socket) -> bool:
    """Wait for news: whether they are that the connection is over."""
    try:
        return not client.recv(100)
    except ConnectionError:
        return True


def test_in_fine_weather_bytes_go_there_and_back(proxy: Proxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended(proxy: Proxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        proxy.weather("cut")
        assert ended(client)
    with connected(proxy) as client:
        assert ended(client)
    proxy.weather("fine")
    with connected(proxy) as client:
        client.sendall(b"again")
        assert client.recv(100) == b"again"


def test_a_black_hole_keeps_connections_and_lets_nothing_through_until_it_is_gone(proxy: Proxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"one")
        assert client.recv(100) == b"one"
        proxy.weather("black hole")
        client.sendall(b"two")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(30)
        proxy.weather("fine")
        assert client.recv(100) == b"two"


def test_a_slow_way_takes_its_time(proxy: Proxy) -> None:
    proxy.weather("slow")
    began = time.monotonic()
    with connected(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
    assert time.monotonic() - began >= 2 * SLOW_SECONDS
