"""Looking at 32 bytes of JSON at once: where a string ends, or needs a closer look.

LLVM makes of it what the processor has: two AVX2 or four SSE2 comparisons, or plain ones. Without the JIT, and as the
definition, it is the loop of `first_mark_of`.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numba.core.types
import numba.extending
from llvmlite import ir
from numba.np import arrayobj
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled

WIDTH: Final = 32
"""Bytes looked at; so many must follow in the buffer."""

_QUOTE: Final = 34
_BACKSLASH: Final = 92
_BYTE: Final = ir.IntType(8)
_VECTOR: Final = ir.VectorType(_BYTE, WIDTH)
_WORD: Final = ir.IntType(64)


def first_mark_of(buffer: NDArray[Any], at: Number) -> Number:
    """How many bytes from `at` on are plain: ASCII, no control character, quote or backslash; at most WIDTH."""
    for index in range(WIDTH):
        byte = int(buffer[at + index])
        if byte in (_QUOTE, _BACKSLASH) or byte < 32 or byte > 127:
            return index
    return WIDTH


def _vectorised() -> Any:
    intrinsic: Any = numba.extending.intrinsic
    int64: Any = numba.core.types.int64
    make_array: Any = arrayobj.make_array

    @intrinsic  # type: ignore[untyped-decorator]
    def first_mark(typing: Any, buffer: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.gep(data, [arguments[1]])
            bytes_ = builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=1)
            # As a signed number a byte above 127 is below 32, too.
            marks = builder.icmp_signed("<", bytes_, ir.Constant(_VECTOR, [32] * WIDTH))
            for byte in (_QUOTE, _BACKSLASH):
                marks = builder.or_(marks, builder.icmp_unsigned("==", bytes_, ir.Constant(_VECTOR, [byte] * WIDTH)))
            bits = builder.zext(builder.bitcast(marks, ir.IntType(WIDTH)), _WORD)
            bits = builder.or_(bits, ir.Constant(_WORD, 1 << WIDTH))
            return builder.cttz(bits, ir.Constant(ir.IntType(1), 1))

        return int64(buffer, int64), code

    return first_mark


first_mark: Final[Any] = first_mark_of if numba.config.DISABLE_JIT else _vectorised()  # type: ignore[attr-defined]
"""`first_mark_of`, for compiled loops."""


@compiled
def first_mark_at(buffer: NDArray[Any], at: Number) -> Number:
    """`first_mark`, for single calls."""
    return first_mark(buffer, at)
