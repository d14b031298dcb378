"""Processes on a core of their own, and what they cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.services import ROOT, tied

LOOK_SECONDS = 0.02
RUN_SECONDS = 300.0


class RunFailed(Exception):  # noqa: N818 - it is the process that failed
    """A measured process ended badly; the message has its last words."""


@dataclass(frozen=True)
class Cost:
    """What a process took, as a whole, from its start to its end."""

    cpu_s: float  # user and system time of all its threads
    wall_s: float
    peak_bytes: int  # largest resident set seen


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started inside run on `core`, and this thread does meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(
    module: str,
    arguments: Sequence[str],
    core: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> subprocess.Popen[bytes]:
    """`python -m module arguments` on `core`; stderr goes to the end of `log`, stdout to `output`."""
    command = tied([sys.executable, "-m", module, *arguments])
    with on_core(core), log.open("ab") as errors, (output or Path(os.devnull)).open("wb") as printed:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=errors,
        )


def cost_of(process: subprocess.Popen[bytes], log: Path, seconds: float = RUN_SECONDS) -> Cost:
    """Wait for the end of a process that was just started; RunFailed unless its exit code is 0."""
    began = time.monotonic()
    peak = 0
    while True:
        peak = max(peak, peak_bytes(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - began > seconds:
            process.send_signal(signal.SIGKILL)
            _, status, _ = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            raise RunFailed(f"a run did not end in {seconds:.0f} s:\n{log.read_text()[-2000:]}")
        time.sleep(LOOK_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RunFailed(f"a run ended with code {process.returncode}:\n{log.read_text()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began, peak)


def peak_bytes(pid: int) -> int:
    """The largest resident set of a living process so far; 0 when it has gone.

    Not ru_maxrss, in which a child begins with the size of its parent.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """CPU time of a living process so far, of all its threads; 0 when it has gone."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that may still run; SIGKILL when it does not heed SIGTERM."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
