"""The whole demo as a newcomer starts it: everything embedded, the real job, and every number compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.commands.demo import default_config
from flows.config.file import load
from flows.demo.profiles import PROFILES
from tests.services import ROOT

PACKAGED = ROOT / "flows" / "demo" / "shop.yaml"
EQUAL = (
    r"(all|[\d,]+ of) \d+,\d{3} published numbers equal the truth"  # minutes can depend on when late events were read
)
SMALL = ("--partitions", "2", "--rate", "25", "--days", "0.005", "--plain")


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "flows.app", "demo", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """The output up to the line that `pattern` is found in."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if re.search(pattern, line):
            return told
    pytest.fail(f"the demo never said {pattern!r}:\n{told}")


def test_every_published_number_equals_the_truth() -> None:
    with demo("--seconds", "4", *SMALL, "--config", str(PACKAGED)) as process:
        told, _ = process.communicate()
    assert process.returncode == 0, told
    assert re.search(EQUAL, told), told
    assert "active users 5m" in told


@pytest.mark.parametrize("profile", ["saas", "media"])
def test_so_it_is_with_every_other_profile(profile: str) -> None:
    with demo("--profile", profile, "--seconds", "2", *SMALL) as process:
        told, _ = process.communicate()
    assert process.returncode == 0, told
    assert f"full days of {PROFILES[profile].help}:" in told
    assert re.search(EQUAL, told), told


def test_it_serves_metrics_and_the_live_page_where_it_says_compares_at_ctrl_c_and_leaves_nothing_behind() -> None:
    with demo(*SMALL) as process:
        told = read_until(process, "live +http")
        page_address = re.search(r"live +(http://\S+/) ", told)
        assert page_address is not None
        with urllib.request.urlopen(page_address[1], timeout=1) as page:  # open as soon as it is said
            assert b"Tidegauge" in page.read()
        told += read_until(process, "active users")
        address = re.search(r"http://\S+/metrics", told)
        assert address is not None
        with urllib.request.urlopen(address[0], timeout=30) as page:
            assert b"tidegauge_active_users{" in page.read()
        started = children(process.pid, "")
        assert len(started) >= 2  # the job and Redis
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the session
        told, _ = process.communicate()
    assert process.returncode == 0, told
    assert "published numbers equal the truth" in told
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


def test_ctrl_c_while_it_lives_through_its_past_ends_it_at_once() -> None:
    with demo("--plain") as process:
        told = read_until(process, "lives through its past")
        os.killpg(process.pid, signal.SIGINT)
        told += process.communicate()[0]
    assert process.returncode == 1
    assert told.splitlines()[-1].endswith("stopped; nothing was compared")
    assert "Traceback" not in told


def test_a_job_that_ends_is_shown_with_its_last_lines() -> None:
    with demo(*SMALL) as process:
        read_until(process, "active users")
        (job,) = children(process.pid, "run")
        os.kill(job, signal.SIGTERM)
        told, _ = process.communicate()
    assert process.returncode == 1
    assert "the job ended with exit code" in told
    assert "tidegauge" in told.partition("the job ended with exit code")[2]


def test_a_config_that_cannot_be_measured_is_refused_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "hasty.yaml"
    config.write_text("lateness: 100ms\n")
    with demo("--config", str(config)) as process:
        told, _ = process.communicate()
    assert process.returncode == 2
    assert "a lateness of at least 1s" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--speed", "30"), "--speed and --meets go together"),
        (("--speed", "30", "--meets", "2020-01-01T00:00:00Z"), "--meets lies in the past"),
        (("--on-signal",), "--on-signal goes with --inject"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...], message: str) -> None:
    with demo(*options) as process:
        told, _ = process.communicate()
    assert (process.returncode, told) == (2, f"tidegauge demo: {message}\n")


def test_the_packaged_config_is_valid_and_the_example_goes_before_it() -> None:
    assert load(PACKAGED, environment={}).config.product == "shop"
    assert default_config(PROFILES["shop"]) == ROOT / "deploy" / "examples" / "shop.yaml"


def children(parent: int, word: str) -> list[int]:
    """Processes that `parent` started and whose command line has `word`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            command = (status.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if re.search(rf"^PPid:\t{parent}$", text, re.M) and (not word or word.encode() in command):
            found.append(int(status.parent.name))
    return found
