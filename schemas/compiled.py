"""How hot loops are compiled: once, cached on disk, and without counting references to arrays.

Numba counts a reference up and down around every call that passes an array, with locked instructions, and
LLVM cannot remove them: the scanner took 125 ns for an empty record instead of 5 with it, and 460 ns for a
full one instead of 176. Functions compiled here therefore must not create, return or keep arrays; they write
into those that they are given. With NUMBA_DISABLE_JIT=1 they are plain Python.

The cache of a compiled function is renewed when its own file changes, not when a file that it calls into
does: after such a change run once with an empty NUMBA_CACHE_DIR, or delete `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False}

Number: TypeAlias = Any
"""An int64 or uint64 in compiled loops (mixing the two gives a float), and an int for who calls them."""

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """A compiled loop that Python calls."""
    return cast(Function, njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """A part of compiled loops, copied into each: handing over arrays costs more than most parts do."""
    return cast(Function, njit(**_OPTIONS, forceinline=True)(function))
