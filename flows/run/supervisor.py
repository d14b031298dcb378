"""`tidegauge run --processes N`: starts the processes of one machine, and all of them again when one has ended.

The state of all is one checkpoint, so a restart of one is a restart of all. They listen for each other on loopback, at
ports that are free at each start. Their standard input is a pipe from the supervisor: where that ends, however it
does, they end too. All of them write to the one log, which is standard error.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

FAILED: Final = 1
START_AGAIN: Final = 4
"""Exit code of a process that wants all to be started again: the topic has grown."""

NOTHING_ACCEPTED: Final = 5
"""Exit code of a run that has read all and could use nothing of it; it is whole, and another would end alike."""

_NO_RESTART: Final = (2, 3)
"""Exit codes after which starting again would not help: wrong usage, and a newer run that has taken over."""

STOP_SECONDS: Final = 10.0
"""A process that has not ended by then is killed; its state is that of the last checkpoint."""

BACK_OFF_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the first, second, ... restart; after so many within `CALM_SECONDS` the next end is the last."""

CALM_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.05
logger = logging.getLogger(__name__)


class Supervisor:
    """Runs `command` as `processes` processes of one cluster."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        back_off_seconds: Sequence[float] = BACK_OFF_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._command = list(command)
        self._processes = processes
        self._back_off_seconds = back_off_seconds
        self._stop_seconds = stop_seconds
        self._children: list[subprocess.Popen[bytes]] = []
        self._restarts: deque[float] = deque()
        self._stop_by: float | None = None

    def stop(self) -> None:
        """Ask all processes to finish. Only a few assignments and signals, so a signal handler may call it."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._stop_seconds
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all processes at once, as a crash would."""
        self._stop_by = time.monotonic()

    def run(self) -> int:
        """Until all have ended, or restarting does not help; the exit code for all."""
        while True:
            self._start()
            try:
                code = self._wait()
            finally:
                self._end()
            if code is not None:
                return code
            if self._stop_by is not None:
                return 0
            self._start_again_after(self._pause())
            if self._stop_by is not None:
                return 0
            if len(self._restarts) > len(self._back_off_seconds):
                logger.error(
                    "giving up: the processes were started %d times within %.0f minutes; the log says why they ended",
                    len(self._restarts), CALM_SECONDS / 60,
                )  # fmt: skip
                return FAILED

    def _start(self) -> None:
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(self._processes))
        self._children = []
        for process in range(self._processes):
            options = ["--process-id", str(process), "--addresses", addresses, "--supervised"]
            # A session of its own: Ctrl-C in a terminal is for the supervisor, which passes on one signal to each.
            child = subprocess.Popen([*self._command, *options], stdin=subprocess.PIPE, start_new_session=True)
            self._children.append(child)
        logger.info("started %d processes: %s", self._processes, ", ".join(str(child.pid) for child in self._children))
        if self._stop_by is not None:  # it came meanwhile
            self._signal(signal.SIGTERM)

    def _wait(self) -> int | None:
        """Until all have ended well, or one has not; the exit code of all, None when they are to be started again."""
        first_end: float | None = None
        while True:
            codes = [child.poll() for child in self._children]
            ended = {process: code for process, code in enumerate(codes) if code is not None}
            now = time.monotonic()
            grave = [(process, code) for process, code in ended.items() if code in _NO_RESTART]
            good = (0, START_AGAIN, NOTHING_ACCEPTED, *_NO_RESTART)
            bad = [(process, code) for process, code in ended.items() if code not in good]
            if self._stop_by is not None and (len(ended) == len(codes) or now >= self._stop_by):
                return self._stopped(ended)
            if self._stop_by is None and (grave or bad or (first_end and now - first_end > self._stop_seconds)):
                if grave:
                    return grave[0][1]
                for process, code in bad[:1]:
                    logger.error("process %d has ended (%s); all start again from the checkpoint", process, told(code))
                return None
            if len(ended) == len(codes):
                if START_AGAIN in codes:
                    self._restarts.clear()
                    return None
                return NOTHING_ACCEPTED if NOTHING_ACCEPTED in codes else 0
            if ended and first_end is None:
                first_end = now
            time.sleep(_LOOK_SECONDS)

    def _stopped(self, ended: dict[int, int]) -> int:
        if len(ended) < len(self._children):
            logger.error("a process has not ended within %.0f s of being stopped: killing it", self._stop_seconds)
            return FAILED
        return max((abs(code) and (code if code > 0 else FAILED) for code in ended.values()), default=0)

    def _end(self) -> None:
        """Whatever still runs is killed: its work since the checkpoint would be thrown away anyhow."""
        deadline = time.monotonic() + (2.0 if self._stop_by is None else 0.0)
        for child in self._children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()

    def _pause(self) -> float:
        now = time.monotonic()
        self._restarts.append(now)
        while now - self._restarts[0] > CALM_SECONDS:
            self._restarts.popleft()
        return self._back_off_seconds[min(len(self._restarts), len(self._back_off_seconds)) - 1]

    def _start_again_after(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._stop_by is None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.poll() is None:
                child.send_signal(number)


def told(code: int) -> str:
    """An exit code of `subprocess` in words."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def obey_supervisor() -> None:
    """End in good order when standard input ends, for then the supervisor has gone."""

    def listen() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        logger.error("the supervisor has gone: ending")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, name="supervisor", daemon=True).start()


@contextmanager
def stop_before_reading(reads: Callable[[], bool]) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the process, with 0, while it waits for others and `reads` nothing yet.

    The engine waits for the connections of all processes without looking at signals, so that no handler runs; but the
    interpreter writes each signal to a socket, where a thread reads it.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    previous = signal.set_wakeup_fd(theirs.fileno())

    def listen() -> None:
        while number := ours.recv(1):
            if number[0] in (signal.SIGTERM, signal.SIGINT) and not reads():
                logger.info("stopped before anything was read")
                os._exit(0)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        theirs.close()
