"""The state of shards in files beside the engine's checkpoint, which holds no more than the name of each.

The engine copies a snapshot three times and writes it twice while the flow stands still; a file is written once,
straight from the arrays' memory. A checkpoint is still one cut: a file is on disk before the engine stores its name
together with the offsets, it never changes afterwards, and what no stored name refers to was never counted.

Files of the last KEPT epochs stay, since a cluster may have to go back to an epoch that all of its processes have
stored. What earlier runs have left, killed between writing a file and storing its name, goes once this run has stored
as many epochs: by then nothing refers to it.
"""

from __future__ import annotations

import itertools
import mmap
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flows.checkpoint import CheckpointError

KEPT: Final = 3
"""Epochs whose files stay: the last one stored, one that other processes may not have stored, and one in the making."""

SUFFIX: Final = ".state"
_PIECES: Final = 512  # that one system call takes; Linux allows 1024


class StateFiles:
    """The files of one process in `folder`; their names are its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run = f"{os.getpid():x}-{os.urandom(6).hex()}"
        self._numbers = itertools.count()
        self._old = {path.name for path in folder.glob(f"*{SUFFIX}")}  # of earlier runs

    def write(self, pieces: Sequence[bytes | memoryview]) -> str:
        """Put `pieces` into a new file, safe on disk when this returns; its name. OSError leaves nothing behind."""
        name = f"{self._run}-{next(self._numbers)}{SUFFIX}"
        path = self._folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(descriptor, [memoryview(piece).cast("B") for piece in pieces])
            os.fdatasync(descriptor)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        self._sync_folder()
        return name

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
        self._old.discard(name)
        (self._folder / name).unlink(missing_ok=True)

    def sweep(self, living: Sequence[str] = ()) -> None:
        """Delete what earlier runs have left, but for `living`."""
        for name in self._old - set(living):
            self.forget(name)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class History:
    """The files of one shard, of the last KEPT epochs."""

    def __init__(self, files: StateFiles, name: str | None) -> None:
        """`name`: the file that the shard goes on from."""
        self._files = files
        self._names: deque[str] = deque([] if name is None else [name])
        self._written = 0

    def write(self, pieces: Sequence[bytes | memoryview]) -> str:
        """As `StateFiles.write`; the oldest file goes."""
        self._names.append(self._files.write(pieces))
        self._written += 1
        if len(self._names) > KEPT:
            self._files.forget(self._names.popleft())
        if self._written == KEPT + 1:  # KEPT epochs of this run are stored, in all processes
            self._files.sweep(self._names)
        return self._names[-1]


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    while pieces:
        written = os.writev(descriptor, pieces[:_PIECES])
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = pieces[0][written:]
