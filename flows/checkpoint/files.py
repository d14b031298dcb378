"""The state of shards in files beside the engine's checkpoint, which holds no more than the name of each.

The engine copies a snapshot three times and writes it twice while the flow stands still; a file is written once,
straight from the arrays' memory. A checkpoint is still one cut: a state is on disk before the engine stores its name
together with the offsets, it does not change while a stored name refers to it, and what no stored name refers to was
never counted.

Writing is copying into the system's memory; it is the wait for the disk that takes long. So

* the files of an epoch are synced side by side, and waited for once: when the last shard has written, which is before
  the engine stores a name;
* a shard writes over a file of its own that is outdated. Then blocks need not be found nor names, only this file's
  data has to reach the disk. For a new file a journalling file system first writes what is dirty of all others, and so
  waits for whoever else writes there, such as a Kafka on the same machine;
* while a shard grows, the file that its next state goes to is made larger between checkpoints, in the background: new
  pages of the system's memory cost many times what it takes to copy into old ones.

States of the last KEPT epochs stay, since a cluster may have to go back to an epoch that all of its processes have
stored. What earlier runs have left, killed between writing a state and storing its name, goes once this run has stored
as many epochs: by then nothing refers to it.

    <run>-<number>.state     generation and length (8 bytes each, little-endian), the state, room to grow
    <run>-<number>.state#7   a name: that file, when it holds its 7th state
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from flows.checkpoint.layout import CheckpointError
from flows.checkpoint.packing import Scratch

KEPT: Final = 3
"""Epochs whose states stay: the last stored, one that other processes may not have stored, and one in the making."""

SUFFIX: Final = ".state"
_SYNCED_AT_ONCE: Final = 16
_PIECES: Final = 512  # that one system call takes; Linux allows 1024
_HEADER: Final = struct.Struct("<QQ")
_ZEROS: Final = bytes(1 << 20)  # what files grow by


class StateFiles:
    """The files of one process in `folder`; their names are its own."""

    def __init__(self, folder: Path) -> None:
        self.shards = 0  # that write here, each once in an epoch
        self.scratch = Scratch()  # for one of them at a time
        self._folder = folder
        self._run = f"{os.getpid():x}-{os.urandom(6).hex()}"
        self._numbers = itertools.count()
        self._old = {path.name for path in folder.glob(f"*{SUFFIX}")}  # files of earlier runs
        self._background = ThreadPoolExecutor(_SYNCED_AT_ONCE, "state-files")
        self._growth = ThreadPoolExecutor(1, "state-files-growth")
        self._syncing: dict[str, Future[None]] = {}
        self._new_names = False
        self._outdated: list[str] = []
        self._deleting: list[Future[None]] = []
        self._sizes: dict[str, int] = {}
        self._small: dict[str, int] = {}
        self._growing: dict[str, Future[None]] = {}

    @property
    def unsettled(self) -> Collection[str]:
        """The states that are written and perhaps not on disk."""
        return self._syncing.keys()

    def new(self) -> str:
        """The name of a file that is not there yet, to write over."""
        return f"{self._run}-{next(self._numbers)}{SUFFIX}#0"

    def write(self, pieces: Sequence[bytes | memoryview], over: str) -> str:
        """Store a state in place of the outdated one `over`; its name.

        It is safe on disk once `settle` returns. The pieces may change when this returns. OSError leaves nothing
        behind.
        """
        file, _, generation = over.partition("#")
        made = int(generation) + 1
        views = [memoryview(piece).cast("B") for piece in pieces]
        if (growing := self._growing.pop(file, None)) is not None:
            growing.exception()  # whatever it was will come again below
        path, length = self._folder / file, sum(map(len, views))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            _write_all(descriptor, [memoryview(_HEADER.pack(made, length)), *views])
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        self._sizes[file] = max(self._sizes.get(file, 0), _HEADER.size + length)
        self._new_names |= made == 1
        name = f"{file}#{made}"
        self._syncing[name] = self._background.submit(_sync, descriptor)
        return name

    def make_room(self, over: str, length: int) -> None:
        """Let the file of that name have room for a state of `length`, soon, but not before what is written is safe."""
        file, size = _file(over), _HEADER.size + length
        if size > self._sizes.get(file, 0):
            self._sizes[file] = self._small[file] = size
        if not self._syncing:
            self._grow()

    def _grow(self) -> None:
        for file, size in self._small.items():
            self._growing[file] = self._growth.submit(_enlarge, self._folder / file, size)
        self._small = {}

    def settle(self) -> None:
        """Wait until all that was written is safe on disk; OSError when it cannot be. What is outdated goes then."""
        awaited = [*self._deleting, *self._syncing.values()]
        self._deleting, self._syncing = [], {}
        failures = [failure for future in awaited if (failure := future.exception()) is not None]
        if failures:
            raise failures[0]
        if self._new_names:
            _sync(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
            self._new_names = False
        self._deleting = [self._background.submit(self.forget, name) for name in self._outdated]
        self._outdated = []
        self._grow()

    def outdate(self, name: str) -> None:
        """Delete the file once all that was written is safe: nothing refers to it any more then."""
        self._old.discard(_file(name))
        self._outdated.append(name)

    def close(self) -> None:
        """Wait for what goes on in the background."""
        self._growth.shutdown(cancel_futures=True)
        self._background.shutdown()

    def read(self, name: str) -> memoryview:
        """The state of that name; raises CheckpointError when it is gone."""
        path = self._folder / _file(name)
        try:
            with path.open("rb") as opened:
                content = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
            generation, length = _HEADER.unpack_from(content)
            if name != f"{path.name}#{generation}":
                raise ValueError(f"it holds state {generation}, not {name.partition('#')[2]}")
        except (OSError, ValueError, struct.error) as error:
            raise CheckpointError(
                f"the checkpoint refers to {path}, which cannot be read ({error}); restore the whole folder, or start "
                "afresh with an empty --state folder"
            ) from None
        return content[_HEADER.size : _HEADER.size + length]

    def forget(self, name: str) -> None:
        """Delete the file of that name, if it is there."""
        (self._folder / _file(name)).unlink(missing_ok=True)

    def sweep(self, living: Sequence[str] = ()) -> None:
        """Outdate what earlier runs have left, but for `living`."""
        for file in self._old - set(map(_file, living)):
            self.outdate(file)


class History:
    """The states of one shard, of the last KEPT epochs."""

    def __init__(self, files: StateFiles, name: str | None) -> None:
        """`name`: the state that the shard goes on from."""
        self._files = files
        self._names: deque[str] = deque([] if name is None else [name])
        self._theirs = name  # an earlier run's, which is not written over
        self._next = files.new()
        self._length = 0 if name is None else len(files.read(name))
        self._written = 0
        files.shards += 1
        files.make_room(self._next, self._length)

    @property
    def scratch(self) -> Scratch:
        """That of all shards."""
        return self._files.scratch

    def write(self, pieces: Sequence[bytes | memoryview]) -> str:
        """As `StateFiles.write`, over what is outdated. With the last shard's, all of the epoch are safe on disk.

        The engine takes the states of all shards one after another, since whatever comes in goes to all of them, and
        stores the names afterwards.
        """
        assert not self._names or self._names[-1] not in self._files.unsettled, "an epoch without some of the shards"
        self._names.append(self._files.write(pieces, over=self._next))
        self._written += 1
        self._choose_next(sum(memoryview(piece).nbytes for piece in pieces))
        if self._written == KEPT + 1:  # KEPT epochs of this run are stored, in all processes
            self._files.sweep(self._names)
        if len(self._files.unsettled) == self._files.shards:
            self._files.settle()
        return self._names[-1]

    def _choose_next(self, length: int) -> None:
        """Say where the next state goes, and let there be room for what it has grown by then."""
        oldest = self._names.popleft() if len(self._names) > KEPT else None
        if oldest is not None and oldest == self._theirs:
            self._files.outdate(oldest)
            oldest = None
        self._next = oldest or self._files.new()
        self._files.make_room(self._next, length + max(length // 8, 2 * (length - self._length)))
        self._length = length


def _file(name: str) -> str:
    return name.partition("#")[0]


def _sync(descriptor: int) -> None:
    """Wait until the disk has what was written, and close."""
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _enlarge(path: Path, size: int) -> None:
    """Let a file have that size at least. Where there is no room it stays as it is: who writes to it will be told."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        has = os.fstat(descriptor).st_size
        try:
            for start in range(has, size, len(_ZEROS)):
                os.pwrite(descriptor, _ZEROS[: size - start], start)
            if has < size:
                os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, has)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    while pieces:
        written = os.writev(descriptor, pieces[:_PIECES])
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = pieces[0][written:]
