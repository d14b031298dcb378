"""The live page over HTTP: GET only, for this machine unless told otherwise, and nothing on it comes from elsewhere.

`/` and its files are the same for every product; `/layout` says what to show, `/stream` what the numbers are,
`/minutes/F` the course of a field of the minutes, `/days` the days that have closed, `/definition/C` what there is to
say about a cell. The content security policy allows scripts and styles of this server alone and no text as markup, so
that nothing Redis holds can become a program.
"""

from __future__ import annotations

import importlib.resources
import ipaddress
import json
import threading
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import timedelta
from email.message import Message
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import redis

from flows.client.reader import LiveNumbers
from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.publish.http_endpoint import HttpEndpoint, Page, Stream, parse_address
from flows.web.cards import Layout
from flows.web.definitions import Definitions, UnknownCell
from flows.web.hub import MOST_PAGES, PATIENCE_SECONDS, Hub
from flows.web.layout import layout

T = TypeVar("T")
DEFAULT_ADDRESS: Final = "127.0.0.1:9161"
DAYS_SHOWN: Final = 50
REQUESTS: Final = 8
"""Answered at the same time, besides the streams."""

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class LivePage:
    """Serves the page of one product from `start` to `close`.

    `names` are hosts that a browser may know this server by, besides loopback and the address itself. Raises ValueError
    for an address that is none, OSError when it cannot be listened on, RedisRefused for an unusable address of Redis.
    """

    def __init__(self, config: Config, redis_url: str, address: str, names: Collection[str] = ()) -> None:
        listed = catalogue(config)
        self._config = config
        self._url = redis_url
        self._definitions = Definitions(config, listed)
        page = layout(config, listed)
        self._layout = _json(_told(page))
        self._hub = Hub(redis_url, config, listed, page)
        self._asking = threading.Lock()  # questions are answered one by one
        self._numbers: LiveNumbers | None = None
        host, _ = parse_address(address)
        self._host = host
        self._names = {"localhost", "127.0.0.1", "::1", *(name.lower() for name in names)}
        if not _is_any(host):
            self._names.add(host.lower())
        self._files = _files()
        self._endpoint = HttpEndpoint(address, self._answer, request_threads=MOST_PAGES + REQUESTS)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = "127.0.0.1" if _is_any(self._host) else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._endpoint.port}/"

    @property
    def pages(self) -> int:
        """How many are open."""
        return self._hub.pages

    def start(self) -> None:
        """Begin to answer."""
        self._hub.start()
        self._endpoint.start()

    def close(self) -> None:
        """Stop answering, end all streams, and free the port."""
        self._hub.close()
        self._endpoint.close()
        with self._asking:
            self._forget()

    def _answer(self, path: str, headers: Message) -> Page | Stream:
        host = str(headers.get("Host", ""))
        if _host_of(host) not in self._names:
            name = _host_of(host) or "HOST"
            return _said(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"This page is not served under the name {name[:100]!r}. To allow it: --allow-host {name[:100]}",
            )
        if path == "/stream":
            listener = self._hub.listen()
            if listener is None:
                return _said(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_PAGES} pages are open; close one of them.")
            return Stream(listener, "text/event-stream", HEADERS)
        if path == "/layout":
            return Page(self._layout, "application/json", headers=HEADERS)
        first, _, rest = path[1:].partition("/")
        if first == "minutes" and (course := self._hub.course(unquote(rest))) is not None:
            return Page(_json(course), "application/json", headers=HEADERS)
        if path == "/days":
            return self._days()
        if first == "definition":
            return self._definition(unquote(rest))
        if (file := self._files.get(path)) is not None:
            return file
        return _said(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _definition(self, cell: str) -> Page:
        """What there is to say about a cell, with its inputs as they are now."""
        try:
            definition = self._definitions.of(cell)
        except UnknownCell as unknown:
            return _said(HTTPStatus.NOT_FOUND, str(unknown))
        names = [cell, *(one.cell for one in definition.inputs), *definition.since_fields]
        fields = self._ask(lambda numbers: numbers.read(*names).fields)
        return Page(_json(definition.told(fields or {})), "application/json", headers=HEADERS)

    def _days(self) -> Page:
        """The days that have closed lately, the newest first; those without an event are left out."""

        def read(numbers: LiveNumbers) -> list[dict[str, Any]]:
            watermark = numbers.read("_watermark").watermark
            if watermark is None:
                return []
            today = watermark.astimezone(ZoneInfo(self._config.time_zone)).date()
            dates = [today - timedelta(age) for age in range(1, DAYS_SHOWN + 1)]
            found = zip(dates, numbers.days(dates), strict=True)
            return [{"date": day.isoformat(), "numbers": counts} for day, counts in found if counts]

        return Page(_json({"days": self._ask(read) or []}), "application/json", headers=HEADERS)

    def _ask(self, question: Callable[[LiveNumbers], T]) -> T | None:
        """What Redis says, one question at a time; None when it does not answer."""
        with self._asking:
            try:
                if self._numbers is None:
                    self._numbers = LiveNumbers(self._url, self._config.product, patience_seconds=PATIENCE_SECONDS)
                return question(self._numbers)
            except redis.RedisError:
                self._forget()
                return None

    def _forget(self) -> None:
        if self._numbers is not None:
            self._numbers.close()
            self._numbers = None


def _told(page: Layout) -> dict[str, Any]:
    """The layout as JSON has it: each section with its width."""
    sections = [asdict(one) | {"columns": one.columns} for one in page.sections]
    return asdict(page) | {"sections": sections}


def _json(told: object) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def _said(status: HTTPStatus, text: str) -> Page:
    return Page(f"{text}\n".encode(), status=status, headers=HEADERS)


def _files() -> dict[str, Page]:
    """The files of the page, by path."""
    found = {}
    for file in importlib.resources.files("flows.web").joinpath("static").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found[f"/{file.name}"] = Page(file.read_bytes(), kind, headers=HEADERS)
    return {"/": found["/index.html"], **found}


def _host_of(header: str) -> str:
    """The host of a Host header, without its port."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_any(host: str) -> bool:
    """Whether the address means every address of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
