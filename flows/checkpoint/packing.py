"""Arrays in fewer bytes: each number of 8 bytes, in some thousand rows, with no more of them than the values need.

    times        1774742400123  1774742401040  (none)         0              1774742400999
    base         1774742400123
    2 bytes                  4            921       0         1                        880

A block of rows is stored column by column. What is smaller than 8 bytes is copied: it would take longer to pack than to
write. A column of numbers has a head: its base, a second base (8 bytes each, little-endian) and its width (one byte).
A width of 1 to 7 bytes is that of codes. The numbers that say that there is nothing (`NO_TIME`, 0, `NEVER` and -1) have
the codes 0 to 3, any other 4 plus its distance to the base, which is the smallest of them. Where some lie beyond
`NEVER`, as deadlines that have passed do, there is a second base: a distance is then doubled, and odd for those, whose
distance is that to the second base. With a width of 0 all have the base itself, with one of 8 they are as they are.

This is frame of reference, as column stores have it.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.compiled.words import put_8, put_word, word_at
from flows.messages.columns import NEVER, NO_TIME

BLOCK: Final = 2_048  # rows: what is looked at twice stays in the processor's cache
WORTH_PACKING: Final = 4_096  # bytes
WORD: Final = 8
HEAD: Final = 17
CODE_OF_MINUS_ONE: Final = 3
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
    """The array of `size` elements, one-dimensional. `packed` must have NOTHING_WIDE further bytes at its end."""
    array = np.empty(size, dtype)
    _unpack(packed, dtype.itemsize, size, columns(dtype), array.view(np.uint8))
    return array


@functools.cache
def columns(dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """The numbers of 8 bytes in an element, and between them what is copied: where each begins, how many bytes it has,
    and whether it is such a number; shape (n, 3).
    """
    found: list[tuple[int, int, int]] = []
    for offset, size in _numbers(dtype, 0):
        if size < WORD and found and not found[-1][2] and sum(found[-1][:2]) == offset:
            found[-1] = (found[-1][0], found[-1][1] + size, 0)
        else:
            found.append((offset, size, int(size == WORD)))
    return np.array(found, np.int64).reshape(-1, 3)


def _numbers(dtype: np.dtype[Any], offset: int) -> list[tuple[int, int]]:
    if dtype.fields is not None:
        return [number for of, at, *_ in dtype.fields.values() for number in _numbers(of, offset + at)]
    if dtype.subdtype is not None:
        one, shape = dtype.subdtype
        return [number for i in range(int(np.prod(shape))) for number in _numbers(one, offset + i * one.itemsize)]
    return [(offset, dtype.itemsize)]


@inlined
def _copy(source: NDArray[Any], begin: Number, target: NDArray[Any], place: Number, size: Number) -> None:
    """So many bytes, in few steps."""
    done = 0
    while done + WORD <= size:
        put_word(target, place + done, WORD, word_at(source, begin + done, WORD, 1))
        done += WORD
    for step in (4, 2, 1):
        if size & step:
            put_word(target, place + done, step, word_at(source, begin + done, step, 0))
            done += step


@inlined
def _code(value: Number, low: Number, far_low: Number, doubled: Number) -> Number:
    if value & BELOW_NEVER == 0:
        return (value >> 62) + 1
    if value == -1:
        return CODE_OF_MINUS_ONE
    if value > NEVER:
        return ((value - far_low) << 1) + FIRST_CODE + 1
    return ((value - low) << doubled) + FIRST_CODE


@inlined
def _width(distance: Number) -> Number:
    """The bytes of the code of a number that is so far from its base; 8: it has no code."""
    width = 1
    while width < WORD and (distance >= WIDEST or (distance + FIRST_CODE + 1) >> (8 * width)):
        width += 1
    return width


@compiled
def _pack(rows: NDArray[Any], row: int, count: int, columns: NDArray[np.int64], packed: NDArray[Any]) -> int:
    place = 0
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        for column in range(len(columns)):
            begin = first * row + columns[column, 0]
            if not columns[column, 2]:
                for i in range(last - first):
                    _copy(rows, begin + i * row, packed, place, columns[column, 1])
                    place += columns[column, 1]
                continue
            one = word_at(rows, begin, WORD, 1)
            same = True
            plain = special = False
            least = low = far_low = LARGEST
            high = far_high = 0
            for i in range(last - first):
                value = word_at(rows, begin + i * row, WORD, 1)
                same &= value == one
                if value < -1 and value != NO_TIME:
                    plain = True
                    break
                if value in (NO_TIME, NEVER):
                    special = True
                elif value > NEVER:
                    far_low = min(far_low, value)
                    far_high = max(far_high, value)
                else:
                    least = min(least, value)
                    low = min(low, value if value > 0 else LARGEST)
                    high = max(high, value)
            doubled = np.int64(far_high > 0)
            longest = max(0, high - low, far_high - far_low)
            width = _width(longest << doubled if longest < WIDEST else longest)
            special |= far_high > 0 or _width(max(0, high - least)) > width
            if not special:  # 0 and -1 are nothing special: a choice that nobody can foresee takes long
                low = min(low, least)
            if same and not plain:
                width = 0
                low = one
            elif plain:
                width = WORD
            put_8(packed, place, low)
            put_8(packed, place + 8, far_low if far_high else 0)
            packed[place + 16] = width
            place += HEAD
            if width == WORD:
                for i in range(last - first):
                    put_8(packed, place, word_at(rows, begin + i * row, WORD, 1))
                    place += WORD
            elif width:
                for i in range(last - first):
                    value = word_at(rows, begin + i * row, WORD, 1)
                    put_8(packed, place, _code(value, low, far_low, doubled) if special else value - low + FIRST_CODE)
                    place += width
    return place


@compiled
def _unpack(packed: NDArray[Any], row: int, count: int, columns: NDArray[np.int64], rows: NDArray[Any]) -> None:
    place = 0
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        for column in range(len(columns)):
            begin = first * row + columns[column, 0]
            if not columns[column, 2]:
                for i in range(last - first):
                    _copy(packed, place, rows, begin + i * row, columns[column, 1])
                    place += columns[column, 1]
                continue
            low = word_at(packed, place, WORD, 1)
            far_low = word_at(packed, place + 8, WORD, 1)
            width: Number = np.int64(packed[place + 16])
            place += HEAD
            mask = (1 << 8 * width) - 1
            doubled = np.int64(far_low != 0)
            for i in range(last - first):
                value: Number = low
                if width:
                    value = word_at(packed, place, WORD, 1)
                    place += width
                if 0 < width < WORD:
                    code = value & mask
                    distance = code - FIRST_CODE
                    if code < CODE_OF_MINUS_ONE:
                        value = (code - 1) << 62
                    elif code == CODE_OF_MINUS_ONE:
                        value = -1
                    elif doubled and distance & 1:
                        value = far_low + (distance >> 1)
                    else:
                        value = low + (distance >> doubled)
                put_8(rows, begin + i * row, value)
