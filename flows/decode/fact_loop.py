"""The loop that reads facts: what a table says of each field (`STEP`) is done to the scanned texts of each record.

It is modest: whatever it is unsure of it leaves to the slow reader, and what it does read must be what that says; tests
hold the two together. Rows are written as words, so that one loop serves the facts of every kind.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined, steady
from flows.decode import scanner as scan
from flows.decode.hashing import id_hash_of, xxh64
from flows.decode.learnt import Table, slot_of
from flows.decode.scanner import Scanned
from flows.decode.texts import ROW, SALT, may_be_placeholder
from flows.decode.times import END_MS, FIRST_MS, time_at
from flows.facts.swift import DECIMAL, EVENT_TIME, FLAG, ID, LEARNT, NAMED, TIME, USER
from flows.messages.columns import FACT, TRACK
from schemas import event as rules

_DIGITS: Final = 18
"""So many always fit 63 bits."""
_POWERS: Final = np.array([10**power for power in range(_DIGITS + 1)], np.int64)
NOWHERE: Final = -1
_ZERO, _NINE, _QUOTE, _BACKSLASH, _MINUS, _DOT = (ord(character) for character in '09"\\-.')
_OPEN_ARRAY, _CLOSE_ARRAY, _OPEN_OBJECT, _CLOSE_OBJECT = (ord(character) for character in "[]{}")
_DOUBT: Final = -(2**62)
"""No number: the slow way decides."""

STEP: Final = np.dtype(
    [
        ("way", "i8"),  # as Swift has it, and what follows down to `whether`
        ("absent", "i8"),
        ("default", "i8"),
        ("least", "i8"),
        ("most", "i8"),
        ("decimals", "i8"),
        ("quoted", "i8"),
        ("whether", "i8"),
        ("unlike", "i8"),  # the step of the id that must be another; NOWHERE: none
        ("place", "i8"),  # the first of its scanned fields, among `places`
        ("plain", "i8"),  # how many they are
        ("rare", "i8"),  # and how many follow that may be of any type
        ("learnt", "i8"),  # its place among the learnt fields
        ("spot", "i8"),  # the first of its columns, among `spots`
        ("spots", "i8"),  # how many they are
    ]
)
"""What the loop does for one field."""


class Steps(NamedTuple):
    """How facts of one kind are read, as the loop takes it."""

    steps: NDArray[Any]  # dtype STEP, in the order of the fields
    places: NDArray[np.int64]  # numbers of scanned fields
    spots: NDArray[np.int64]  # which words of a row they are
    by_code: NDArray[np.int64]  # (fields, codes): for NAMED the value, for others 1 where the property is needed
    numbers: NDArray[np.uint64]  # (fields,): what has been read of a record so far


@compiled
def carrying(
    fates: NDArray[np.uint8],
    rows: NDArray[np.void],
    carried: NDArray[np.uint64],
    found: NDArray[np.int64],
    bits: NDArray[np.uint64],
) -> Number:
    """List the accepted records whose event carries facts (`carried`, by code) with their bits; returns how many."""
    count = 0
    for record in range(len(fates)):
        if fates[record] == ROW and carried[rows[record]["code"]] and rows[record]["kind"] == TRACK:
            found[count] = record
            bits[count] = carried[rows[record]["code"]]
            count += 1
    return count


@compiled
def of_kind(
    found: NDArray[np.int64],
    bits: NDArray[np.uint64],
    bit: Number,
    fates: NDArray[np.uint8],
    records: NDArray[np.int64],
) -> Number:
    """List those of `found` that carry facts of the kind `bit` and are still accepted; returns how many."""
    count = 0
    for i in range(len(found)):
        if bits[i] >> np.uint64(bit) & np.uint64(1) and fates[found[i]] == ROW:
            records[count] = found[i]
            count += 1
    return count


@inlined
def _an_id(buffer: NDArray[np.uint8], begin: Number, end: Number, kind: Number) -> bool:
    """Whether the JSON text is surely an id."""
    if kind != scan.STRING and kind != scan.STRING_UTF_8:
        return False
    if end - begin - 2 > rules.ID_CHARACTERS:
        return False
    return not may_be_placeholder(buffer, begin + 1, end - 1, kind)


@inlined
def _decimal(buffer: NDArray[np.uint8], begin: Number, end: Number, decimals: Number) -> Number:
    """A short decimal without exponent as an integer of its `decimals`-th digit after the point, else _DOUBT."""
    at = begin
    negative = buffer[at] == _MINUS
    if negative:
        at += 1
    if end - at > _DIGITS or end == at:
        return _DOUBT
    number: Number = 0
    after = -1  # digits after the point
    digits = 0
    for place in range(at, end):
        byte = buffer[place]
        if byte == _DOT and after < 0 and digits > 0:
            after = 0
            continue
        if byte < _ZERO or byte > _NINE:
            return _DOUBT
        number = number * 10 + np.int64(byte) - _ZERO
        digits += 1
        if after >= 0:
            after += 1
    if after == 0 or after > decimals:
        return _DOUBT
    shift = decimals - max(after, 0)
    if digits + shift > _DIGITS:
        return _DOUBT
    number *= _POWERS[shift]
    return -number if negative else number


@inlined
def _container_end(buffer: NDArray[np.uint8], begin: Number) -> Number:
    """Where the array or object at `begin` of a valid JSON text ends; the scanner only says where it starts."""
    depth = 0
    at = begin
    text = False
    while True:
        byte = buffer[at]
        at += 1
        if text:
            if byte == _BACKSLASH:
                at += 1
            elif byte == _QUOTE:
                text = False
        elif byte == _QUOTE:
            text = True
        elif byte == _OPEN_ARRAY or byte == _OPEN_OBJECT:  # noqa: SIM109 - no tuples in compiled loops
            depth += 1
        elif byte == _CLOSE_ARRAY or byte == _CLOSE_OBJECT:  # noqa: SIM109
            depth -= 1
            if depth == 0:
                return at


@inlined
def _learnt_key(scanned: Scanned, i: Number, step: Any, places: NDArray[np.int64], code: Number) -> Number:
    """The hash of the texts that a learnt field is told by, under its event's code; 0: they are not simple."""
    buffer, kinds = scanned.buffer, scanned.kinds
    key = np.uint64(code) + np.uint64(1) + (np.uint64(step["learnt"]) << np.uint64(32))
    simple = True
    rare = step["place"] + step["plain"]
    for place in range(step["place"], rare):
        field = places[place]
        simple &= kinds[i, field] < scan.ARRAY
        if kinds[i, field] > scan.NULL:
            text = xxh64(buffer, np.int64(scanned.begins[i, field]), np.int64(scanned.ends[i, field]))
        else:
            text = np.uint64(0)
        key = (key ^ text) * SALT
        key ^= key >> np.uint64(29)
    for place in range(rare, rare + step["rare"]):
        field = places[place]
        if kinds[i, field] > scan.NULL:
            begin = np.int64(scanned.begins[i, field])
            end = np.int64(scanned.ends[i, field]) if kinds[i, field] < scan.ARRAY else _container_end(buffer, begin)
            key = (key ^ xxh64(buffer, begin, end) ^ np.uint64(place)) * SALT
            key ^= key >> np.uint64(29)
    return key if simple else np.uint64(0)


