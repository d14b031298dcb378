"""Integers at any place of a byte buffer, for compiled loops: one instruction each, aligned or not.

Without the JIT, and as the definition, they are `word_of` and `put_word_of`.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numba
import numba.core.types
import numba.extending
from llvmlite import ir
from numba.np import arrayobj
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined

assert sys.byteorder == "little", "what is stored is little-endian"

_INT64: Final = ir.IntType(64)


def word_of(buffer: NDArray[Any], at: Number, size: int, signed: bool) -> Number:
    """The integer of `size` bytes at `buffer[at]` (dtype u1), little-endian."""
    return int.from_bytes(bytes(buffer[at : at + size]), "little", signed=signed)


def put_word_of(buffer: NDArray[Any], at: Number, size: int, value: Number) -> None:
    """Write the lowest `size` bytes of an integer to `buffer[at]`."""
    buffer[at : at + size] = list((int(value) & (1 << 8 * size) - 1).to_bytes(size, "little"))


def _place(context: Any, builder: Any, signature: Any, arguments: Any, size: int) -> Any:
    data = arrayobj.make_array(signature.args[0])(context, builder, arguments[0]).data  # type: ignore[no-untyped-call]
    return builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8 * size).as_pointer())


def _reader(size: int, signed: bool) -> Any:
    def word(buffer: NDArray[Any], at: Number) -> Number:
        return word_of(buffer, at, size, signed)

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return word
    int64: Any = numba.core.types.int64

    def typed(typing: Any, buffer: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(_place(context, builder, signature, arguments, size), align=1)
            if size == 8:
                return value
            return builder.sext(value, _INT64) if signed else builder.zext(value, _INT64)

        return int64(buffer, int64), code

    return numba.extending.intrinsic(typed)


def _writer(size: int) -> Any:
    def put_word(buffer: NDArray[Any], at: Number, value: Number) -> None:
        put_word_of(buffer, at, size, value)

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return put_word
    types: Any = numba.core.types

    def typed(typing: Any, buffer: Any, at: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _place(context, builder, signature, arguments, size)
            builder.store(builder.trunc(arguments[2], place.type.pointee) if size < 8 else arguments[2], place, align=1)
            return context.get_dummy_value()

        return types.void(buffer, types.int64, types.int64), code

    return numba.extending.intrinsic(typed)


_signed_1, _signed_2, _signed_4 = (_reader(size, True) for size in (1, 2, 4))
_unsigned_1, _unsigned_2, _unsigned_4 = (_reader(size, False) for size in (1, 2, 4))
_word_8 = _reader(8, True)
_put_1, _put_2, _put_4 = (_writer(size) for size in (1, 2, 4))
put_8: Final = _writer(8)
"""`put_8(buffer, at, value)`: `put_word_of` with 8 bytes."""


@inlined
def word_at(buffer: NDArray[Any], at: Number, size: Number, signed: Number) -> Number:
    """`word_of`, for 1, 2, 4 or 8 bytes; of 8 bytes always as signed."""
    if size == 8:
        return _word_8(buffer, at)
    if size == 4:
        return _signed_4(buffer, at) if signed else _unsigned_4(buffer, at)
    if size == 2:
        return _signed_2(buffer, at) if signed else _unsigned_2(buffer, at)
    return _signed_1(buffer, at) if signed else _unsigned_1(buffer, at)


@inlined
def put_word(buffer: NDArray[Any], at: Number, size: Number, value: Number) -> None:
    """`put_word_of`, for 1, 2, 4 or 8 bytes."""
    if size == 8:
        put_8(buffer, at, value)
    elif size == 4:
        _put_4(buffer, at, value)
    elif size == 2:
        _put_2(buffer, at, value)
    else:
        _put_1(buffer, at, value)
