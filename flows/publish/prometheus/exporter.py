"""Answers Prometheus, and whoever asks if the process is alive.

Product numbers are read from one immutable snapshot that `update` swaps whole, so a page never mixes two ticks.
Counters count from this process's start: the snapshot's totals since the beginning, minus those that the process began
with.

A page is rendered anew for each scrape: Prometheus asks every 15 s and snapshots come every 0.5 s, so one kept for the
next scrape would never be used.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from gzip import compress
from http import HTTPStatus
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from flows.messages.snapshot import Snapshot
from flows.metrics.cells import Tally
from flows.process.health import Health, Reading
from flows.publish.http_endpoint import HttpEndpoint, Page
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.product import Catalogue, product_families, product_page, top_page
from flows.publish.prometheus.samples import tally_families


@dataclass(frozen=True, slots=True)
class _HealthOf(Collector):
    """What one scrape tells besides the product numbers, for the library to encode."""

    snapshot: Snapshot | None
    base: Snapshot | None
    reading: Reading
    tallies: Sequence[Tally]
    product: str
    process: Collector

    def collect(self) -> Iterator[Any]:
        """All families of one moment."""
        yield from tally_families(self.tallies, self.snapshot, self.base)
        yield from health_families(self.snapshot, self.base, self.reading, self.product)
        yield from self.process.collect()


class Exporter:
    """Listens on `address` (loopback unless it names a host; port 0: any) and answers there.

    `/metrics` in the text or OpenMetrics format, `/livez` and `/readyz` with 200 or 503 and a JSON body
    that says why, and what the numbers wait for though nothing is wrong. Raises ValueError for a catalogue
    that cannot be shown, see `product_families`, or an address that is none, and OSError when the address
    cannot be listened on. `update` may be called from any one thread.
    """

    def __init__(
        self, address: str, catalogue: Catalogue, health: Health, *, product: str, lists: Collection[str] = ()
    ) -> None:
        self._health = health
        self._product = product
        self._lists = lists  # top lists whose values are labels
        self._families = product_families(catalogue, product)
        self._tallies = catalogue.tallies
        self._process = ProcessCollector(registry=None)  # CPU, memory and open files of this process
        self._snapshot: Snapshot | None = None
        self._base: Snapshot | None = None
        self._endpoint = HttpEndpoint(address, self._answer)

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._endpoint.port

    def start(self) -> None:
        """Begin to answer."""
        self._endpoint.start()

    def start_from(self, snapshot: Snapshot) -> None:
        """Count from `snapshot`, with which the process resumed. Without this call, count from zero."""
        self._base = snapshot

    def update(self, snapshot: Snapshot) -> None:
        """Show `snapshot` from now on."""
        self._snapshot = snapshot

    def close(self) -> None:
        """Stop answering and free the port."""
        self._endpoint.close()

    def _answer(self, path: str, headers: Message) -> Page:
        match path:
            case "/metrics":
                return self._metrics(headers)
            case "/livez":
                reading = self._health.read()
                return _verdict(reading.live, [reading.fatal] if reading.fatal else [], reading)
            case "/readyz":
                reading = self._health.read()
                return _verdict(reading.ready, reading.problems, reading)
            case "/":
                return Page(b"Tidegauge: /metrics /livez /readyz\n")
        return Page(b"There is only /metrics, /livez and /readyz.\n", status=HTTPStatus.NOT_FOUND)

    def _metrics(self, headers: Message) -> Page:
        encode, content_type = choose_encoder(headers.get("Accept", ""))
        snapshot = self._snapshot
        numbers = product_page(self._families, snapshot.cells if snapshot else {})
        numbers += top_page(snapshot.top if snapshot else {}, self._lists, self._product)
        health = _HealthOf(snapshot, self._base, self._health.read(), self._tallies, self._product, self._process)
        body = numbers.encode() + encode(health)
        if gzip_accepted(headers.get("Accept-Encoding", "")):
            # Level 1 takes a fifth of the time of the default for a tenth more bytes.
            return Page(compress(body, compresslevel=1), content_type, encoding="gzip")
        return Page(body, content_type)


def _verdict(good: bool, problems: Sequence[str], reading: Reading) -> Page:
    body = {
        "ok": good,
        "problems": list(problems),
        "waits": list(reading.waits),
        "version": reading.version,
        "started_at": reading.started_at,
        "caught_up": reading.caught_up,
        "redis_reachable": reading.redis_reachable,
    }
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(json.dumps(body).encode() + b"\n", "application/json", status)
