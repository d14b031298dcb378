"""The folder that holds a product's checkpoints: one run at a time, one set of definitions, nobody else's hands.

<folder>/lock             held (flock) while a run lives
<folder>/definitions.json what the state means: `fingerprint.definitions` of the config that began it
<folder>/token            the fencing token of the last run
<folder>/part-0.sqlite3   the engine's store: pickles, so whoever can write here can run code as this user
<folder>/*.state          the states of shards, which the store names (files.py)
<folder>/dead-letters-*   copies of rejected records that Kafka has not taken yet (publish/dead_letters/spool.py)
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.checkpoint.files import SUFFIX
from flows.checkpoint.fingerprint import definitions, describe_difference
from flows.compiled.trusted_path import OTHERS, doubts, make_private
from flows.config.model import Config
from flows.messages.errors import TidegaugeError

STORE = "part-0.sqlite3"
DEAD_LETTERS = "dead-letters-*.ndjson"
OURS = ("lock", "definitions.json", "token", "part-*", f"*{SUFFIX}", DEAD_LETTERS)
PRIVATE = 0o600

logger = logging.getLogger(__name__)


class FolderError(TidegaugeError):
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
            (self._path / STORE).chmod(PRIVATE)  # whatever the umask; SQLite gives its other files the same mode
            (self._path / "definitions.json").write_text(definitions(self._config))
            (self._path / "definitions.json").chmod(PRIVATE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def recovery(self) -> RecoveryConfig:
        """As the engine wants it."""
        return RecoveryConfig(str(self._path))

    def last_token(self) -> int:
        """The fencing token of the last run here; 0: none is known."""
        file = self._path / "token"
        text = file.read_text().strip() if file.exists() else ""
        return int(text) if text.isdecimal() else 0

    def remember_token(self, token: int) -> None:
        """Keep this run's fencing token for the next one."""
        new = self._path / "token.new"
        new.write_text(f"{token}\n")
        new.replace(self._path / "token")  # all or nothing, like everything here

    def _own(self) -> None:
        """Make the folder if need be, and refuse it where somebody else can change what is in it."""
        try:
            make_private(self._path)
            for doubt in doubts(self._path):
                if doubt.grave:
                    raise FolderError(
                        f"the checkpoint folder {self._path} is not safe, for who can change it can run code as this "
                        f"user: {doubt.text}; choose a folder in a place of this user's own (--state)"
                    )
                logger.warning("the checkpoint folder %s: %s", self._path, doubt.text)
            self._check(self._path, stat.S_ISDIR, "700")
            for pattern in OURS:
                for entry in sorted(self._path.glob(pattern)):
                    self._check(entry, stat.S_ISREG, "600")
        except OSError as error:
            raise FolderError(f"the checkpoint folder {self._path} cannot be used: {error.strerror}") from None

    def _check(self, path: Path, is_right_kind: Callable[[int], bool], mode: str) -> None:
        """Refuse what is another user's, or may be written by one."""
        what = "checkpoint folder" if path == self._path else "file"
        found = path.stat() if path == self._path else path.lstat()
        if not is_right_kind(found.st_mode):
            raise FolderError(f"{path} is no {what.split()[-1]}, as a checkpoint has; choose another folder (--state)")
        if found.st_uid != os.geteuid():
            raise FolderError(
                f"the {what} {path} belongs to user id {found.st_uid}, this process "
                f"runs as {os.geteuid()}; run as its owner or choose another folder (--state)"
            )
        if found.st_mode & OTHERS:
            raise FolderError(
                f"the {what} {path} can be written by other users, who could run code "
                f"through it; make it private: chmod {mode} {path}"
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
