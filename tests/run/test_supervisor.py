"""The supervisor with processes that do what a story needs, instead of measuring."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from flows.run.supervisor import NOTHING_ACCEPTED, START_AGAIN, Supervisor, told
from tests.services import wait_until

CHILD = """
import os, pathlib, signal, sys, time
process = int(sys.argv[sys.argv.index("--process-id") + 1])
folder = pathlib.Path(sys.argv[1])
def stopped(*_):
    (folder / f"stopped-{process}").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stopped)
with (folder / f"starts-{process}").open("a") as file:
    print(os.getpid(), sys.argv[sys.argv.index("--addresses") + 1], file=file)
start = len((folder / f"starts-{process}").read_text().splitlines())
"""
FOREVER = "time.sleep(600)"


class Story:
    """Children that run `CHILD` and then what the story says."""

    def __init__(self, folder: Path, then: str, processes: int = 2) -> None:
        self.folder = folder
        command = [sys.executable, "-c", CHILD + then, str(folder)]
        self.supervisor = Supervisor(command, processes, back_off_seconds=(0.01, 0.01, 0.01), stop_seconds=20)

    def starts(self, process: int) -> list[list[str]]:
        """Process id and addresses of each start."""
        file = self.folder / f"starts-{process}"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def in_background(self) -> tuple[threading.Thread, list[int]]:
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(self.supervisor.run()))
        thread.start()
        return thread, codes


def alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_every_process_gets_the_same_addresses_on_loopback_and_a_number_of_its_own(tmp_path: Path) -> None:
    story = Story(tmp_path, "", processes=3)
    assert story.supervisor.run() == 0
    ((_, addresses),) = story.starts(0)
    assert [story.starts(process)[0][1] for process in (1, 2)] == [addresses, addresses]
    assert all(address.startswith("127.0.0.1:") for address in addresses.split(","))
    assert len(set(addresses.split(","))) == 3


def test_when_one_is_killed_all_start_again(tmp_path: Path) -> None:
    story = Story(tmp_path, FOREVER)
    thread, codes = story.in_background()
    wait_until(lambda: bool(story.starts(0) and story.starts(1)), "the first start of both")
    os.kill(int(story.starts(1)[0][0]), signal.SIGKILL)
    wait_until(lambda: len(story.starts(0)) == len(story.starts(1)) == 2, "the second start of both")
    assert not alive(story.starts(0)[0][0])
    story.supervisor.stop()
    thread.join(60)
    assert codes == [0]
    assert (tmp_path / "stopped-0").exists()
    assert (tmp_path / "stopped-1").exists()
    assert not any(alive(pid) for process in (0, 1) for pid, _ in story.starts(process))


def test_those_that_always_fail_are_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    story = Story(tmp_path, "sys.exit(1)")
    assert story.supervisor.run() == 1
    assert max(len(story.starts(process)) for process in (0, 1)) == 4  # the first and three restarts
    assert "giving up" in caplog.text


@pytest.mark.parametrize("code", [2, 3])
def test_wrong_usage_and_a_newer_run_end_all_at_once_with_the_code_of_that(tmp_path: Path, code: int) -> None:
    story = Story(tmp_path, f"if process: {FOREVER}\nsys.exit({code})")
    assert story.supervisor.run() == code
    assert len(story.starts(0)) == 1
    assert not any(alive(pid) for pid, _ in story.starts(1))


def test_a_run_that_could_use_nothing_is_whole_and_not_started_again(tmp_path: Path) -> None:
    story = Story(tmp_path, f"sys.exit(0 if process else {NOTHING_ACCEPTED})")
    assert story.supervisor.run() == NOTHING_ACCEPTED
    assert [len(story.starts(process)) for process in (0, 1)] == [1, 1]


def test_a_grown_topic_starts_all_again_without_counting_as_a_failure(tmp_path: Path) -> None:
    story = Story(tmp_path, f"sys.exit({START_AGAIN} if start <= 6 else 0)")
    assert story.supervisor.run() == 0
    assert len(story.starts(0)) == 7


def test_processes_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    child = CHILD + "from flows.run.supervisor import obey_supervisor\nobey_supervisor()\n" + FOREVER
    parent = (
        "import sys; from flows.run.supervisor import Supervisor; "
        "Supervisor([sys.executable, '-c', sys.argv[1], sys.argv[2]], 2).run()"
    )
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", parent, child, str(tmp_path)])
    wait_until(lambda: (tmp_path / "starts-0").exists() and (tmp_path / "starts-1").exists(), "both processes")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: (tmp_path / "stopped-0").exists() and (tmp_path / "stopped-1").exists(), "the end of both")


def test_an_end_is_told_in_words() -> None:
    assert told(-9) == "SIGKILL"
    assert told(1) == "exit code 1"
