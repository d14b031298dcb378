"""Runs `tidegauge` where everything is closed, and keeps all that it lets out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import ROOT

SECONDS = 300.0
"""Deadline of what takes seconds; slow machines are no failures."""


@dataclass(frozen=True)
class Ended:
    """How a process has ended and what it said; `text` is all of it."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.out + self.err

    @property
    def errors(self) -> list[str]:
        """What was logged as an error, without the time, or said by `top`."""
        return [
            line.partition(" ERROR ")[2].strip() if " ERROR " in line else line
            for line in self.err.splitlines()
            if " ERROR " in line or line.startswith("tidegauge top: ")
        ]

    @property
    def warnings(self) -> list[str]:
        """What was logged as a warning, without the time; but for waiting on a server that is slow to answer."""
        told = [line.partition(" WARNING ")[2].strip() for line in self.err.splitlines() if " WARNING " in line]
        return [line for line in told if not re.search(r"cannot be reached .*; waiting up to \d+ s$", line)]


def begin(environment: Mapping[str, str], *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start `tidegauge` with this environment and nothing else but PATH, HOME and the folder of compiled loops."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TIDEGAUGE_CACHE") if name in os.environ}
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.app", *arguments],
            cwd=ROOT,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
        )


@contextmanager
def begun(environment: Mapping[str, str], *arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The process of `begin`, which does not outlive the block."""
    process = begin(environment, *arguments, folder=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end(process: subprocess.Popen[str], folder: Path) -> Ended:
    """Wait for its end; everything that it said."""
    code = process.wait(SECONDS)
    return Ended(code, (folder / "out").read_text(), (folder / "err").read_text())


def run(environment: Mapping[str, str], *arguments: str, folder: Path) -> Ended:
    """`begun` and `end`."""
    with begun(environment, *arguments, folder=folder) as process:
        return end(process, folder)


def command_line(pid: int) -> str:
    """What any user of the machine sees of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
