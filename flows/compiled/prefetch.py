"""Fetching memory before it is needed: with many users their rows lie far apart, and every one of them is a wait.

A loop knows whom it will come to. It asks for that user's rows some iterations early, and they are there when it comes.
What is computed stays the same, so that without the JIT nothing is done.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numba.core.types
import numba.extending
from llvmlite import ir
from numba.np import arrayobj
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined

AHEAD: Final = 8
"""So many rows early: memory takes about as long as a loop does for as many."""

_BYTE_PLACE: Final = ir.IntType(8).as_pointer()
_INT: Final = ir.IntType(32)
_TO_WRITE, _TO_KEEP, _DATA = (ir.Constant(_INT, value) for value in (1, 3, 1))  # as llvm.prefetch takes them


def _nothing(array: NDArray[Any], index: Number) -> None:
    """Nothing is fetched."""


def _fetching() -> Any:
    intrinsic: Any = numba.extending.intrinsic
    types: Any = numba.core.types
    make_array: Any = arrayobj.make_array

    @intrinsic  # type: ignore[untyped-decorator]
    def prefetch(typing: Any, array: Any, index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.bitcast(builder.gep(data, [arguments[1]]), _BYTE_PLACE)
            signature_ = ir.FunctionType(ir.VoidType(), [_BYTE_PLACE, _INT, _INT, _INT])
            fetch = builder.module.declare_intrinsic("llvm.prefetch", [_BYTE_PLACE], signature_)
            builder.call(fetch, [place, _TO_WRITE, _TO_KEEP, _DATA])
            return context.get_dummy_value()

        return types.void(array, types.intp), code

    return prefetch


prefetch: Final[Any] = _nothing if numba.config.DISABLE_JIT else _fetching()  # type: ignore[attr-defined]
"""`prefetch(array, index)` in a compiled loop: `array[index]` (one-dimensional, contiguous) will soon be changed."""


@inlined
def upcoming(rows: NDArray[Any], i: int) -> Any:
    """The slot of the user of row `i + AHEAD`, or of the last row."""
    return rows[min(i + AHEAD, len(rows) - 1)]["slot"]
