"""What the server of the live page answers, to whom, and what it reads."""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from flows.app import main
from flows.commands import web
from flows.web.server import HEADERS, LivePage
from tests.publish.test_redis import Run, snapshot
from tests.services import RedisServer, wait_until
from tests.test_architecture import ROOT
from tests.web.conftest import publish

STATIC = ROOT / "flows" / "web" / "static"


def ask(served: LivePage, path: str = "/", host: str | None = None, method: str = "GET") -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", int(served.url.rpartition(":")[2].rstrip("/")), timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or served.url.removeprefix("http://").rstrip("/"))
    connection.endheaders()
    return connection.getresponse()


def test_every_answer_carries_the_policy(served: LivePage) -> None:
    for path in ("/", "/page.js", "/layout", "/definition/mrr", "/minutes/events", "/nothing", "/stream"):
        answer = ask(served, path)
        assert dict(answer.headers).items() >= HEADERS.items(), path
        answer.close()
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_only_get_is_answered(served: LivePage, method: str) -> None:
    assert ask(served, "/layout", method=method).status == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9161", "127.0.0.1.evil.example", "10.0.0.7", "[::2]:80", " "]
)
def test_a_foreign_host_is_refused(served: LivePage, host: str) -> None:
    answer = ask(served, "/layout", host=host)
    assert answer.status == 421
    assert b"--allow-host" in answer.read()


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:9161", "LOCALHOST"])
def test_this_machine_is_no_foreign_host(served: LivePage, host: str) -> None:
    assert ask(served, "/layout", host=host).status == 200


def test_a_host_can_be_allowed_by_name(shared_redis: RedisServer, serve: Callable[..., LivePage]) -> None:
    served = serve(names=["Numbers.example"])
    assert ask(served, "/", host="numbers.example").status == 200
    assert ask(served, "/", host="other.example").status == 421


def test_no_file_beside_the_page_s_own_is_served(served: LivePage) -> None:
    for path in (
        "/../server.py",
        "/..%2fserver.py",
        "/static/page.js",
        "//etc/passwd",
        "/minutes/",
        "/minutes/password",
    ):
        assert ask(served, path).status == 404, path


def test_an_unknown_cell_is_answered_with_names_that_are_near(served: LivePage) -> None:
    answer = ask(served, "/definition/" + quote("bounce_rate.1h{platform=windows}", safe=""))
    assert answer.status == 404
    assert "there are bounce_rate.1h{platform=" in answer.read().decode()


def test_a_definition_comes_with_the_values_of_now(run: Run, served: LivePage) -> None:
    cells = publish(run, since={"sessions": 1_700_000_000_000, "window.1h": 0})
    told = json.load(ask(served, "/definition/bounce_rate.1h"))
    assert float(told["value"]) == cells["bounce_rate.1h"]
    assert [(one["name"], int(one["value"])) for one in told["inputs"]] == [
        ("numerator", cells["sessions.bounced.1h"]),
        ("denominator", cells["sessions.closed.1h"]),
    ]
    assert told["since"] == "2023-11-14 22:13:20 UTC"


def test_the_rights_of_a_reader_are_enough_and_no_keys_are_searched_for(
    run: Run, shared_redis: RedisServer, serve: Callable[..., LivePage]
) -> None:
    publish(run)
    security = (ROOT / "deploy" / "SECURITY.md").read_text(encoding="utf-8")
    rule = re.search(r"ACL SETUSER tidegauge-reader (.*)", security)
    assert rule is not None
    with redis.Redis(port=shared_redis.port, decode_responses=True) as client:
        client.execute_command("ACL", "SETUSER", "tidegauge-reader", *rule[1].replace("<password>", "secret").split())
        served = serve(url=f"redis://tidegauge-reader:secret@127.0.0.1:{shared_redis.port}/0")
        stream = ask(served, "/stream")
        told = b""
        while b"event: minutes" not in told:
            told += stream.readline()
        assert b'"state":"live"' in told
        assert json.load(ask(served, "/definition/mrr"))["value"] is not None
        stream.close()
        assert client.acl_log() == []
        client.acl_deluser("tidegauge-reader")


def test_the_stream_says_everything_once_and_then_what_has_changed(run: Run, served: LivePage) -> None:
    publish(run)
    with ask(served, "/stream") as stream:
        first = _next(stream)
        assert first["whole"]
        assert len(first["set"]) > 300
        run.publish(snapshot({"active_users.5m": 1}, number=9))
        while "active_users.5m" not in (news := _next(stream))["set"]:
            pass
        assert "whole" not in news
        assert news["set"]["active_users.5m"] == "1"
        assert "sessions.open" in news["gone"]


def _next(stream: HTTPResponse) -> dict[str, Any]:
    """The next message about numbers."""
    while True:
        if stream.readline().strip() == b"event: numbers":
            found: dict[str, Any] = json.loads(stream.readline().removeprefix(b"data: "))
            return found


def test_the_page_is_small_and_of_this_project_alone() -> None:
    files = list(STATIC.iterdir())
    assert sum(file.stat().st_size for file in files) < 110 * 1024
    for file in files:
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text(encoding="utf-8")) == [], file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", file.read_text()), (
            file.name
        )


# ------------------------------------------------------------------------------------------ the command


def test_ctrl_c_ends_it_cleanly_while_a_page_is_open(shared_redis: RedisServer) -> None:
    command = [sys.executable, "-m", "flows.app", "web", "--redis", shared_redis.url, "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        connection = HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=10)
        connection.request("GET", "/stream")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_said_with_what_to_do(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["web", "--redis", redis_server.url, "--address", address]) == 1
    said = capsys.readouterr().err
    assert f"cannot listen on {address}: Address already in use" in said
    assert "choose another port with --address, or 127.0.0.1:0 for any" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which Redis? set REDIS_URL"),
        (("--redis", "redis://127.0.0.1:6379/0", "--address", "nowhere"), "is no address to listen on"),
        (("--redis", "ftp://127.0.0.1"), "redis"),
    ],
)
def test_wrong_use_ends_with_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert main(["web", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_files_are_part_of_the_package() -> None:
    from setuptools import find_packages  # type: ignore[import-untyped]

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"web/static/*"' in project
    assert "flows.web" in find_packages(str(ROOT), include=["flows*"])
    assert Path(STATIC / "index.html").is_file()


def test_a_page_that_has_gone_is_noticed(served: LivePage, run: Run) -> None:
    publish(run)
    stream = ask(served, "/stream")
    wait_until(lambda: served.pages >= 1, "a page")
    stream.close()
    wait_until(lambda: served.pages == 0, "its end to be noticed")


def test_without_an_address_the_page_listens_on_loopback() -> None:
    parser = argparse.ArgumentParser()
    web.add_arguments(parser)
    assert parser.parse_args([]).address.startswith("127.0.0.1:")
