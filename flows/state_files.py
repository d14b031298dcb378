"""The state of shards in files beside the engine's checkpoint, which holds no more than the name of each.

The engine copies a snapshot three times and writes it twice while the flow stands still; a file is written once,
straight from the arrays' memory. A checkpoint is still one cut: a file is on disk before the engine stores its name
together with the offsets, it never changes afterwards, and what no stored name refers to was never counted.

Writing is copying into the system's memory; it is the wait for the disk that takes long. So the files of an epoch are
synced side by side, and waited for once: when the last shard has written, which is before the engine stores a name.

Files of the last KEPT epochs stay, since a cluster may have to go back to an epoch that all of its processes have
stored. What earlier runs have left, killed between writing a file and storing its name, goes once this run has stored
as many epochs: by then nothing refers to it.
"""

from __future__ import annotations

import itertools
import mmap
import os
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from flows.checkpoint import CheckpointError

KEPT: Final = 3
"""Epochs whose files stay: the last one stored, one that other processes may not have stored, and one in the making."""

SUFFIX: Final = ".state"
_SYNCED_AT_ONCE: Final = 16
_PIECES: Final = 512  # that one system call takes; Linux allows 1024


class StateFiles:
    """The files of one process in `folder`; their names are its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run = f"{os.getpid():x}-{os.urandom(6).hex()}"
        self._numbers = itertools.count()
        self.shards = 0  # that write here, each once in an epoch
        self._old = {path.name for path in folder.glob(f"*{SUFFIX}")}  # of earlier runs
        self._background = ThreadPoolExecutor(_SYNCED_AT_ONCE, "state-files")
        self._syncing: dict[str, Future[None]] = {}
        self._outdated: list[str] = []
        self._deleting: list[Future[None]] = []

    @property
    def unsettled(self) -> Collection[str]:
        """The files that are written and perhaps not on disk."""
        return self._syncing.keys()

    def write(self, pieces: Sequence[bytes | memoryview]) -> str:
        """Put `pieces` into a new file, safe on disk once `settle` returns; its name.

        The pieces may change when this returns. OSError leaves nothing behind.
        """
        name = f"{self._run}-{next(self._numbers)}{SUFFIX}"
        path = self._folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(descriptor, [memoryview(piece).cast("B") for piece in pieces])
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        self._syncing[name] = self._background.submit(_sync, descriptor)
        return name

    def settle(self) -> None:
        """Wait until all that was written is safe on disk; OSError when it cannot be. What is outdated goes then."""
        awaited = [*self._deleting, *self._syncing.values()]
        self._deleting, self._syncing = [], {}
        failures = [failure for future in awaited if (failure := future.exception()) is not None]
        if failures:
            raise failures[0]
        _sync(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
        self._deleting = [self._background.submit(self.forget, name) for name in self._outdated]
        self._outdated = []

    def outdate(self, name: str) -> None:
        """Delete the file once all that was written is safe: nothing refers to it any more then."""
        self._old.discard(name)
        self._outdated.append(name)

    def close(self) -> None:
        """Wait for what goes on in the background."""
        self._background.shutdown()

    def read(self, name: str) -> memoryview:
        """What was written under `name`; raises CheckpointError when the file is gone."""
        try:
            with (self._folder / name).open("rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint refers to {self._folder / name}, which cannot be read ({error}); restore the whole "
                "folder, or start afresh with an empty --state folder"
            ) from None

    def forget(self, name: str) -> None:
        """Delete the file, if it is there."""
        (self._folder / name).unlink(missing_ok=True)

    def sweep(self, living: Sequence[str] = ()) -> None:
        """Outdate what earlier runs have left, but for `living`."""
        for name in self._old - set(living):
            self.outdate(name)


class History:
    """The files of one shard, of the last KEPT epochs."""

    def __init__(self, files: StateFiles, name: str | None) -> None:
        """`name`: the file that the shard goes on from."""
        self._files = files
        self._names: deque[str] = deque([] if name is None else [name])
        self._written = 0
        files.shards += 1

    def write(self, pieces: Sequence[bytes | memoryview]) -> str:
        """As `StateFiles.write`; the oldest file goes. With the last shard's, all files of the epoch are safe on disk.

        The engine takes the states of all shards one after another, since whatever comes in goes to all of them, and
        stores the names afterwards.
        """
        assert not self._names or self._names[-1] not in self._files.unsettled, "an epoch without some of the shards"
        self._names.append(self._files.write(pieces))
        self._written += 1
        if len(self._names) > KEPT:
            self._files.outdate(self._names.popleft())
        if self._written == KEPT + 1:  # KEPT epochs of this run are stored, in all processes
            self._files.sweep(self._names)
        if len(self._files.unsettled) == self._files.shards:
            self._files.settle()
        return self._names[-1]


def _sync(descriptor: int) -> None:
    """Wait until the disk has what was written, and close."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    while pieces:
        written = os.writev(descriptor, pieces[:_PIECES])
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = pieces[0][written:]
