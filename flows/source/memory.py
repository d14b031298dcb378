"""Memory that numpy does not own, and functions of C, for compiled loops: by their addresses, which are int64.

Nothing is checked here. A wrong address ends the process.
"""

from __future__ import annotations

from typing import Any, Final

import numba.core.cgutils
import numba.core.types
import numba.extending
from llvmlite import ir

_intrinsic: Final[Any] = numba.extending.intrinsic
_tools: Final[Any] = numba.core.cgutils
_INT64: Final[Any] = numba.core.types.int64
_NOTHING: Final[Any] = numba.core.types.void
_WORD: Final = ir.IntType(64)
_ADDRESS: Final = ir.IntType(8).as_pointer()


def _integer_at(bits: int) -> Any:
    @_intrinsic  # type: ignore[untyped-decorator]
    def at(typing: Any, address: Any) -> Any:
        def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
            return found if bits == 64 else builder.sext(found, _WORD)

        return _INT64(_INT64), load

    return at


int32_at: Final = _integer_at(32)
"""The int32 at an address."""

int64_at: Final = _integer_at(64)
"""The int64 at an address."""


@_intrinsic  # type: ignore[untyped-decorator]
def copy_bytes(typing: Any, target: Any, source: Any, count: Any) -> Any:
    """`memcpy(target, source, count)`."""

    def copy(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, origin = (builder.inttoptr(argument, _ADDRESS) for argument in arguments[:2])
        _tools.raw_memcpy(builder, to, origin, arguments[2], 1)
        return context.get_dummy_value()

    return _NOTHING(_INT64, _INT64, _INT64), copy


@_intrinsic  # type: ignore[untyped-decorator]
def call_for_int64(typing: Any, function: Any, first: Any, second: Any) -> Any:
    """`int64_t function(void *first, void *second)`."""

    def call(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_ADDRESS, _ADDRESS]).as_pointer()
        given = [builder.inttoptr(argument, _ADDRESS) for argument in arguments[1:]]
        return builder.call(builder.inttoptr(arguments[0], kind), given)

    return _INT64(_INT64, _INT64, _INT64), call


@_intrinsic  # type: ignore[untyped-decorator]
def call_for_nothing(typing: Any, function: Any, argument: Any) -> Any:
    """`void function(void *argument)`."""

    def call(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_ADDRESS]).as_pointer()
        builder.call(builder.inttoptr(arguments[0], kind), [builder.inttoptr(arguments[1], _ADDRESS)])
        return context.get_dummy_value()

    return _NOTHING(_INT64, _INT64), call
