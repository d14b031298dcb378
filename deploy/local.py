"""What all who start servers on this machine need: free ports, processes that end with their starter, and waiting."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_SECONDS = 180.0  # for anything that takes a second or two; slow machines are no failures
PAUSES = (0.02, 0.1)  # s, between two looks at whether it has come


def wait_until(
    condition: Callable[[], bool], awaited: str, seconds: float = DEADLINE_SECONDS, pause: float | None = None
) -> None:
    """Return as soon as `condition` holds; TimeoutError naming what was `awaited` after `seconds`.

    `pause`: seconds between two looks; by default the less often, the longer it takes.
    """
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        if waited > seconds:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {awaited}")
        time.sleep(min(max(PAUSES[0], waited / 20), PAUSES[1]) if pause is None else pause)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    It lies below the range from which outgoing connections take theirs, so it is still free for a restart.
    """
    chance = random.SystemRandom()  # others must not come to the same, whatever has seeded `random`
    for _ in range(1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = chance.randint(20_000, 32_000)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("found no free port between 20000 and 32000")


def tied(command: Sequence[str]) -> list[str]:
    """The command such that its process gets SIGTERM when the thread that starts it has gone."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)
