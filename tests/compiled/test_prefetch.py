"""Memory asked for early: that it is asked for, and that nothing else comes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flows.compiled.prefetch import AHEAD, prefetch, upcoming


def _sum(rows: NDArray[Any], values: NDArray[Any]) -> Any:
    total = 0
    for i in range(len(rows)):
        prefetch(values, upcoming(rows, i))
        total += values[rows[i]["slot"]]
    return total


def rows_of(slots: ArrayLike) -> NDArray[Any]:
    rows = np.zeros(np.size(slots), [("slot", "i4"), ("ts", "i8")])
    rows["slot"] = slots
    return rows


def test_the_instruction_is_there_and_the_loop_computes_the_same() -> None:
    loop = numba.njit(_sum)
    slots = np.random.default_rng(1).integers(0, 1000, 5_000)
    values = np.arange(1000)
    assert loop(rows_of(slots), values) == values[slots].sum()
    (code,) = loop.inspect_llvm().values()
    assert "@llvm.prefetch" in code


def test_the_rows_ahead_end_with_the_last() -> None:
    rows = rows_of(range(AHEAD + 3))
    assert [upcoming(rows, i) for i in range(len(rows))] == [min(i + AHEAD, len(rows) - 1) for i in range(len(rows))]


def test_without_the_jit_nothing_is_done() -> None:
    program = "from flows.compiled.prefetch import prefetch; import numpy as np; print(prefetch(np.zeros(3), 1))"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "None\n"
