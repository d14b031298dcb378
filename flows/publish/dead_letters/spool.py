"""Keeps the dead letters that Kafka has not taken yet: a bounded queue, and a file beside the checkpoints.

Letters are handed out from memory. The file is for the time after a crash: before a checkpoint passes over a rejected
record, `settle` has its letter on disk unless Kafka has it. So a healthy Kafka costs no more than the last few letters
before each checkpoint, and a crash repeats letters and never loses one.

    <folder>/dead-letters-<process>.ndjson   a letter a line; those that were delivered meanwhile are among them
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from flows.checkpoint.folder import DEAD_LETTERS
from flows.compiled.trusted_path import make_private

_STALE_BYTES: Final = 64 * 1024  # of delivered letters that may stay in the file whatever waits beside them


class SpoolInUseError(OSError):
    """Another run holds the file."""


@dataclass(slots=True, eq=False)
class Letter:
    """One dead letter that waits."""

    text: bytes  # a line of JSON, without its end
    since: float  # monotonic seconds
    stored: bool = False  # in the file


class Spool:
    """Letters in the order in which they are to be sent; each stays until it is `delivered`.

    `put` always takes: whoever puts asks `full` first. `folder` is that of the checkpoints; None keeps letters in
    memory alone. The process takes over the files that processes beyond `processes` have left. Only `put`, `settle`
    and `close` belong to the thread that opens it; the others may be called from any. OSError is the disk's.
    """

    def __init__(
        self,
        limit_bytes: int,
        folder: Path | None = None,
        *,
        process: int = 0,
        processes: int = 1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._waiting: dict[int, Letter] = {}  # by identity, oldest first
        self._queue: deque[Letter] = deque()  # of these, what nobody is sending
        self._bytes = 0
        if folder is not None:
            make_private(folder)
        self._file = None if folder is None else SpoolFile(folder, process)
        if self._file is not None and folder is not None:
            left = list(_left_by_others(folder, process, processes))
            for text in [*self._file.read(), *(text for other in left for text in other.read())]:
                self._add(Letter(text, monotonic(), stored=True))
            if left:
                self._file.rewrite([letter.text for letter in self._queue])
            for other in left:
                other.remove()

    @property
    def count(self) -> int:
        """Letters that wait."""
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Their bytes, as in the file."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether no more should be put."""
        return self._bytes >= self.limit_bytes

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest has waited; 0 when none waits."""
        with self._changed:
            oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else self._monotonic() - oldest.since

    def put(self, text: bytes) -> None:
        """One more letter waits."""
        self._add(Letter(text, self._monotonic()))

    def take(self, most: int) -> Sequence[Letter]:
        """The next letters to send, at most so many; those that fail are to be given back."""
        with self._changed:
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def give_back(self, letter: Letter) -> None:
        """It could not be sent; its turn comes again behind the others."""
        with self._changed:
            self._queue.append(letter)

    def delivered(self, letter: Letter) -> None:
        """Kafka has it."""
        with self._changed:
            del self._waiting[id(letter)]
            self._bytes -= len(letter.text) + 1
            self._changed.notify_all()

    def wait_for_letters(self, seconds: float) -> None:
        """Return once there is something to send, or after `seconds`, or when `wake` is called."""
        with self._changed:
            if not self._queue:
                self._changed.wait(seconds)

    def wait_until_empty(self, seconds: float) -> bool:
        """Whether all letters were delivered within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def wait_for_room(self, seconds: float) -> None:
        """Return once there is room for a letter, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self.full, seconds)

    def wake(self) -> None:
        """End the waiting of other threads."""
        with self._changed:
            self._changed.notify_all()

    def settle(self) -> None:
        """Return once every letter that waits is on disk."""
        if self._file is None:
            return
        with self._changed:
            waiting = list(self._waiting.values())
            live = self._bytes
        new = [letter for letter in waiting if not letter.stored]
        grown = self._file.size + sum(len(letter.text) + 1 for letter in new)
        if not waiting:
            self._file.clear()
        elif grown > min(2 * live + _STALE_BYTES, max(self.limit_bytes, live)):
            self._file.rewrite([letter.text for letter in waiting])
        elif new:
            self._file.append([letter.text for letter in new])
        for letter in new:
            letter.stored = True

    def close(self) -> None:
        """Let go of the file, as it was settled last; it is empty when nothing waits."""
        if self._file is not None:
            if not self._waiting:
                self._file.clear()
            self._file.close()

    def _add(self, letter: Letter) -> None:
        with self._changed:
            self._waiting[id(letter)] = letter
            self._queue.append(letter)
            self._bytes += len(letter.text) + 1
            self._changed.notify_all()


class SpoolFile:
    """One file of letters, held against other runs; SpoolInUseError when one of them has it."""

    def __init__(self, folder: Path, process: int) -> None:
        self._folder = folder
        self._path = folder / f"dead-letters-{process}.ndjson"
        self._file = self._open()
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self) -> Sequence[bytes]:
        """All letters; what was cut off by a crash was never settled."""
        self._file.seek(0)
        *whole, cut = self._file.read().split(b"\n")
        self.size -= len(cut)
        return [text for text in whole if text]

    def append(self, texts: Sequence[bytes]) -> None:
        """Add letters; they are on disk when this returns."""
        self._file.truncate(self.size)
        self._file.seek(self.size)
        self._file.write(_lines(texts))
        os.fdatasync(self._file.fileno())
        self.size += sum(len(text) + 1 for text in texts)

    def rewrite(self, texts: Sequence[bytes]) -> None:
        """Hold these letters and no others; after a crash it is the old file or the new one."""
        path = self._path.with_suffix(".new")
        path.unlink(missing_ok=True)
        new = _lock(path)
        new.write(_lines(texts))
        os.fsync(new.fileno())
        path.rename(self._path)
        self._file.close()
        self._file = new
        self.size = sum(len(text) + 1 for text in texts)
        _sync(self._folder)

    def clear(self) -> None:
        """Hold nothing."""
        if self.size:
            self._file.truncate(0)
            self.size = 0

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        while True:
            file = _lock(self._path)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    _sync(self._folder)
                    return file
            file.close()  # its holder has put another in its place meanwhile


def _lock(path: Path) -> IO[bytes]:
    file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)  # noqa: SIM115 (stays open)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SpoolInUseError(str(path)) from None
    return file


def _lines(texts: Sequence[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in texts)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _left_by_others(folder: Path, process: int, processes: int) -> Iterator[SpoolFile]:
    """The files of processes that are no more, of which this one is to take care."""
    for path in sorted(folder.glob(DEAD_LETTERS)):
        found = re.search(r"-(\d+)\.ndjson$", path.name)
        if found and int(found[1]) >= processes and int(found[1]) % processes == process:
            with contextlib.suppress(SpoolInUseError):
                yield SpoolFile(folder, int(found[1]))
