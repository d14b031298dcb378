"""What a scrape of /metrics costs the job: real GET requests, as Prometheus makes them, to a real process."""

from __future__ import annotations

import gzip
import http.client
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from deploy.bench import processes, stream
from deploy.bench.freshness import percentile
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.processes import RunFailed
from deploy.bench.stream import Stream
from deploy.bench.table import Row
from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.publish.prometheus.product import product_families
from tests.job.running import write_config
from tests.services import free_port, wait_until

START_SECONDS: Final = 120.0
HEADERS: Final = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
"""As Prometheus asks."""
REST_SECONDS: Final = 2.0
EVENTS: Final = 20_000
"""Enough that every ratio exists."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer."""

    took_ms: float
    sent_bytes: int  # on the wire
    page: bytes

    @property
    def series(self) -> int:
        """Lines that carry a value."""
        return sum(1 for line in self.page.splitlines() if line and not line.startswith(b"#"))


def config_of(series: int) -> Config:
    """The product of the bench with four windows, and as many values of one breakdown as make about so many series."""

    def product(values: int) -> Config:
        told: dict[str, Any] = stream.config().model_dump(mode="json", exclude_defaults=True)
        names = ["web", *(f"device-{number}" for number in range(values))]
        told["windows"] = ["5m", "1h", "24h", "7d"]
        told["breakdowns"] = {"platform": {"field": "context.device.type", "values": names}}
        return Config.model_validate(told)

    fewest, more = (count_of(product(values)) for values in (0, 1))
    return product(max(0, round((series - fewest) / (more - fewest))))


def count_of(config: Config) -> int:
    """Series of the product's own counts. They are always served, a ratio only where it is defined."""
    counts = replace(catalogue(config), derived=())
    return sum(len(family.series) for family in product_families(counts, config.product))


def fetch(port: int) -> Scrape:
    """One scrape on a connection of its own; RunFailed unless the answer is a page."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    try:
        connection.request("GET", "/metrics", headers=HEADERS)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    took_ms = (time.perf_counter() - began) * 1000
    if answer.status != http.HTTPStatus.OK:
        raise RunFailed(f"/metrics answered {answer.status}: {body[:200]!r}")
    packed = answer.headers.get("Content-Encoding") == "gzip"
    return Scrape(took_ms, len(body), gzip.decompress(body) if packed else body)


def scrapes(laboratory: Laboratory, series: int, times: int) -> list[Row]:
    """The cost of one scrape of about `series` series, from so many in a row."""
    say(f"{times} scrapes of about {series:,} series")
    topic = Topic(laboratory, Stream(EVENTS // 10))
    topic.grow(EVENTS)
    config = config_of(series)
    file = write_config(laboratory.folder / f"scraped-{series}.yaml", config)
    port = free_port()
    laboratory.empty_redis()
    with laboratory.state() as state:
        job = laboratory.job(topic, state=state, config=file, metrics=f"127.0.0.1:{port}")
        try:
            wait_until(
                lambda: laboratory.live().get("_consumed") == str(EVENTS) or job.poll() is not None,
                "the end of the topic",
                START_SECONDS,
            )
            if job.poll() is not None:
                raise RunFailed(f"the job has ended early:\n{laboratory.last_words()}")
            fetch(port)  # the first one builds what the later ones use
            resting = _cpu_share(job.pid, REST_SECONDS)
            cpu_s, clock_s = processes.cpu_seconds(job.pid), time.monotonic()
            answers = [fetch(port) for _ in range(times)]
            took_s = time.monotonic() - clock_s
            cpu_s = processes.cpu_seconds(job.pid) - cpu_s - resting * took_s
        finally:
            processes.end(job)
    last = answers[-1]
    took_ms = [answer.took_ms for answer in answers]
    section = f"a scrape of about {series:,} series"
    return [
        Row(section, "series served, the process's own among them", last.series),
        Row(section, "size of the page", len(last.page), "bytes"),
        Row(section, "sent, compressed", last.sent_bytes, "bytes"),
        Row(section, "CPU of the job", max(0.0, cpu_s) / times * 1000, "ms"),
        Row(section, "time of the request, p50", percentile(took_ms, 0.5), "ms"),
        Row(section, "time of the request, p99", percentile(took_ms, 0.99), "ms"),
    ]


def _cpu_share(pid: int, seconds: float) -> float:
    """The share of a core that a process takes while nobody asks it anything."""
    cpu_s, clock_s = processes.cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (processes.cpu_seconds(pid) - cpu_s) / (time.monotonic() - clock_s)
