"""Draws the dashboards as Grafana would: one picture for each row of each dashboard, in light and dark.

    make look
    make look LOOK="--rows now --minutes 3"

Runs the demo with a Prometheus of its own, waits for `--minutes` of data, and has headless Chromium draw the committed
dashboards with Grafana's own components. With --prometheus, it draws what that Prometheus has.

Exit codes: 0 all drawn, 1 a panel failed or has no data, 2 a program is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from deploy.grafana.panels import (
    DASHBOARDS,
    Failed,
    dashboards,
    demo,
    free_port,
    may_be_empty,
    prometheus_on,
    questions,
    until_all_answer,
)

HERE = Path(__file__).parent
OUT = HERE.parents[2] / "build" / "look"
SCRAPE_SECONDS = 5
NODE = (20, 19)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
THEMES = ("dark", "light")
SOURCES = ("package-lock.json", "index.html", "vite.config.ts", *(f"src/{name}" for name in ("*.ts", "*.tsx")))


class Missing(Exception):  # noqa: N818 - a state of the machine
    """A program is not there; the message says which, and how to get it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What `pictures.mjs` is to draw; `parameters` go into the page's address."""

    address: str
    chromium: str
    out: str
    dashboards: list[str]
    themes: list[str]
    rows: list[str]  # parts of their titles; empty: all
    parameters: dict[str, str]


# ---------------------------------------------------------------------------------------------------- what is needed


def chromium() -> str:
    """The browser; Missing when none is on PATH."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise Missing("Chromium is not on PATH (Debian: apt-get install chromium)")


def need_node() -> None:
    """Missing when Node.js or npm is not on PATH, or too old."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not on PATH (Debian: apt-get install nodejs npm)")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")[:2]) < NODE:
        raise Missing(f"node {version} is too old: install {NODE[0]}.{NODE[1]} or newer")


def built() -> Path:
    """The folder of the page that draws, built anew when its sources or its packages have changed."""
    page, packages = HERE / "dist", HERE / "node_modules" / ".package-lock.json"
    if not packages.exists() or packages.stat().st_mtime < (HERE / "package-lock.json").stat().st_mtime:
        print("look: fetching Grafana's libraries (480 MB, once)", file=sys.stderr)
        _npm("ci", "--ignore-scripts", "--no-progress", "--loglevel=error")
    newest = max(file.stat().st_mtime for pattern in SOURCES for file in HERE.glob(pattern))
    if not (page / "index.html").exists() or (page / "index.html").stat().st_mtime < newest:
        print("look: building the page, which takes a minute or two", file=sys.stderr)
        _npm("run", "--silent", "build")
    return page


