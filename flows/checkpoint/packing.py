"""Arrays in fewer bytes: each column of some thousand rows with no more of them than its values need.

    times        1774742400123  1774742401040  (none)         0              1774742400999
    base         1774742400123
    2 bytes                  4            921       0         2                        880

A block of rows is stored column by column, each behind a head: its base, a second base (8 bytes each, little-endian)
and its width (one byte). A width of up to 7 bytes is that of codes. The numbers that say that there is nothing
(`NO_TIME`, -1, 0 and `NEVER`) have the codes 0 to 3, any other 4 plus its distance to the base, which is the smallest
of them. Where some lie beyond `NEVER`, as deadlines that have passed do, there is a second base: a distance is then
doubled, and odd for those, whose distance is that to the second base. With a width of 0 all have the base itself. Above
7 values are stored as they are, in so many bytes less 8.

This is frame of reference, as column stores have it. It is as fast as to write what it saves.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.compiled.words import put_8, put_word, word_at
from flows.messages.columns import NEVER, NO_TIME

BLOCK: Final = 2_048  # rows: what is looked at twice stays in the processor's cache
WORTH_PACKING: Final = 4_096  # bytes
HEAD: Final = 17
PLAIN: Final = 8
FIRST_CODE: Final = 4
WIDEST: Final = 2**54
"""A range from which on a code takes 8 bytes, as the value does."""
LARGEST: Final = 2**63 - 1
BELOW_NEVER: Final = NEVER - 1
"""The bits that `NO_TIME`, 0 and `NEVER` have not, and any other number that is packed has."""
NOTHING_WIDE: Final = 8
"""Bytes behind what is packed that are written to, and mean nothing."""


class Scratch:
    """Memory that packed arrays are written to, again and again: new pages cost more than packing."""

    def __init__(self) -> None:
        self._bytes: NDArray[np.uint8] = np.zeros(0, np.uint8)

    def of(self, size: int) -> NDArray[np.uint8]:
        """So many bytes, which hold anything."""
        if size > len(self._bytes):
            self._bytes = np.empty(size + size // 4, np.uint8)
        return self._bytes


def is_packed(array: NDArray[Any]) -> bool:
    """Whether an array is worth it."""
    return array.nbytes >= WORTH_PACKING


def most(array: NDArray[Any]) -> int:
    """How many bytes an array takes at most when packed."""
    blocks = -(-array.size // BLOCK)
    return array.nbytes + blocks * HEAD * len(columns(array.dtype)) + NOTHING_WIDE


def pack(array: NDArray[Any], packed: NDArray[np.uint8]) -> int:
    """Write a contiguous array to `packed`, which has room for `most`; returns how many bytes it takes there."""
    rows = array.reshape(-1).view(np.uint8)
    return _pack(rows, array.dtype.itemsize, array.size, columns(array.dtype), packed)


def unpack(packed: NDArray[np.uint8], dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """The array, flat, of so many elements; NOTHING_WIDE bytes follow what is packed."""
    array = np.empty(size, dtype)
    _unpack(packed, dtype.itemsize, size, columns(dtype), array.view(np.uint8))
    return array


def columns(dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Of each number in an element: where it begins, how many bytes it has, and whether it is signed; shape (n, 3)."""
    return np.array(_columns(dtype, 0), np.int64).reshape(-1, 3)


def _columns(dtype: np.dtype[Any], offset: int) -> list[tuple[int, int, int]]:
    if dtype.fields is not None:
        return [column for of, at, *_ in dtype.fields.values() for column in _columns(of, offset + at)]
    if dtype.subdtype is not None:
        one, shape = dtype.subdtype
        return [
            column for number in range(int(np.prod(shape))) for column in _columns(one, offset + number * one.itemsize)
        ]
    return [(offset, dtype.itemsize, int(dtype.kind == "i"))]


@inlined
def _code(value: Number, low: Number, far_low: Number, doubled: Number) -> Number:
    if value & BELOW_NEVER == 0:
        return 2 if value == 0 else 3 if value == NEVER else 0
    if value == -1:
        return 1
    if value > NEVER:
        return ((value - far_low) << 1) + FIRST_CODE + 1
    return ((value - low) << doubled) + FIRST_CODE


@compiled
def _pack(rows: NDArray[Any], row: int, count: int, columns: NDArray[np.int64], packed: NDArray[Any]) -> int:
    place = 0
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        for column in range(len(columns)):
            begin = first * row + columns[column, 0]
            size = columns[column, 1]
            signed = columns[column, 2]
            one = word_at(rows, begin, size, signed)
            same = True
            plain = nothing = False
            low = far_low = LARGEST
            high = far_high = 0
            for i in range(last - first):
                value = word_at(rows, begin + i * row, size, signed)
                same &= value == one
                if value < -1 and value != NO_TIME:
                    plain = True
                    break
                if value & BELOW_NEVER == 0 or value == -1:
                    nothing = True
                elif value > NEVER:
                    far_low = min(far_low, value)
                    far_high = max(far_high, value)
                else:
                    low = min(low, value)
                    high = max(high, value)
            doubled = np.int64(far_high > 0)
            longest = max(0, high - low, far_high - far_low)
            width = 1
            while width < size and longest < WIDEST and ((longest << doubled) + FIRST_CODE + 1) >> (8 * width):
                width += 1
            if same and not plain:
                width = 0
                low = one
            elif plain or longest >= WIDEST or width >= size:
                width = PLAIN + size
            put_8(packed, place, low)
            put_8(packed, place + 8, far_low if far_high else 0)
            packed[place + 16] = width
            place += HEAD
            if width > PLAIN:
                for i in range(last - first):
                    put_word(packed, place, size, word_at(rows, begin + i * row, size, signed))
                    place += size
            elif width:
                usual = not nothing and not doubled
                for i in range(last - first):
                    value = word_at(rows, begin + i * row, size, signed)
                    put_8(packed, place, value - low + FIRST_CODE if usual else _code(value, low, far_low, doubled))
                    place += width
    return place


@compiled
def _unpack(packed: NDArray[Any], row: int, count: int, columns: NDArray[np.int64], rows: NDArray[Any]) -> None:
    place = 0
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        for column in range(len(columns)):
            begin = first * row + columns[column, 0]
            size = columns[column, 1]
            signed = columns[column, 2]
            low = word_at(packed, place, 8, 1)
            far_low = word_at(packed, place + 8, 8, 1)
            width: Number = np.int64(packed[place + 16])
            place += HEAD
            if width > PLAIN:
                for i in range(last - first):
                    put_word(rows, begin + i * row, size, word_at(packed, place, size, signed))
                    place += size
                continue
            mask = (1 << 8 * width) - 1
            doubled = np.int64(far_low != 0)
            for i in range(last - first):
                value: Number = low
                if width:
                    code = word_at(packed, place, 8, 1) & mask
                    place += width
                    distance = code - FIRST_CODE
                    if code == 0:
                        value = NO_TIME
                    elif code == 1:
                        value = -1
                    elif code == 2:
                        value = 0
                    elif code == 3:
                        value = NEVER
                    elif doubled and distance & 1:
                        value = far_low + (distance >> 1)
                    else:
                        value = low + (distance >> doubled)
                put_word(rows, begin + i * row, size, value)
