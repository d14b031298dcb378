"""`make pager` as a newcomer starts it: real servers, one page, one all-clear, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.alertmanager import stack
from deploy.alertmanager.stack import Unavailable, programs
from deploy.local import ROOT, wait_until
from tests.lacking import lacking

SPEED = "80"


@contextmanager
def pager(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "deploy.alertmanager.pager", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.fixture
def servers() -> None:
    try:
        programs()
    except Unavailable as unavailable:
        lacking(str(unavailable))


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """The output up to the line that `pattern` is found in."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if re.search(pattern, line):
            return told
    pytest.fail(f"the pager never said {pattern!r}:\n{told}")


def children(parent: int) -> dict[int, str]:
    """The processes that a process has started, with their commands."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in listed}


@pytest.mark.usefixtures("servers")
def test_a_page_comes_and_then_the_all_clear() -> None:
    with pager("--speed", SPEED) as process:
        told = read_until(process, "waiting for a past")
        started = children(process.pid)
        told += process.communicate()[0]
    assert process.returncode == 0, told
    assert re.findall(r"(FIRING|RESOLVED) (\w+) \(severity (\w+)\)", told) == [
        ("FIRING", "BounceSpike", "page"),
        ("RESOLVED", "BounceSpike", "page"),
    ]
    assert "Alertmanager tells the receiver 'page'" in told
    assert re.search(r"(?m)^ +[78][\d.]+% of the visitors of shop leave at once$", told), told
    assert re.search(r"Same hour last week: [56][\d.]+%; [\d.]+ standard errors\.$", told, re.M), told
    assert "dashboard  /d/tidegauge-live" in told
    runbook = re.search(r"runbook +(\S+)", told)
    assert runbook is not None
    assert (ROOT / runbook[1]).is_file()
    assert len(started) == 3  # the demo, Alertmanager, Prometheus
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.usefixtures("servers")
def test_ctrl_c_stops_all_that_it_has_started() -> None:
    with pager() as process:
        read_until(process, "waiting for its first numbers")
        started = children(process.pid)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    assert (process.returncode, told) == (130, "pager: stopped\n")
    assert started
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.usefixtures("servers")
def test_a_process_that_ends_is_told_with_the_end_of_its_log() -> None:
    with pager() as process:
        read_until(process, "waiting for its first numbers")
        (demo,) = children(process.pid)
        # Not before it runs as what it is, and has said where.
        wait_until(lambda: " demo " in children(process.pid)[demo], "the demo")
        os.kill(demo, signal.SIGKILL)
        told, _ = process.communicate()
    assert process.returncode == 1
    assert "pager: the demo of shop ended with exit code -9; the end of its log:" in told


def test_without_the_servers_one_is_told_what_to_install(tmp_path: Path) -> None:
    with pager(PATH=str(tmp_path)) as process:
        told, _ = process.communicate()
    assert process.returncode == 2
    assert told == (
        "pager: there is no prometheus and no alertmanager on PATH"
        " (Debian: apt-get install prometheus prometheus-alertmanager)\n"
    )


def test_alertmanager_is_found_by_the_name_that_its_makers_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prometheus", "alertmanager"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs() == (str(tmp_path / "prometheus"), str(tmp_path / "alertmanager"))


def test_closing_ends_even_when_nobody_can_wait_for_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C at the wrong moment leaves the lock held that `subprocess` takes around a wait."""
    monkeypatch.setattr(stack, "STOP_SECONDS", 0.2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        lock = vars(process)["_waitpid_lock"]
        lock.acquire()
        whole = stack.Stack.__new__(stack.Stack)
        whole._children = [stack.Child("a child", process, tmp_path / "log")]
        whole.webhook = SimpleNamespace(close=lambda: None)  # type: ignore[assignment] # all that is called
        whole.close()
        lock.release()
        assert process.wait(10) == -signal.SIGTERM
