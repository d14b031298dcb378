"""Whether only this user and root can change what a path leads to.

Some files are as good as code: the engine's store holds pickles, and so does numba's cache of compiled loops. Whoever
can write one, or put another in its place, runs code as this user. So every folder on the way counts, and every link:

    /srv        root, 0755                  nobody else can rename what is in it
    /tmp        root, 1777                  sticky: nobody else can rename what is ours
    /tmp/link   another user's              can be pointed elsewhere: not to be trusted
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
MOST_LINKS: Final = 40
"""As many as Linux follows."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a path is not to be trusted: a clause without a full stop. `grave`: somebody else surely could change it."""

    text: str
    grave: bool = True


def doubts(path: Path) -> Iterator[Doubt]:
    """What speaks against trusting the folders and links on the way to `path`, without what `path` itself is.

    A folder that one of this process's own groups can write is no grave one: in a container nobody else is in it.
    Raises OSError where something on the way cannot be looked at.
    """
    waiting = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    at = Path("/")
    links = 0
    while waiting:
        yield from _folder(at)
        name = waiting.pop()
        if name == "..":
            at = at.parent
            continue
        there = at / name
        if not there.is_symlink():
            if not waiting or not there.exists():
                return
            at = there
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(40, os.strerror(40), str(path))
        if (owner := there.lstat().st_uid) not in (0, os.geteuid()):
            yield Doubt(f"the link {there} belongs to user id {owner}, who can point it elsewhere")
        target = Path(os.readlink(there))
        parts = target.parts
        if target.is_absolute():
            at, parts = Path("/"), parts[1:]
        waiting += reversed(parts)


def _folder(folder: Path) -> Iterator[Doubt]:
    found = folder.stat()
    if found.st_uid not in (0, os.geteuid()):
        yield Doubt(f"the folder {folder} belongs to user id {found.st_uid}, who can replace what is in it")
    sticky = found.st_mode & stat.S_ISVTX
    if found.st_mode & stat.S_IWOTH and not sticky:
        yield Doubt(f"everybody can write to the folder {folder}, and replace what is in it")
    elif found.st_mode & stat.S_IWGRP and not sticky and found.st_gid != 0:
        ours = found.st_gid in (os.getegid(), *os.getgroups())
        yield Doubt(
            f"group id {found.st_gid} can write to the folder {folder}, and replace what is in it", grave=not ours
        )


def make_private(folder: Path) -> None:
    """`mkdir -p`, all of it private, whatever the umask."""
    if not folder.exists():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
