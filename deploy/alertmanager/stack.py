"""Real processes for the alerts' whole way: simulated products, Prometheus, Alertmanager, and who is told.

The configs are those of deploy/prometheus and deploy/alertmanager. What is changed in them is told in `changes`: times
are shortened, and the receiver is one's own. `pager.py` shows one product, tests/deploy/alerts judges several.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from deploy.local import ROOT, free_port, tied, wait_until
from flows.demo.simulator import HISTORY_EVENTS

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
FAST = ROOT / "deploy" / "alertmanager" / "fast.yaml"
START_SECONDS = 240.0
STOP_SECONDS = 30.0  # a demo compares its numbers before it ends
LAST_LINES = 15


class Unavailable(Exception):  # noqa: N818 - a state of the machine
    """A server is not on PATH; the message says which, and how to get it."""


class Ended(Exception):  # noqa: N818 - an outcome
    """A process has ended that should run on; the message has the end of its log."""


def changes(speed: float, webhook: str) -> dict[str, str]:
    """What is replaced in the configs, and by what, for products that live `speed` times as fast as time."""
    # A minute of the product's time; much less, and a busy machine could not answer a scrape before the next one.
    minute = f"{60_000 / speed:.0f}ms"
    return {
        "scrape_interval: 15s": f"scrape_interval: {minute}",
        "evaluation_interval: 15s": f"evaluation_interval: {minute}",
        "group_wait: 30s": "group_wait: 1s",
        "group_interval: 5m": "group_interval: 1s",
        "http://127.0.0.1:9095/": f"{webhook}/",
    }


def programs() -> tuple[str, str]:
    """Prometheus and Alertmanager, from PATH; Unavailable when one is missing."""
    prometheus = shutil.which("prometheus")
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")  # Debian's name, upstream's
    if prometheus and alertmanager:
        return prometheus, alertmanager
    missing = [name for name, found in (("prometheus", prometheus), ("alertmanager", alertmanager)) if not found]
    raise Unavailable(
        f"there is no {' and no '.join(missing)} on PATH (Debian: apt-get install prometheus prometheus-alertmanager)"
    )


@dataclass(frozen=True)
class Notified:
    """One alert of one notification."""

    receiver: str
    product: str
    alert: str
    which: str  # the labels that tell series of one alert apart
    status: str  # firing or resolved
    severity: str = field(compare=False)
    annotations: Mapping[str, str] = field(compare=False)


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
            receiver=body["receiver"],
            product=labels["product"],
            alert=labels["alertname"],
            which=which,
            status=alert["status"],
            severity=labels["severity"],
            annotations=alert["annotations"],
        )


@dataclass
class Child:
    """A process of the stack, with its log in a file."""

    title: str  # as a message has it
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise Ended when it has."""
        if (code := self.process.poll()) is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])
            raise Ended(f"{self.title} ended with exit code {code}; the end of its log:\n{last}")


@dataclass
class Product(Child):
    """A `tidegauge demo` of a product of its own."""

    name: str  # as all series have it
    speed: float
    port: int

    def switch(self) -> None:
        """Begin, or end, what befalls it."""
        self.process.send_signal(signal.SIGUSR1)

    @property
    def metrics(self) -> str:
        """The address of its page."""
        return f"http://127.0.0.1:{self.port}/metrics"


