"""How hot loops are compiled: once, cached on disk, and without counting references to arrays.

Numba counts a reference up and down around every call that passes an array, with locked instructions, and LLVM cannot
remove them: the scanner took 125 ns for an empty record instead of 5 with it, and 460 ns for a full one instead of 176.
Functions compiled here therefore must not create, slice, return or keep arrays; they write into those that they are
given. With NUMBA_DISABLE_JIT=1 they are plain Python, and `function.py_func` always is.

Compiled code is kept on disk, where only this user can write, in a folder named after the sources it was made from:
numba itself looks only at the file of the outermost function, so that a changed helper would leave stale callers.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import numba

from schemas.trusted_path import OTHERS, doubts

logger = logging.getLogger(__name__)

Number: TypeAlias = Any
"""An int64 or uint64 in compiled loops (mixing the two gives a float), and an int for who calls them."""

Function = TypeVar("Function", bound=Callable[..., object])

CONSTANTS: Final = ("columns.py", "formulas.py")
"""Files without compiled functions whose constants are compiled in."""


def _cache_folder() -> str:
    """A folder per version of the sources that compiled code is made from, below the user's cache."""
    project = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for package in ("flows", "schemas"):
        for source in sorted((project / package).rglob("*.py")):
            text = source.read_bytes()
            if b"compiled" in text or source.name in CONSTANTS:
                digest.update(str(source.relative_to(project)).encode() + b"\0" + text)
    home = os.environ.get("TIDEGAUGE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "tidegauge"
    )
    return os.path.join(home, "kernels", digest.hexdigest()[:16])


def _is_private(folder: Path) -> bool:
    """Make the folder, and say whether nobody else can put code there for this process to run."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        doubt = next((one.text for one in doubts(folder) if one.grave), None)
    except OSError:
        return True  # numba finds that out, too, and then compiles without a cache
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & OTHERS:
        doubt = f"others can write to {folder}"
    if doubt:
        logger.warning("compiled loops are not kept, so every start takes a minute: %s (TIDEGAUGE_CACHE)", doubt)
    return not doubt


def _keeps() -> bool:
    """Choose where compiled loops are kept; False: nowhere, since others could write there."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return True
    folder = _cache_folder()
    numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
    return _is_private(Path(folder))


_OPTIONS: Final[dict[str, Any]] = {"cache": _keeps(), "error_model": "numpy", "_nrt": False}
"""No loop divides by a number that can be 0, so that none needs to be ready to raise."""


def compiled(function: Function) -> Function:
    """A compiled loop that Python calls."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """A part of compiled loops, copied into each: handing over arrays costs more than most parts do."""
    return cast(Function, numba.njit(**_OPTIONS, forceinline=True)(function))
