"""How hot loops are compiled: once, cached on disk, and without counting references to arrays.

Numba counts a reference up and down around every call that passes an array, with locked instructions, and LLVM cannot
remove them: the scanner took 125 ns for an empty record instead of 5 with it, and 460 ns for a full one instead of 176.
Functions compiled here therefore must not create, slice, return or keep arrays; they write into those that they are
given. With NUMBA_DISABLE_JIT=1 they are plain Python, and `function.py_func` always is.

Compiled code is kept on disk, where only this user can write. Each module's loops lie in a folder named after all the
sources that can reach them (`sources.py`): numba itself looks only at the file of the outermost function, so that a
changed helper or constant elsewhere would leave stale callers.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import numba

from flows.compiled import sources
from flows.compiled.trusted_path import OTHERS, doubts

logger = logging.getLogger(__name__)

Number: TypeAlias = Any
"""An int64 or uint64 in compiled loops (mixing the two gives a float), and an int for who calls them."""

Function = TypeVar("Function", bound=Callable[..., object])


def _cache_folder() -> str:
    """Where compiled loops are kept: below the user's cache, unless the environment says otherwise."""
    home = os.environ.get("TIDEGAUGE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "tidegauge"
    )
    return os.path.join(home, "kernels")


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


def _writable(folder: Path) -> Path:
    """`folder`, or where it cannot be written a copy of it that lives as long as this process.

    Numba uses no cache that it cannot write to. In an image the root is read-only, and the loops were compiled when it
    was built: they are copied (a few MB) instead of compiled again.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        copy = tempfile.mkdtemp(prefix="tidegauge-kernels-")
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        try:
            if folder.is_dir() and _is_private(folder):
                shutil.copytree(folder, copy, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            logger.warning("compiled loops cannot be read, so they are compiled anew: %s (TIDEGAUGE_CACHE)", error)
        return Path(copy)
    return folder


def _kept_in() -> str | None:
    """The folder in which compiled loops are kept; None: nowhere, since others could write there."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return chosen
    wanted = Path(_cache_folder())
    folder = _writable(wanted)
    # A copy is this process's own, mode 0700, made a moment ago of what is private. The folder above it is the system's
    # for such things; in a Kubernetes pod it is open to all without the sticky bit, and to nobody but this user.
    return str(folder) if folder != wanted or _is_private(folder) else None


_KEPT_IN: Final = _kept_in()
_OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
"""No loop divides by a number that can be 0, so that none needs to be ready to raise. None is called by C."""
_PART: Final[dict[str, Any]] = {"forceinline": True, "no_cpython_wrapper": True}


def _jit(function: Callable[..., object], **options: Any) -> Any:
    digest = sources.digest(function.__module__)
    kept = _KEPT_IN and digest and os.path.join(_KEPT_IN, digest, "parts" if options else "loops")
    if kept:
        numba.config.CACHE_DIR = kept  # type: ignore[attr-defined] # asked for at once, by the next line
    return numba.njit(**_OPTIONS, cache=bool(kept), **options)(function)


def compiled(function: Function) -> Function:
    """A compiled loop that Python calls."""
    return cast(Function, _jit(function))


class _Steady:
    """A compiled loop that is called from Python only, always with arguments of the same types."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.py_func = function
        self._loop: Any = compiled(function)
        self._entry: Callable[..., object] | None = None

    def __call__(self, *arguments: object) -> object:
        if self._entry is not None:
            return self._entry(*arguments)
        result = self._loop(*arguments)
        if isinstance(self._loop, numba.core.dispatcher.Dispatcher):
            made: Any
            (made,) = self._loop.overloads.values()  # fails at a second combination of types
            if not checks_types:
                self._entry = made.entry_point
        return result


checks_types = False
"""Whether steady loops look at their arguments with every call: set by tests, which fail where types differ."""


def steady(function: Function) -> Function:
    """As `compiled`, for a loop that is called often with little to do, from Python only.

    Numba finds out the types of all arguments with every call, which takes ten times as long as the call itself where
    they are tuples of arrays. The arguments of such a loop have the same types always: arrays of one dtype, contiguous
    and writable. They are looked at once.
    """
    return cast(Function, _Steady(function))


class _Inlined:
    """A part of compiled loops.

    To be called from Python, a compiled function needs a wrapper, which takes longer to compile than the function
    itself where arguments are tuples of arrays. A part has none; if Python calls it all the same, it is compiled again.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self._part: Any = _jit(function, **_PART)
        self._numba_type_ = self._part._numba_type_  # what loops take it for
        self._loop: Callable[..., object] | None = None

    def __call__(self, *arguments: object) -> object:
        if self._loop is None:
            self._loop = compiled(self.py_func)
        return self._loop(*arguments)


def inlined(function: Function) -> Function:
    """A part of compiled loops, copied into each: handing over arrays costs more than most parts do."""
    return function if numba.config.DISABLE_JIT else cast(Function, _Inlined(function))  # type: ignore[attr-defined]