def _npm(*arguments: str) -> None:
    done = subprocess.run(["npm", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"npm {arguments[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")


# ------------------------------------------------------------------------------------------------------- the page


class Server(ThreadingHTTPServer):
    """A browser that closes before it has read an answer is no error."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong with a request."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(SimpleHTTPRequestHandler):
    """Serves the page, the dashboards' files, and Prometheus's API below `/prometheus`."""

    def __init__(self, *args: Any, page: Path, folder: Path, prometheus: str, **kwargs: Any) -> None:
        self._folder, self._prometheus = folder, prometheus
        super().__init__(*args, directory=str(page), **kwargs)

    def do_GET(self) -> None:
        """One file, or one question to Prometheus."""
        if self.path.startswith("/prometheus/"):
            self._ask(self._prometheus + self.path.removeprefix("/prometheus"))
        elif self.path.startswith("/dashboards/"):
            self._send(HTTPStatus.OK, (self._folder / Path(self.path).name).read_bytes())
        else:
            super().do_GET()

    def _ask(self, url: str) -> None:
        try:
            with urlopen(url, timeout=60) as answer:
                self._send(HTTPStatus.OK, answer.read())
        except HTTPError as refusal:
            self._send(HTTPStatus(refusal.code), refusal.read())
        except OSError as error:
            self._send(HTTPStatus.BAD_GATEWAY, json.dumps({"status": "error", "error": str(error)}).encode())

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: only what fails is told, by the page."""


@contextlib.contextmanager
def served(page: Path, folder: Path, prometheus: str) -> Iterator[str]:
    """The page on a free port of the loopback, as long as the block runs; its address."""
    handler = partial(Handler, page=page, folder=folder, prometheus=prometheus)
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


# ------------------------------------------------------------------------------------------------------- the pictures


@contextlib.contextmanager
def data(minutes: float, folder: Path, chosen: dict[str, str], options: Sequence[str]) -> Iterator[str]:
    """A Prometheus that has `minutes` of a running demo; its address."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegauge-look-")))
        address = stack.enter_context(demo(scratch, *options))
        url = stack.enter_context(prometheus_on(address, scratch, free_port(), scrape_seconds=SCRAPE_SECONDS))
        print(f"look: waiting for {minutes:g} min of data; Prometheus is {url}", file=sys.stderr)
        wanted = [question for found in dashboards(folder).values() for question in questions(found, chosen)]
        until_all_answer(url, wanted)
        time.sleep(60 * minutes)
        yield url


def drawn(order: Order) -> tuple[list[Path], list[str]]:
    """The pictures, and what went wrong in words; Failed when the browser cannot draw at all."""
    for uid in order.dashboards:
        (Path(order.out) / uid).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({name: getattr(order, name) for name in Order.__slots__}, file)
        file.flush()
        command = ["node", str(HERE / "pictures.mjs"), file.name]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"the browser could not draw:\n{done.stderr[-3000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    faults = [f"{line['dashboard']} ({line['theme']}): {fault}" for line in lines for fault in line.get("faults", ())]
    faults += [
        f"{line['dashboard']}: {panel}: no data"
        for line in lines
        if line.get("theme") == order.themes[0]
        for panel in line["empty"]
    ]
    return [Path(line["picture"]) for line in lines if "picture" in line], faults


def permitted(folder: Path, chosen: dict[str, str]) -> set[str]:
    """`uid: panel` of those that may be without data: every query of theirs may be empty."""
    asked: dict[str, list[bool]] = {}
    for found in dashboards(folder).values():
        for question in questions(found, chosen):
            asked.setdefault(f"{question.dashboard}: {question.panel}", []).append(may_be_empty(question))
    return {panel for panel, empty in asked.items() if all(empty)}


def main() -> int:
    """See the module for the exit codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", metavar="URL", help="draw what this one has; default: one on a demo")
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS, metavar="FOLDER", help="default: the committed")
    parser.add_argument("--minutes", type=float, default=5, help="of data to wait for, and to draw (default: 5)")
    parser.add_argument("--later", type=float, default=0, metavar="MINUTES", help="draw as seen so much after now")
    parser.add_argument("--rows", nargs="*", default=[], metavar="TITLE", help="only rows with this in their titles")
    parser.add_argument("--only", nargs="*", default=[], metavar="UID", help="only these dashboards")
    parser.add_argument("--theme", choices=THEMES, help="only this one; default: both")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="what a variable stands for")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help="default: build/look")
    parser.add_argument("--demo", default="", metavar="OPTIONS", help='of the demo, as "--rate 1000"')
    args = parser.parse_args()
    chosen = dict(text.split("=", 1) for text in args.set)
    try:
        browser = chromium()
        need_node()
        page = built()
        with contextlib.ExitStack() as stack:
            prometheus = args.prometheus or stack.enter_context(
                data(args.minutes, args.dashboards, chosen, args.demo.split())
            )
            address = stack.enter_context(served(page, args.dashboards, prometheus.rstrip("/")))
            order = Order(
                address,
                browser,
                str(args.out.resolve()),
                [uid for uid in dashboards(args.dashboards) if not args.only or uid in args.only],
                [args.theme] if args.theme else list(THEMES),
                args.rows,
                {
                    "to": f"{time.time() + 60 * args.later:.0f}",
                    "minutes": f"{args.minutes:g}",
                    "step": str(max(SCRAPE_SECONDS, round(60 * args.minutes / 400))),
                    **{f"var-{name}": value for name, value in chosen.items()},
                },
            )
            pictures, faults = drawn(order)
    except Missing as missing:
        print(f"look: {missing}", file=sys.stderr)
        return 2
    except Failed as failure:
        print(f"look: {failure}", file=sys.stderr)
        return 1
    allowed = permitted(args.dashboards, chosen)
    wrong = [fault for fault in faults if fault.removesuffix(": no data") not in allowed]
    for picture in pictures:
        print(picture)
    print(f"look: {len(pictures)} pictures in {args.out}", *wrong, sep="\n  ", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
