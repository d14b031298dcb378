"""`make look` without its browser: what it is pinned to, what it says where something is missing, what it serves."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from deploy.grafana.look import look
from deploy.grafana.look.look import HERE, permitted, served
from deploy.grafana.panels import DASHBOARDS

PACKAGES = json.loads((HERE / "package.json").read_text())
LOCK = json.loads((HERE / "package-lock.json").read_text())


class Answers(BaseHTTPRequestHandler):
    """A Prometheus that knows one query, and refuses all others."""

    def do_GET(self) -> None:
        """Its only answer."""
        known = self.path == "/api/v1/query?query=up"
        self.send_response(200 if known else 422)
        self.end_headers()
        self.wfile.write(b'{"status":"success"}' if known else b'{"status":"error","error":"no such thing"}')

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def prometheus() -> Iterator[str]:
    """Its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_every_package_is_pinned_by_hash_and_no_address_is_written_down() -> None:
    wanted = PACKAGES["dependencies"] | PACKAGES["devDependencies"]
    assert {name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == set()
    locked = {path.removeprefix("node_modules/"): one for path, one in LOCK["packages"].items() if path}
    assert {name: locked[name]["version"] for name in wanted} == wanted
    assert [name for name, one in locked.items() if not one["integrity"].startswith("sha512-")] == []
    assert "://" not in json.dumps(LOCK), "neither where packages come from nor who pays for them"
    assert "omit-lockfile-registry-resolved=true" in (HERE / ".npmrc").read_text()


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({}, "Chromium is not on PATH (Debian: apt-get install chromium)"),
        ({"chromium": ""}, "node is not on PATH (Debian: apt-get install nodejs npm)"),
        ({"chromium": "", "node": "v20.19.0"}, "npm is not on PATH (Debian: apt-get install nodejs npm)"),
        ({"chromium": "", "npm": "", "node": "v18.20.4"}, "node v18.20.4 is too old: install 20.19 or newer"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    there: dict[str, str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, prints in there.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {prints}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["look"])
    assert look.main() == 2
    assert capsys.readouterr().err == f"look: {told}\n"


def test_the_page_gets_its_dashboards_and_what_prometheus_answers_or_refuses(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the page")
    with prometheus() as behind, served(tmp_path, DASHBOARDS, behind) as address:

        def get(path: str) -> bytes:
            with urlopen(f"{address}{path}", timeout=10) as answer:
                return bytes(answer.read())

        assert get("/index.html") == b"the page"
        assert get("/dashboards/tidegauge-tree.json") == (DASHBOARDS / "tidegauge-tree.json").read_bytes()
        assert json.loads(get("/prometheus/api/v1/query?query=up")) == {"status": "success"}
        with pytest.raises(HTTPError) as refused:
            get("/prometheus/api/v1/query?query=nonsense")
        assert (refused.value.code, json.load(refused.value)["error"]) == (422, "no such thing")
    with served(tmp_path, DASHBOARDS, behind) as address, pytest.raises(HTTPError) as gone:
        get("/prometheus/api/v1/query?query=up")
    assert gone.value.code == 502


def test_only_what_one_process_alone_cannot_report_may_be_without_data() -> None:
    always = {
        "tidegauge-pipeline: Records behind open transactions",
        "tidegauge-pipeline: Waiting for open transactions",
        "tidegauge-pipeline: Parts that began later",
        "tidegauge-pipeline: CPU by process",
        "tidegauge-pipeline: Memory by process",
        "tidegauge-pipeline: Since a process was heard",
    } | {f"{uid}: Numbers of an earlier time" for uid in (file.stem for file in DASHBOARDS.glob("*.json"))}
    assert permitted(DASHBOARDS, {"window": "24h"}) == always
    assert permitted(DASHBOARDS, {}) == always