class Stack:
    """Everything together; `close` stops it. Unavailable, before anything starts, when a server is missing."""

    def __init__(self, folder: Path, speed: float, meets_s: float) -> None:
        self._prometheus, self._alertmanager = programs()
        self.folder = folder
        self.speed = speed
        self.webhook = Webhook()
        self.products: dict[str, Product] = {}
        self.closing = threading.Event()
        self.prometheus_url, self.alertmanager_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._meets = str(round(meets_s * 1000))
        self._children: list[Child] = []

    def product(self, name: str, inject: str, config: Mapping[str, Any], speed: float, rate: float) -> Product:
        """Start a product, which nothing befalls yet, and make its rules; `rate` is events per second of its time."""
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**config, "product": name}, sort_keys=False))
        pace = [] if speed == 1 else ["--speed", f"{speed:g}", "--meets", self._meets]
        rules = [sys.executable, "-m", "flows.app", "rules", "--config", str(file), "--out", str(self.folder / "rules")]
        made = subprocess.run([*rules, *pace], cwd=ROOT, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise Ended(f"tidegauge rules ended with exit code {made.returncode}: {made.stderr.strip()}")
        port, log = free_port(), self.folder / f"{name}.log"
        command = [
            sys.executable, "-m", "flows.app", "demo", "--plain", "--config", str(file), "--inject", inject,
            "--on-signal", "--partitions", "4", "--rate", f"{rate:g}", "--days", f"{HISTORY_EVENTS / rate / 86_400:g}",
            "--metrics-port", str(port), *pace,
        ]  # fmt: skip
        product = Product(f"the demo of {name}", self._start(command, log), log, name, speed, port)
        self._children.append(product)
        self.products[name] = product
        return product

    def watch(self) -> None:
        """Start Alertmanager and Prometheus with the products as targets; return once they answer."""
        targets = self.folder / "targets"
        targets.mkdir()
        alertmanager, prometheus = (url.removeprefix("http://") for url in (self.alertmanager_url, self.prometheus_url))
        addresses = [f"127.0.0.1:{product.port}" for product in self.products.values()]
        (targets / "tidegauge.yml").write_text(json.dumps([{"targets": addresses}]))
        (targets / "alertmanager.yml").write_text(json.dumps([{"targets": [alertmanager]}]))
        self._copy(ALERTMANAGER)
        self._copy(PROMETHEUS / "prometheus.yml")
        commands = {
            "alertmanager": [
                self._alertmanager, f"--config.file={self.folder / 'alertmanager.yml'}",
                f"--storage.path={self.folder / 'alertmanager'}", f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
            ],
            "prometheus": [
                self._prometheus, f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}", f"--web.listen-address={prometheus}",
            ],
        }  # fmt: skip
        for name, command in commands.items():
            log = self.folder / f"{name}.log"
            self._children.append(Child(name.title(), self._start(command, log), log))
        wait_until(self._answers, "an answer of Prometheus and Alertmanager", START_SECONDS, pause=0.1)

    def check(self) -> None:
        """Raise Ended when any of the processes has."""
        for child in self._children:
            child.check()

    def query(self, expression: str) -> list[float]:
        """The values of an instant query; none while Prometheus does not answer."""
        address = f"{self.prometheus_url}/api/v1/query?{urlencode({'query': expression})}"
        try:
            with urlopen(address, timeout=10) as answer:
                body = json.load(answer)
        except OSError:
            return []
        return [float(series["value"][1]) for series in body["data"]["result"]]

    def passed(self, product: Product, seconds: float) -> Callable[[], bool]:
        """Whether so much of the product's own time has passed since this was asked first."""
        clock = f'tidegauge:stream:watermark_seconds{{product="{product.name}"}}'
        times: list[float] = []

        def passed() -> bool:
            times.extend(self.query(clock))
            return times != [] and times[-1] >= times[0] + seconds

        return passed

    def _answers(self) -> bool:
        self.check()
        with contextlib.suppress(OSError), urlopen(f"{self.alertmanager_url}/-/ready", timeout=10):
            return self.query("vector(1)") == [1.0]
        return False

    def _copy(self, config: Path) -> None:
        text = config.read_text()
        for before, after in changes(self.speed, self.webhook.url).items():
            text = text.replace(before, after)
        (self.folder / config.name).write_text(text)

    def _start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(
                tied(command),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for who started the stack, and `close` stops it
            )

    def close(self) -> None:
        """Stop all processes; one that does not listen is killed."""
        for child in self._children:
            child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                # A Ctrl-C within `poll` can leave Popen's own lock held: a wait without a limit might never end.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(STOP_SECONDS)
        self.webhook.close()
