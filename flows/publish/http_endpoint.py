"""A small HTTP server for pages about this process: GET only, bounded in threads and time, silent in the log.

It answers monitoring systems, so it must neither hold the flow up nor be held up: each request has a thread
of its own, there are few of them, and no connection lives longer than its deadline, however slowly its
bytes drip in. Only a stream goes on, for as long as its client takes what is sent.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, BinaryIO, Final, Protocol, cast

LOOPBACK: Final = "127.0.0.1"

REQUEST_THREADS: Final = 8
"""Requests answered at the same time; a pair of Prometheus servers and a kubelet need three."""

REQUEST_BYTES: Final = 16 * 1024
"""A longer request is cut off; that of Prometheus has half a kilobyte."""

REQUEST_SECONDS: Final = 10.0
"""A connection older than this is cut; a scrape takes well under one second."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered to a request."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    encoding: str | None = None  # Content-Encoding of `body`
    headers: Mapping[str, str] = field(default_factory=dict)  # further ones


class Chunks(Protocol):
    """What a stream sends, a piece every few seconds at least, or nobody notices that a client has gone."""

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, each when it is there."""

    def close(self) -> None:
        """The stream is over, whoever ended it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end."""

    chunks: Chunks
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[str, Message], Page | Stream]
"""From a path (without query) and the request's headers to what is answered."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9108`, `[::1]:9108`, `:9108` or `9108`; without a host it is loopback."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not port.isascii() or not port.isdecimal() or int(port) > 65_535 or (":" in host and "[" not in text):
        raise ValueError(f"{text!r} is no address to listen on; expected host:port, such as {LOOPBACK}:9108")
    return host or LOOPBACK, int(port)


class HttpEndpoint:
    """Answers GET requests on `address` from `start` to `close`; port 0 takes any free one.

    Raises ValueError for an address that is none, OSError when it cannot be listened on.
    """

    def __init__(
        self,
        address: str,
        answer: Answer,
        *,
        request_threads: int = REQUEST_THREADS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        host, port = parse_address(address)
        try:
            self._server = _Server(host, port, answer, request_threads, request_seconds)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.2},
            name="http-endpoint",
            daemon=True,
        )

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, host: str, port: int, answer: Answer, request_threads: int, request_seconds: float) -> None:
        with suppress(ValueError):
            if ipaddress.ip_address(host).version == 6:
                self.address_family = socket.AF_INET6
        self.answer = answer
        self.request_seconds = request_seconds
        self._free = threading.BoundedSemaphore(request_threads)
        self._open: dict[socket.socket, float] = {}  # connection -> when it was accepted
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server what this host is called, as HTTPServer does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection to a thread, or turn it away when all are busy."""
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        with self._lock:
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in this thread, and give it back whatever happens."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)
            self._free.release()

    def service_actions(self) -> None:
        """Cut connections that have outlived their deadline: their thread finds the end of input."""
        oldest = time.monotonic() - self.request_seconds
        with self._lock:
            for request, accepted in self._open.items():
                if accepted < oldest:
                    with suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)

    def let_go_on(self, request: socket.socket) -> None:
        """Set no deadline to this connection any more: only to each piece that is sent on it."""
        with self._lock:
            self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is its own affair."""


class _Bounded:
    """The first `left` bytes of what a client sends; then its input has ended."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self.left = left
        self.close = file.close
        self.closed = False

    def readline(self, size: int = -1) -> bytes:
        """The next line, as far as it goes."""
        line = self._file.readline(self.left if size < 0 else min(size, self.left))
        self.left -= len(line)
        return line


class _Handler(BaseHTTPRequestHandler):
    server_version = "tidegauge"
    sys_version = ""

    def setup(self) -> None:
        """Wait no longer for any byte than the whole connection may last."""
        self.request.settimeout(cast(_Server, self.server).request_seconds)
        super().setup()
        self._input = _Bounded(cast(BinaryIO, self.rfile), REQUEST_BYTES)
        self.rfile = cast(Any, self._input)

    def parse_request(self) -> bool:
        """Read the request's line and headers; False when it has been answered with what is wrong."""
        if not super().parse_request():
            return False
        if self._input.left == 0:
            sorry = b"This request is too long.\n"
            self._send(Page(sorry, status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
            return False
        return True

    def do_GET(self) -> None:
        """Answer with the page of this path."""
        try:
            page = cast(_Server, self.server).answer(self.path.partition("?")[0], self.headers)
            if isinstance(page, Stream):
                return self._stream(page)
        except Exception:
            logger.exception("The page %s cannot be made.", self.path.partition("?")[0][:100])
            sorry = b"This page cannot be made; the log says why.\n"
            page = Page(sorry, status=HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(page)

    def _stream(self, stream: Stream) -> None:
        """Send all of it; a client that takes nothing for as long as a request may last has gone."""
        try:
            cast(_Server, self.server).let_go_on(self.request)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", stream.content_type)
            self.send_header("Cache-Control", "no-store")
            for name, value in stream.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for chunk in stream.chunks:
                self.wfile.write(chunk)
        except OSError:
            pass  # the client has gone
        finally:
            stream.chunks.close()

    def _refuse(self) -> None:
        self._send(Page(b"Only GET is answered here.\n", status=HTTPStatus.METHOD_NOT_ALLOWED))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815 - the library's names

    def _send(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        if page.encoding is not None:
            self.send_header("Content-Encoding", page.encoding)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if page.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Normal operation logs nothing, and a client must not be able to fill the log."""
