"""Compiled loops: `@kernel` marks a plain Python loop over arrays that runs as machine code.

The same function without the JIT is `function.py_func` (or everything, under `NUMBA_DISABLE_JIT=1`), which is how
tests read them. Compiled code is kept on disk between runs, in a folder named after the sources it was made from:
numba itself only looks at the file of the outermost function, so a changed helper would leave stale callers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


SOURCES = ("columns.py", "formulas.py")
"""Files without kernels whose constants are compiled into kernels."""


def _cache_folder() -> str:
    """A folder per version of the sources that compiled code is made from, below the user's cache."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        text = source.read_bytes()
        if b"\n@kernel\n" in text or source.name in SOURCES:
            digest.update(str(source.relative_to(package)).encode() + b"\0" + text)
    home = os.environ.get("TIDEGAUGE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "tidegauge"
    )
    return os.path.join(home, "kernels", digest.hexdigest()[:16])


if not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]


def kernel(function: Function) -> Function:
    """`function` compiled at its first call for the argument types it meets.

    Integer division by zero does not raise inside (no kernel divides by a number that can be 0).
    """
    return numba.njit(cache=True, error_model="numpy")(function)  # type: ignore[return-value]