@inlined
def _absent(step: Any, row: Any) -> Number:
    """What a field is that its event does not tell."""
    if step["absent"] == USER:
        return row["user"]
    if step["absent"] == EVENT_TIME:
        return np.uint64(row["ts"])
    return np.uint64(step["default"])


@inlined
def _said(
    buffer: NDArray[np.uint8],
    kind: Number,
    begin: Number,
    end: Number,
    step: Any,
    row: Any,
    numbers: NDArray[np.uint64],
) -> tuple[bool, Number]:
    """Whether the slow way need not look at what an event tells of a field, and its number."""
    way = step["way"]
    if way == ID:
        if not _an_id(buffer, begin, end, kind):
            return False, np.uint64(0)
        number = id_hash_of(buffer, begin + 1, end - 1)
        return step["unlike"] == NOWHERE or numbers[step["unlike"]] != number, number
    if way == DECIMAL:
        if kind == scan.STRING and step["quoted"]:
            begin += 1
            end -= 1
        elif kind != scan.NUMBER:
            return False, np.uint64(0)
        value = _decimal(buffer, begin, end, step["decimals"])
        return step["least"] <= value <= step["most"], np.uint64(value)
    if way == TIME:
        time = time_at(buffer, kind, begin, end)
        near = step["most"] < 0 or time <= row["ts"] + step["most"]
        return FIRST_MS <= time < END_MS and near, np.uint64(1) if step["whether"] else np.uint64(time)
    if way == FLAG:
        return kind == scan.TRUE or kind == scan.FALSE, np.uint64(kind == scan.TRUE)
    return True, np.uint64(0)


