"""Real processes for the alerts' whole way: simulated products, Prometheus, Alertmanager, and who is told.

The configs are those of deploy/prometheus and deploy/alertmanager. What the tests change in them is told in
`CHANGES`: times are shortened, and the receiver is the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.services import ROOT, ServerUnavailable, free_port, tied, wait_until

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
START_SECONDS = 240.0

SPEED = float(os.environ.get("ALERTS_SPEED", "30"))
"""How fast the products live. The faster, the less a busy machine can keep up: at 30, ten seconds are five minutes."""

CHANGES = {
    # A minute of the product's time; much less, and a busy machine could not answer a scrape before the next one.
    "scrape_interval: 15s": f"scrape_interval: {60_000 / SPEED:.0f}ms",
    "evaluation_interval: 15s": f"evaluation_interval: {60_000 / SPEED:.0f}ms",
    "group_wait: 30s": "group_wait: 1s",
    "group_interval: 5m": "group_interval: 1s",
    "http://127.0.0.1:9095/": "{webhook}/",
}
"""What is replaced in the configs, and by what."""


def program(name: str) -> str:
    """A server on PATH; ServerUnavailable when there is none."""
    found = shutil.which(name)
    if found is None:
        raise ServerUnavailable(
            f"there is no {name} on PATH (Debian: apt-get install prometheus prometheus-alertmanager)"
        )
    return found


@dataclass(frozen=True)
class Notified:
    """One alert of one notification."""

    receiver: str
    product: str
    alert: str
    which: str  # the labels that tell series of one alert apart
    status: str  # firing or resolved
    annotations: Mapping[str, str] = field(compare=False, hash=False)


class Webhook:
    """Takes down what Alertmanager sends."""

    def __init__(self) -> None:
        self.notified: list[Notified] = []
        notified = self.notified

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                notified.extend(_read(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def of(self, product: str, status: str) -> set[tuple[str, str]]:
        """(alert, which) of all that was told of a product."""
        told = list(self.notified)
        return {(one.alert, one.which) for one in told if one.product == product and one.status == status}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _read(body: Mapping[str, Any]) -> Iterator[Notified]:
    for alert in body["alerts"]:
        labels = alert["labels"]
        which = ",".join(f"{name}={labels[name]}" for name in sorted(labels) if name in ("funnel", "what", "kind"))
        yield Notified(
            body["receiver"], labels["product"], labels["alertname"], which, alert["status"], alert["annotations"]
        )


@dataclass
class Product:
    """A `tidegauge demo` of a product of its own."""

    name: str
    inject: str
    speed: float
    config: Path
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def switch(self) -> None:
        """Begin, or end, what befalls it."""
        self.process.send_signal(signal.SIGUSR1)

    def check(self) -> None:
        """Fail when it has ended."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]


class Stack:
    """Everything together; `close` stops it."""

    def __init__(self, folder: Path, meets_s: float) -> None:
        self.folder = folder
        self.webhook = Webhook()
        self.products: dict[str, Product] = {}
        self.closing = threading.Event()
        self._meets = str(round(meets_s * 1000))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._prometheus_port = 0

    def product(self, name: str, inject: str, config: Mapping[str, Any], speed: float, rate: float) -> None:
        """Start a product, which nothing befalls yet, and make its rules."""
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"product": name, **config}, sort_keys=False))
        pace = [] if speed == 1 else ["--speed", f"{speed:g}", "--meets", self._meets]
        rules = [sys.executable, "-m", "flows.app", "rules", "--config", str(file), "--out", str(self.folder / "rules")]
        subprocess.run([*rules, *pace], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        port, log = free_port(), self.folder / f"{name}.log"
        command = [
            sys.executable, "-m", "flows.app", "demo", "--plain", "--config", str(file), "--inject", inject,
            "--on-signal", "--partitions", "4", "--rate", f"{rate:g}", "--metrics-port", str(port), *pace,
        ]  # fmt: skip
        process = self._start(command, log)
        self.products[name] = Product(name, inject, speed, file, process, port, log)

    def watch(self) -> None:
        """Start Alertmanager and Prometheus with the products as targets."""
        alertmanager = free_port()
        self._prometheus_port = free_port()
        targets = self.folder / "targets"
        targets.mkdir()
        addresses = [f"127.0.0.1:{product.port}" for product in self.products.values()]
        (targets / "tidegauge.yml").write_text(json.dumps([{"targets": addresses}]))
        (targets / "alertmanager.yml").write_text(json.dumps([{"targets": [f"127.0.0.1:{alertmanager}"]}]))
        self._copy(ALERTMANAGER)
        self._copy(PROMETHEUS / "prometheus.yml")
        self._start(
            [
                program("prometheus-alertmanager"), f"--config.file={self.folder / 'alertmanager.yml'}",
                f"--storage.path={self.folder / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{alertmanager}",
                "--cluster.listen-address=",
            ],
            self.folder / "alertmanager.log",
        )  # fmt: skip
        self._start(
            [
                program("prometheus"), f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._prometheus_port}",
            ],
            self.folder / "prometheus.log",
        )  # fmt: skip
        wait_until(lambda: self.query("vector(1)") == [1.0], "an answer of Prometheus", START_SECONDS)

    def query(self, expression: str) -> list[float]:
        """The values of an instant query; none while Prometheus does not answer."""
        address = f"http://127.0.0.1:{self._prometheus_port}/api/v1/query?{urlencode({'query': expression})}"
        try:
            with urlopen(address, timeout=10) as answer:
                body = json.load(answer)
        except OSError:
            return []
        return [float(series["value"][1]) for series in body["data"]["result"]]

    def _copy(self, config: Path) -> None:
        text = config.read_text()
        for before, after in CHANGES.items():
            text = text.replace(before, after.format(webhook=self.webhook.url))
        (self.folder / config.name).write_text(text)

    def _start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                tied(command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Stop all processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self.webhook.close()
