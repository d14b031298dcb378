"""The folder that holds a product's checkpoints: one run at a time, one set of definitions, nobody else's hands.

<folder>/lock             held (flock) while a run lives
<folder>/definitions.json what the state means: `fingerprint.definitions` of the config that began it
<folder>/part-0.sqlite3   the engine's store: pickles, so whoever can write here can run code as this user
<folder>/*.state          the states of shards, which the store names (state_files.py)
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.config import Config
from flows.fingerprint import definitions, describe_difference
from flows.state_files import StateFiles

STORE = "part-0.sqlite3"
WRITABLE_BY_OTHERS = 0o022


class FolderError(Exception):
    """The folder cannot be used; the message is one sentence that says what to do."""


class CheckpointFolder:
    """Opens `path` for one run of `config`; a context manager that holds the lock.

    `resumed` tells whether it holds a checkpoint to go on from.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        self._config = config
        self._lock: IO[str] | None = None
        self.resumed = False

    def __enter__(self) -> Self:
        self._own()
        self._lock = (self._path / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderError(
                f"the checkpoint folder {self._path} is in use by another run; stop that one first, "
                "or give this product a folder of its own (--state)"
            ) from None
        self.resumed = (self._path / STORE).exists()
        if self.resumed:
            self._compare()
        else:
            init_db_dir(self._path, 1)
            (self._path / "definitions.json").write_text(definitions(self._config))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def recovery(self) -> RecoveryConfig:
        """As the engine wants it."""
        return RecoveryConfig(str(self._path))

    def files(self) -> StateFiles:
        """Where the states of shards go."""
        return StateFiles(self._path)

    def _own(self) -> None:
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._path.stat()
        except OSError as error:
            raise FolderError(f"the checkpoint folder {self._path} cannot be used: {error.strerror}") from None
        if found.st_uid != os.getuid():
            raise FolderError(
                f"the checkpoint folder {self._path} belongs to user id {found.st_uid}, this process "
                f"runs as {os.getuid()}; run as its owner or choose another folder (--state)"
            )
        if found.st_mode & WRITABLE_BY_OTHERS:
            raise FolderError(
                f"the checkpoint folder {self._path} can be written by other users, who could run code "
                f"through it; make it private: chmod 700 {self._path}"
            )

    def _compare(self) -> None:
        file = self._path / "definitions.json"
        stored = file.read_text() if file.exists() else ""
        if not stored:
            raise FolderError(
                f"the checkpoint folder {self._path} does not say which config it was made with "
                "(definitions.json is missing); choose an empty folder (--state) to count afresh"
            )
        if differences := describe_difference(stored, definitions(self._config)):
            listed = "\n".join(f"  - {difference}" for difference in differences)
            raise FolderError(
                f"the checkpoint in {self._path} was made with other definitions:\n{listed}\n"
                "restore them, or choose an empty folder (--state) to count afresh under the new ones"
            )