@steady
def read(
    scanned: Scanned,
    records: NDArray[np.int64],
    rows: NDArray[np.void],
    how: Steps,
    table: Table,
    own_keys: NDArray[np.uint64],
    sure: NDArray[np.bool_],
    facts: NDArray[np.uint64],
) -> None:
    """Fill in `facts` (a row of words for each of `records`) where that is `sure`.

    `own_keys`, shape (records, learnt fields), are the hashes of their texts; 0: there is none.
    """
    for i in range(len(records)):
        if not scanned.plain[i]:
            continue
        row = rows[records[i]]
        code = np.int64(row["code"])
        certain = True
        for s in range(len(how.steps)):
            step = how.steps[s]
            spot = step["spot"]
            number = np.uint64(0)
            if step["way"] == LEARNT:
                key = _learnt_key(scanned, i, step, how.places, code)
                slot = np.int64(-1)
                if key != np.uint64(0):
                    own_keys[i, step["learnt"]] = key
                    slot = slot_of(key, table.keys)
                if slot < 0:
                    certain = False
                    continue
                for column in range(step["spots"]):
                    facts[i, how.spots[spot + column]] = np.uint64(table.values[slot, column])
                continue
            if step["way"] == NAMED:
                number = np.uint64(how.by_code[s, code])
            else:
                field = how.places[step["place"]]
                for place in range(step["place"] + 1, step["place"] + step["plain"]):
                    if scanned.kinds[i, field] <= scan.NULL:
                        field = how.places[place]
                kind = scanned.kinds[i, field]
                if kind <= scan.NULL:
                    certain &= how.by_code[s, code] == 0
                    number = _absent(step, row)
                else:
                    begin, end = np.int64(scanned.begins[i, field]), np.int64(scanned.ends[i, field])
                    fine, number = _said(scanned.buffer, kind, begin, end, step, row, how.numbers)
                    certain &= fine
            how.numbers[s] = number
            facts[i, how.spots[spot]] = number
        sure[i] = certain


_KEY, _USER, _MESSAGE, _TS, _CLOCK, _OFFSET, _DIMS, _PARTITION = (
    (FACT.names or ()).index(name) for name in ("key", "user", "message", "ts", "clock", "offset", "dims", "partition")
)


@compiled
def complete(
    facts: NDArray[np.uint64],
    places: NDArray[np.int64],
    rows: NDArray[np.void],
    ids: NDArray[np.int64],
    by_user: bool,
) -> None:
    """Write what the events at `places` of `rows` say to facts, and make `ids` (their words) of two keys differ."""
    for i in range(len(places)):
        row = rows[places[i]]
        if by_user:
            facts[i, _KEY] = np.uint64(row["user"])
        salt = facts[i, _KEY] * SALT
        for place in range(len(ids)):
            number = facts[i, ids[place]]
            if number != np.uint64(0):
                facts[i, ids[place]] = number ^ salt
        message = np.uint64(row["message"])
        if message != np.uint64(0):
            message = max(message ^ salt, np.uint64(1))
        facts[i, _USER] = np.uint64(row["user"])
        facts[i, _MESSAGE] = message
        facts[i, _TS] = np.uint64(row["ts"])
        facts[i, _CLOCK] = np.uint64(row["clock"])
        facts[i, _OFFSET] = np.uint64(row["offset"])
        facts[i, _DIMS] = np.uint64(row["dims"])
        facts[i, _PARTITION] = np.uint64(row["partition"])
