"""A compiled scanner that finds the needed fields of plain JSON events in a buffer, a batch at a time.

It makes no Python object: for every record and every needed field it notes what kind of value was found and
where. It is strict, and modest. A record is *plain* when it is one valid JSON object in valid UTF-8 without a
byte order mark, no deeper than MAX_DEPTH, with no needed key twice and no escape in a key beside which a
needed one could stand. Only plain records are scanned; of any other, whether broken or merely unusual, the
scanner says that it is unsure, and `decode.Decoder.explain`, which is the authority, reads it again. So the
scanner may refuse whatever it likes, but what it does accept must be accepted there with the same fields;
tests hold the two together.

Measured with 255-byte events on one core: msgspec into typed structs of just the same fields takes 470 ns an
event, and bringing the structs' attributes into arrays as much again; the scanner takes 176 ns (1.4 GB/s),
and `flows.decode.intake` as a whole 360.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined, steady
from flows.compiled.vector import WIDTH, first_mark
from flows.messages.raw import PADDING

MAX_DEPTH: Final = 48
"""Deeper objects are left to the authority; real events have two to four levels."""

assert PADDING >= WIDTH

_LAST_POSITION: Final = 2**31 - 1
"""Positions are kept as i4; what lies beyond is left to the authority."""

ABSENT: Final = 0
NULL: Final = 1
FALSE: Final = 2
TRUE: Final = 3
NUMBER: Final = 4
STRING: Final = 5  # ASCII, without escapes: the bytes are the text
STRING_UTF_8: Final = 6  # valid UTF-8, without escapes: the bytes are the text
STRING_ESCAPED: Final = 7
ARRAY: Final = 8
OBJECT: Final = 9
"""Kinds of value. A field's span is that of its JSON text; a string's includes the quotes, a container's is
its start.
"""

_QUOTE: Final = 34
_PLUS: Final = 43
_COMMA: Final = 44
_MINUS: Final = 45
_DOT: Final = 46
_ZERO: Final = 48
_NINE: Final = 57
_COLON: Final = 58
_OPEN_ARRAY: Final = 91
_BACKSLASH: Final = 92
_CLOSE_ARRAY: Final = 93
_OPEN_OBJECT: Final = 123
_CLOSE_OBJECT: Final = 125

# What a container on the stack is: a node of the tree of needed fields, or one of these.
_OTHER_OBJECT: Final = -1
_IN_ARRAY: Final = -2

_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)

_TRUE_TEXT: Final = np.uint64(int.from_bytes(b"true", "little"))
_FALS_TEXT: Final = np.uint64(int.from_bytes(b"fals", "little"))
_NULL_TEXT: Final = np.uint64(int.from_bytes(b"null", "little"))
_FOUR_BYTES: Final = np.uint64(0xFFFFFFFF)


class Tree(NamedTuple):
    """The needed fields as a hash table of (object, key) -> field, in flat arrays. Field 0 is the event
    itself.
    """

    fields: int  # how many, the event itself included; a field's number is its column in the scanner's output
    parents: NDArray[np.int32]  # by table slot; -1: the slot is empty
    lengths: NDArray[np.int32]  # of the key, bytes
    heads: NDArray[np.uint64]  # the key's first 8 bytes, little-endian
    texts: NDArray[np.int32]  # where the key stands in `bytes_`
    children: NDArray[np.int32]  # the field that the key leads to
    bytes_: NDArray[np.uint8]  # all keys
    containers: NDArray[np.bool_]  # by field: it has needed fields inside


class Scanned(NamedTuple):
    """Where the fields of a batch are: their kinds, and the spans of their JSON texts in `buffer`.

    `kinds`, `begins` and `ends` have the shape (records or more, fields).
    """

    buffer: NDArray[np.uint8]
    plain: NDArray[np.bool_]  # shape (records,); where False, the record's row is worth nothing
    kinds: NDArray[np.uint8]
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]


def tree_of(paths: Sequence[tuple[str, ...]]) -> tuple[Tree, dict[tuple[str, ...], int]]:
    """The tree for paths of keys, and the number of every path and of every object on the way."""
    numbers: dict[tuple[str, ...], int] = {(): 0}
    edges: list[tuple[int, bytes, int]] = []
    inner = {0}
    for path in paths:
        for depth in range(1, len(path) + 1):
            parent, child = path[: depth - 1], path[:depth]
            if child not in numbers:
                numbers[child] = len(numbers)
                edges.append((numbers[parent], child[-1].encode(), numbers[child]))
                inner.add(numbers[parent])
    capacity = 64
    while capacity < 8 * len(edges):  # sparse, so that most unneeded keys meet an empty slot
        capacity *= 2
    tree = Tree(
        len(numbers),
        np.full(capacity, -1, np.int32),
        np.zeros(capacity, np.int32),
        np.zeros(capacity, np.uint64),
        np.zeros(capacity, np.int32),
        np.zeros(capacity, np.int32),
        np.frombuffer(b"".join(name for _, name, _ in edges) + bytes(PADDING), np.uint8),
        np.array([number in inner for number in range(len(numbers))]),
    )
    text = 0
    for parent_number, name, child_number in edges:
        head = int.from_bytes(name[:8], "little")
        slot = _slot(parent_number, len(name), np.uint64(head), capacity)
        while tree.parents[slot] >= 0:
            slot = (slot + 1) % capacity
        tree.parents[slot] = parent_number
        tree.lengths[slot] = len(name)
        tree.heads[slot] = head
        tree.texts[slot] = text
        tree.children[slot] = child_number
        text += len(name)
    return tree, numbers


@inlined
def _slot(parent: Number, length: Number, head: Number, capacity: Number) -> Number:
    mixed = (head ^ np.uint64(parent * 31 + length)) * _SPREAD
    return np.int64(mixed >> np.uint64(40)) & (capacity - 1)


@inlined
def word(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The 8 bytes from `at` as one little-endian u64 (unsigned indices: see flows.decode.hashing.word)."""
    first = np.uint64(at)
    return (
        np.uint64(buffer[first])
        | np.uint64(buffer[first + np.uint64(1)]) << np.uint64(8)
        | np.uint64(buffer[first + np.uint64(2)]) << np.uint64(16)
        | np.uint64(buffer[first + np.uint64(3)]) << np.uint64(24)
        | np.uint64(buffer[first + np.uint64(4)]) << np.uint64(32)
        | np.uint64(buffer[first + np.uint64(5)]) << np.uint64(40)
        | np.uint64(buffer[first + np.uint64(6)]) << np.uint64(48)
        | np.uint64(buffer[first + np.uint64(7)]) << np.uint64(56)
    )


