"""The folder that holds a product's checkpoints: one run at a time, one set of definitions, nobody else's hands.

<folder>/lock             held (flock) while a run lives
<folder>/definitions.json what the state means: `Definitions.text` of the last config that went on from it
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
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.checkpoint.files import SUFFIX
from flows.checkpoint.parts import Change, Definitions, compare
from flows.compiled.trusted_path import OTHERS, doubts, make_private
from flows.messages.errors import TidegaugeError

STORE = "part-0.sqlite3"
DEFINITIONS = "definitions.json"
DEAD_LETTERS = "dead-letters-*.ndjson"
OURS = ("lock", DEFINITIONS, "token", "part-*", f"*{SUFFIX}", DEAD_LETTERS)
PRIVATE = 0o600

logger = logging.getLogger(__name__)


class FolderError(TidegaugeError):
    """The folder cannot be used; the message is one sentence that says what to do."""


class ChangesRefused(FolderError):  # noqa: N818 - nobody's mistake, perhaps
    """Going on from the folder would lose a part of what it knows, and nobody has said that this is meant."""


class CheckpointFolder:
    """Opens `path` for one run under `definitions`; a context manager that holds the lock.

    `resumed` tells whether it holds a checkpoint to go on from. With `accept_changes` also where that loses something.
    """

    def __init__(self, path: Path, definitions: Definitions, *, accept_changes: bool = False) -> None:
        self._path = path
        self._definitions = definitions
        self._accept_changes = accept_changes
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
            self._remember_definitions()
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

    def _remember_definitions(self) -> None:
        new = self._path / f"{DEFINITIONS}.new"
        new.write_text(self._definitions.text())
        new.chmod(PRIVATE)
        new.replace(self._path / DEFINITIONS)

    def _compare(self) -> None:
        found = compare(stored_definitions(self._path), self._definitions)
        if found.refused:
            raise ChangesRefused(
                f"the checkpoint in {self._path} was made for something else:\n{_listed(found.refused)}\n"
                "restore that, or choose an empty folder (--state) to count afresh"
            )
        if found.losses and not self._accept_changes:
            raise ChangesRefused(
                f"to go on from the checkpoint in {self._path} under these definitions would lose what is known of\n"
                f"{_listed(map(told, found.losses))}\n"
                "restore them, or say with --accept-changes that this is meant; everything else goes on"
            )
        for change in found.losses:
            logger.warning("%s", told(change))
        for change in found.changes:
            if change.fate == "new":
                logger.info("%s", told(change))
        for line in found.reading:
            logger.info("%s, for what is read from now on", line)
        self._remember_definitions()


def stored_definitions(path: Path) -> Definitions:
    """Those that the checkpoint in a folder was made with; raises FolderError."""
    try:
        return Definitions.of((path / DEFINITIONS).read_text())
    except OSError as error:
        raise FolderError(
            f"the folder {path} does not say which config its checkpoint was made with ({DEFINITIONS}: "
            f"{error.strerror}); choose an empty folder (--state) to count afresh"
        ) from None
    except ValueError:
        raise FolderError(
            f"the checkpoint in {path} was made by an older version of tidegauge; "
            "run that version, or choose an empty folder (--state) to count afresh"
        ) from None


def told(change: Change) -> str:
    """One line: what becomes of a part, and why."""
    fates = {"keeps": "goes on", "afresh": "starts afresh", "new": "is new and begins now", "goes": "is forgotten"}
    return f"{change.part} {fates[change.fate]}" + (f": {'; '.join(change.reasons)}" if change.reasons else "")


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"  - {line}" for line in lines)
