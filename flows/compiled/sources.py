"""Which sources a module is made from: its own, and those of every module of the project that it imports, however far.

Compiled code holds the constants and helpers of its time, wherever they were written. So it is good for as long as none
of these sources has changed, and of no use after that.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
_IMPORT: Final = re.compile(
    r"""^[ \t]*(?:
        from[ \t]+(?P<source>[\w.]+)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n]*)
        | import[ \t]+(?P<modules>[^\n]*)
    )""",
    re.MULTILINE | re.VERBOSE,
)
_NAME: Final = re.compile(r"[\w.]+")


@functools.cache
def digest(module: str) -> str | None:
    """16 hexadecimal digits that change with every source that `module` is made from (SHA-256, cut).

    None for a module that is none of the project's.
    """
    names = closure(module)
    if not names:
        return None
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(name.encode() + b"\0" + _read(name).encode() + b"\0")
    return found.hexdigest()[:16]


def closure(module: str) -> set[str]:
    """The names of the project's modules that importing `module` can bring in, it and their packages included."""
    found: set[str] = set()
    ahead = [module] if _path(module) else []
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += _imports(name)
    return found


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    """The project's modules among the names that a module imports, and its package."""
    asked = {name.rpartition(".")[0], *_imported(_read(name))}
    return tuple(one for one in asked if _path(one) is not None)


def _imported(text: str) -> Iterator[str]:
    for found in _IMPORT.finditer(text):
        source = found["source"]
        if source is None:
            yield from _NAME.findall(found["modules"])
        else:
            yield source
            yield from (f"{source}.{name}" for name in _NAME.findall(found["names"]))


@functools.cache
def _read(name: str) -> str:
    path = _path(name)
    assert path is not None
    return path.read_text()


@functools.cache
def _path(name: str) -> Path | None:
    """The source of a module; None when it is none of the project's."""
    if not name:
        return None
    place = PROJECT.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