@inlined
def _byte(buffer: NDArray[np.uint8], at: Number) -> Number:
    return np.int64(buffer[np.uint64(at)])


@inlined
def _after_space(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The first position from `at` that holds no JSON whitespace."""
    while True:
        byte = _byte(buffer, at)
        if byte > 32 or not (byte == 32 or byte == 10 or byte == 13 or byte == 9):
            return at
        at += 1


@inlined
def hex_digits(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The value of four hexadecimal digits; -1 when they are not."""
    value = 0
    for index in range(4):
        byte = _byte(buffer, at + index)
        if _ZERO <= byte <= _NINE:
            digit = byte - _ZERO
        else:
            digit = (byte | 32) - 87
            if digit < 10 or digit > 15:
                return -1
        value = value * 16 + digit
    return value


@inlined
def _after_escape(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The position after the escape whose backslash is at `at`; -1 when it is invalid or half a surrogate
    pair.
    """
    byte = _byte(buffer, at + 1)
    if byte == 117:  # u
        unit = hex_digits(buffer, at + 2)
        if unit < 0 or 0xDC00 <= unit <= 0xDFFF:
            return -1
        if unit < 0xD800 or unit > 0xDFFF:
            return at + 6
        if _byte(buffer, at + 6) != _BACKSLASH or _byte(buffer, at + 7) != 117:
            return -1
        second = hex_digits(buffer, at + 8)
        return at + 12 if 0xDC00 <= second <= 0xDFFF else -1
    if byte == 34 or byte == 92 or byte == 47 or byte == 98 or byte == 102 or byte == 110 or byte == 114 or byte == 116:
        return at + 2
    return -1


@inlined
def _after_character(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The position after the UTF-8 character of two to four bytes at `at`; -1 when it is invalid."""
    lead = _byte(buffer, at)
    second = _byte(buffer, at + 1)
    if 0xC2 <= lead <= 0xDF:
        return at + 2 if second & 0xC0 == 0x80 else -1
    third = _byte(buffer, at + 2)
    if 0xE0 <= lead <= 0xEF:
        if second & 0xC0 != 0x80 or third & 0xC0 != 0x80:
            return -1
        if (lead == 0xE0 and second < 0xA0) or (lead == 0xED and second > 0x9F):  # too long; surrogate
            return -1
        return at + 3
    if 0xF0 <= lead <= 0xF4:
        if second & 0xC0 != 0x80 or third & 0xC0 != 0x80 or _byte(buffer, at + 3) & 0xC0 != 0x80:
            return -1
        if (lead == 0xF0 and second < 0x90) or (lead == 0xF4 and second > 0x8F):  # too long; beyond U+10FFFF
            return -1
        return at + 4
    return -1


@inlined
def _after_string(buffer: NDArray[np.uint8], at: Number, end: Number) -> tuple[Number, Number]:
    """The position after the string whose opening quote is before `at`, and its kind; (-1, ABSENT) when
    invalid.
    """
    kind = STRING
    while at < end:
        plain = first_mark(buffer, at)
        at += plain
        if plain == WIDTH:
            continue
        byte = _byte(buffer, at)
        if byte == _QUOTE:
            return at + 1, kind
        if byte == _BACKSLASH:
            kind = STRING_ESCAPED
            at = _after_escape(buffer, at)
        elif byte >= 128:
            kind = max(kind, STRING_UTF_8)
            at = _after_character(buffer, at)
        else:
            return -1, ABSENT
        if at < 0:
            return -1, ABSENT
    return -1, ABSENT


@inlined
def _after_digits(buffer: NDArray[np.uint8], at: Number) -> Number:
    while _ZERO <= _byte(buffer, at) <= _NINE:
        at += 1
    return at


@inlined
def _after_number(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The position after the number at `at`; -1 when it is invalid."""
    if _byte(buffer, at) == _MINUS:
        at += 1
    if _byte(buffer, at) == _ZERO:
        after = at + 1
    else:
        after = _after_digits(buffer, at)
        if after == at:
            return -1
    at = after
    if _byte(buffer, at) == _DOT:
        after = _after_digits(buffer, at + 1)
        if after == at + 1:
            return -1
        at = after
    if _byte(buffer, at) | 32 == 101:  # e E
        at += 1
        if _byte(buffer, at) == _PLUS or _byte(buffer, at) == _MINUS:
            at += 1
        after = _after_digits(buffer, at)
        if after == at:
            return -1
        at = after
    return at


@inlined
def _field_of(buffer: NDArray[np.uint8], key: Number, length: Number, container: Number, tree: Tree) -> Number:
    """The needed field that a key in `container` leads to; -1: none."""
    head = word(buffer, key)
    if length < 8:
        head &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    slot = _slot(container, length, head, len(tree.parents))
    while tree.parents[slot] >= 0:
        if tree.parents[slot] == container and tree.lengths[slot] == length and tree.heads[slot] == head:
            same = True
            for index in range(8, length):
                if buffer[key + index] != tree.bytes_[tree.texts[slot] + index]:
                    same = False
                    break
            if same:
                return np.int64(tree.children[slot])
        slot = (slot + 1) & (len(tree.parents) - 1)
    return -1


@inlined
def _after_word(buffer: NDArray[np.uint8], at: Number) -> tuple[Number, Number]:
    """The position after the `true`, `false` or `null` at `at`, and its kind; (-1, ABSENT): there is none."""
    letters = word(buffer, at) & _FOUR_BYTES
    if letters == _TRUE_TEXT:
        return at + 4, TRUE
    if letters == _NULL_TEXT:
        return at + 4, NULL
    if letters == _FALS_TEXT and _byte(buffer, at + 4) == 101:  # e
        return at + 5, FALSE
    return -1, ABSENT


@inlined
def _scan_one(
    scanned: Scanned, record: Number, begin: Number, end: Number, tree: Tree, stack: NDArray[np.int32]
) -> bool:
    """Fill the row of one record; False when it is not plain (the row is then worth nothing)."""
    buffer = scanned.buffer
    at = _after_space(buffer, begin)
    if at >= end or _byte(buffer, at) != _OPEN_OBJECT:
        return False
    at += 1
    container: Number = 0
    stack[0] = 0
    depth = 1
    opening = True  # nothing has been read in this container yet
    while True:
        # A member or an element, or the end of an empty container. Every step is checked against `end`, for
        # the next record's bytes follow and may go on as valid JSON.
        at = _after_space(buffer, at)
        if at >= end:
            return False
        byte = _byte(buffer, at)
        closing = opening and byte == (_CLOSE_ARRAY if container == _IN_ARRAY else _CLOSE_OBJECT)
        if not closing:
            field: Number = -1
            if container != _IN_ARRAY:
                if byte != _QUOTE:
                    return False
                key = at + 1
                at, kind = _after_string(buffer, key, end)
                if at < 0:
                    return False
                if container >= 0:
                    if kind == STRING_ESCAPED:
                        return False
                    field = _field_of(buffer, key, at - 1 - key, container, tree)
                    if field >= 0 and scanned.kinds[record, field] != ABSENT:
                        return False
                at = _after_space(buffer, at)
                if _byte(buffer, at) != _COLON:
                    return False
                at = _after_space(buffer, at + 1)
                if at >= end:
                    return False
                byte = _byte(buffer, at)
            start = at
            if byte == _QUOTE:
                at, kind = _after_string(buffer, at + 1, end)
            elif byte == _OPEN_OBJECT or byte == _OPEN_ARRAY:  # noqa: SIM109 - no tuples in compiled loops
                if depth == MAX_DEPTH:
                    return False
                if byte == _OPEN_ARRAY:
                    kind = ARRAY
                    container = _IN_ARRAY
                else:
                    kind = OBJECT
                    container = field if field >= 0 and tree.containers[field] else _OTHER_OBJECT
                if field >= 0:
                    _note(scanned, record, field, kind, start, start)
                stack[depth] = container
                depth += 1
                at += 1
                opening = True
                continue
            elif byte == _MINUS or _ZERO <= byte <= _NINE:
                kind = NUMBER
                at = _after_number(buffer, at)
            else:
                at, kind = _after_word(buffer, at)
            if at < 0:
                return False
            if field >= 0:
                _note(scanned, record, field, kind, start, at)
        # After a value: the next one, or the end of one or more containers.
        opening = False
        while True:
            at = _after_space(buffer, at)
            byte = _byte(buffer, at)
            if byte == _COMMA and not closing:
                at += 1
                break
            if byte != (_CLOSE_ARRAY if container == _IN_ARRAY else _CLOSE_OBJECT):
                return False
            closing = False
            at += 1
            depth -= 1
            if depth == 0:
                return bool(at <= end and _after_space(buffer, at) >= end)
            container = np.int64(stack[depth - 1])


@inlined
def _note(scanned: Scanned, record: Number, field: Number, kind: Number, begin: Number, end: Number) -> None:
    scanned.kinds[record, field] = kind
    scanned.begins[record, field] = begin
    scanned.ends[record, field] = end


@steady
def scan(
    scanned: Scanned,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    limit_bytes: Number,
    tree: Tree,
    stack: NDArray[np.int32],
) -> None:
    """Fill `scanned` with the records `buffer[starts[i]:stops[i]]`, which PADDING bytes must follow, where they are
    not too large. `stack`, shape (MAX_DEPTH,), is room to work in.
    """
    for record in range(len(scanned.plain)):
        if stops[record] - starts[record] > limit_bytes or stops[record] > _LAST_POSITION:
            scanned.plain[record] = False
            continue
        for field in range(len(tree.containers)):
            scanned.kinds[record, field] = ABSENT
        scanned.plain[record] = _scan_one(scanned, record, starts[record], stops[record], tree, stack)
