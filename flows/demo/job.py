"""The real job as a child process, as an operator would run it, with its log in a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

STOP_DEADLINE_S = 20.0
LAST_LINES = 30
OURS = ("TIDEGAUGE_", "KAFKA_", "REDIS_URL", "BYTEWAX_")
"""Variables of these names are meant for a real deployment and must not reach the demo's job."""


class Job:
    """`tidegauge run` with a config and an environment; leaving the `with` block stops it."""

    def __init__(self, config: Path, log: Path, connections: Mapping[str, str]) -> None:
        self.log = log
        # Where the system has setpriv, a killed demo takes its job along.
        tether = shutil.which("setpriv")
        command = [sys.executable, "-m", "flows.app", "run", "--config", str(config)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*([tether, "--pdeathsig", "TERM"] if tether else []), *command],
                env=inherited | dict(connections),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which stops the job in its own time
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code; one that does not listen is killed."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
