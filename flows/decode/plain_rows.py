"""The fast path through the intake: scanned records to rows, in one compiled loop.

It is modest, as the scanner is: a record in which anything is unusual stays UNSURE, and the slow path decides about it.
What it does turn into a row, or leave out, must be what the slow path says of it; tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.config.event_codes import MAX_CONDITIONS, place_among
from flows.decode import scanner as scan
from flows.decode.hashing import id_hash_of
from flows.decode.spellings import NOT_LEARNT, Table, spelled
from flows.decode.texts import EXCLUDED, ROW, UNREAD, UNSURE, low_bytes, may_be_placeholder
from flows.decode.times import CLAMPS, FITS, dated, is_clock, time_at
from flows.messages.columns import KINDS, TRACK
from schemas import event as rules
from schemas.timestamps import NOT_READ

EXCLUDED_NAME: Final = 0xFFFF
"""The code of event names that the config leaves out altogether; other names have smaller ones."""
BOT_MARK: Final = 1 << MAX_CONDITIONS
"""Beside the conditions that a record meets: its user agent is a crawler's."""

_TYPE_NAMES: Final = (*KINDS, *rules.OTHER_USES)
_TYPE_WORDS: Final = np.array([int.from_bytes(name.encode()[:8], "little") for name in _TYPE_NAMES], np.uint64)
_TYPE_LENGTHS: Final = np.array([len(name) for name in _TYPE_NAMES], np.int64)
_LONGEST_TYPE: Final = 8

_BY_CONFIG: Final = EXCLUDED + rules.EXCLUSIONS.index("event")
_AS_BOT: Final = EXCLUDED + rules.EXCLUSIONS.index("bot")
_OTHER_USE: Final = EXCLUDED + rules.EXCLUSIONS.index(rules.OTHER_USES[0]) - len(KINDS)
"""Added to the number of a type of another use."""


class Poll(NamedTuple):
    """What is true of the records besides their bytes."""

    timestamps_ms: NDArray[np.int64]  # of the records
    offsets: NDArray[np.int64]
    partition: int
    now_ms: int  # the machine's clock
    live: bool


class Names(NamedTuple):
    """What the config says of events by their names, and by the conditions that they meet."""

    of_kinds: NDArray[np.int64]  # by kind: the name of events that have none of their own
    asked: NDArray[np.int64]  # by name: the conditions that matter
    first: NDArray[np.int64]  # by name: its first code
    excluded: NDArray[np.bool_]  # by code
    without_bots: bool


class Texts(NamedTuple):
    """The fields whose texts are looked up: those of breakdowns, and those of conditions."""

    dim_fields: NDArray[np.int32]
    dim_others: NDArray[np.int64]  # by breakdown: the code of a value that is not listed; the next one: unknown
    where_fields: NDArray[np.int32]


@inlined
def _kind_of_type(buffer: NDArray[np.uint8], text: Number, begin: Number, end: Number) -> Number:
    """The number of a type among _TYPE_NAMES, or their count."""
    length = end - begin - 2
    kind = len(_TYPE_WORDS)
    if text == scan.STRING and length <= _LONGEST_TYPE:
        head = low_bytes(buffer, begin + 1, length)
        kind = 0
        while kind < len(_TYPE_WORDS) and (_TYPE_WORDS[kind] != head or _TYPE_LENGTHS[kind] != length):
            kind += 1
    return kind


@inlined
def _is_integer(buffer: NDArray[np.uint8], begin: Number, end: Number) -> bool:
    """Whether a JSON number is plain digits."""
    at = begin
    while at < end and 48 <= buffer[at] <= 57:
        at += 1
    return bool(at == end)


@inlined
def _has_id(text: Number, begin: Number, end: Number) -> bool:
    """Whether an id field says anything: not absent, null or the empty string."""
    return bool(text > scan.NULL and not (text == scan.STRING and end - begin == 2))


@inlined
def _user(
    buffer: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    record: Number,
) -> Number:
    """The hash of `userId`, or where that is absent of `anonymousId`; 0 when the slow path has to look at them."""
    text = kinds[record, rules.ANONYMOUS_ID_FIELD]
    begin = np.int64(begins[record, rules.ANONYMOUS_ID_FIELD])
    end = np.int64(ends[record, rules.ANONYMOUS_ID_FIELD])
    if text == scan.NUMBER:
        if not _is_integer(buffer, begin, end):
            return np.uint64(0)
    elif not (text <= scan.NULL or scan.STRING <= text <= scan.STRING_ESCAPED):
        return np.uint64(0)
    field = rules.USER_ID_FIELD
    if _has_id(kinds[record, field], np.int64(begins[record, field]), np.int64(ends[record, field])):
        text = kinds[record, field]
        begin = np.int64(begins[record, field])
        end = np.int64(ends[record, field])
    if text == scan.NUMBER:
        if not _is_integer(buffer, begin, end):
            return np.uint64(0)
    elif text == scan.STRING or text == scan.STRING_UTF_8:
        begin += 1
        end -= 1
    else:
        return np.uint64(0)
    if end - begin > rules.ID_CHARACTERS or may_be_placeholder(buffer, begin, end, text):
        return np.uint64(0)
    return id_hash_of(buffer, begin, end)


@inlined
def _time(
    buffer: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    record: Number,
    field: Number,
) -> tuple[bool, Number]:
    """Whether the slow path need not look at a time, and the time (NOT_READ: it is absent)."""
    if kinds[record, field] <= scan.NULL:
        return True, NOT_READ
    time = time_at(buffer, kinds[record, field], np.int64(begins[record, field]), np.int64(ends[record, field]))
    return time != NOT_READ, time


@inlined
def _is_bot(kinds: NDArray[np.uint8], record: Number) -> bool:
    bot = kinds[record, rules.BOT_FIELD]
    return bool(bot == scan.TRUE or bot == scan.OBJECT or kinds[record, rules.IS_BOT_FIELD] == scan.TRUE)


@compiled
def fill(
    buffer: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    poll: Poll,
    names: Names,
    texts: Texts,
    table: Table,
    fates: NDArray[np.uint8],
    rows: NDArray[Any],
) -> None:
    """Fill the rows of the records that are UNREAD; they become ROW, EXCLUDED or UNSURE, or stay UNREAD.

    `kinds`, `begins` and `ends` are as the scanner has left them. A row's `clock` is its own reading only. The row of a
    record whose fate is not ROW is worth nothing.
    """
    for record in range(len(fates)):
        if fates[record] != UNREAD:
            continue
        fates[record] = UNSURE

        field: Number = rules.TYPE_FIELD
        kind = _kind_of_type(
            buffer, kinds[record, field], np.int64(begins[record, field]), np.int64(ends[record, field])
        )
        if kind >= len(KINDS):
            if kind < len(_TYPE_WORDS):
                fates[record] = _OTHER_USE + kind
            continue

        user = _user(buffer, kinds, begins, ends, record)
        if user == np.uint64(0):
            continue

        message = np.uint64(0)
        text = kinds[record, rules.MESSAGE_ID_FIELD]
        if text > scan.NULL:
            begin = np.int64(begins[record, rules.MESSAGE_ID_FIELD]) + 1
            end = np.int64(ends[record, rules.MESSAGE_ID_FIELD]) - 1
            if text != scan.STRING and text != scan.STRING_UTF_8:
                continue
            if end - begin > rules.MESSAGE_ID_CHARACTERS:
                continue
            if end > begin:
                message = id_hash_of(buffer, begin, end)

        objects = True
        for field in range(rules.CONTEXT_FIELD, rules.TRAITS_FIELD + 1):
            text = kinds[record, field]
            if not (text <= scan.NULL or text == scan.OBJECT):
                objects = False
        if not objects:
            continue

        readable, timestamp = _time(buffer, kinds, begins, ends, record, rules.TIMESTAMP_FIELD)
        original = NOT_READ
        received = NOT_READ
        sent_readable, sent = _time(buffer, kinds, begins, ends, record, rules.SENT_AT_FIELD)
        readable &= sent_readable
        if sent != NOT_READ or timestamp == NOT_READ:
            original_readable, original = _time(buffer, kinds, begins, ends, record, rules.ORIGINAL_TIMESTAMP_FIELD)
            readable &= original_readable
        if sent != NOT_READ or not is_clock(poll.timestamps_ms[record], poll.now_ms):
            received_readable, received = _time(buffer, kinds, begins, ends, record, rules.RECEIVED_AT_FIELD)
            readable &= received_readable
        if not readable:
            continue
        fit, ts, reading = dated(
            timestamp, original, sent, received, poll.timestamps_ms[record], poll.now_ms, poll.live
        )
        if fit != FITS and fit != CLAMPS:
            continue

        known = True
        name = names.of_kinds[kind]
        if kind == TRACK:
            text = kinds[record, rules.EVENT_FIELD]
            if not scan.STRING <= text <= scan.STRING_ESCAPED:
                continue
            begin = np.int64(begins[record, rules.EVENT_FIELD])
            end = np.int64(ends[record, rules.EVENT_FIELD])
            name = spelled(buffer, begin, end, 0, table)
            known = name != NOT_LEARNT
        salt = 0
        dims = np.uint64(0)
        for dim in range(len(texts.dim_fields)):
            salt += 1
            field = texts.dim_fields[dim]
            text = kinds[record, field]
            if text <= scan.NULL:
                value = texts.dim_others[dim] + 1
            elif text >= scan.ARRAY:
                value = texts.dim_others[dim]
            else:
                value = spelled(buffer, np.int64(begins[record, field]), np.int64(ends[record, field]), salt, table)
                if value == NOT_LEARNT:
                    known = False
                    value = 0
            dims |= np.uint64(value) << np.uint64(8 * dim)
        met = 0
        for place in range(len(texts.where_fields)):
            salt += 1
            field = texts.where_fields[place]
            text = kinds[record, field]
            if scan.NULL < text < scan.ARRAY:
                value = spelled(buffer, np.int64(begins[record, field]), np.int64(ends[record, field]), salt, table)
                if value == NOT_LEARNT:
                    known = False
                else:
                    met |= value
        if not known:
            fates[record] = UNREAD
            continue

        if name == EXCLUDED_NAME:
            fates[record] = _BY_CONFIG
            continue
        code = names.first[name] + place_among(met, names.asked[name])
        if names.excluded[code]:
            fates[record] = _BY_CONFIG
            continue
        if names.without_bots and (_is_bot(kinds, record) or met & BOT_MARK):
            fates[record] = _AS_BOT
            continue
        fates[record] = ROW
        row = rows[record]
        row["user"] = user
        row["message"] = message
        row["ts"] = ts
        row["clock"] = reading
        row["offset"] = poll.offsets[record]
        row["dims"] = dims
        row["partition"] = poll.partition
        row["code"] = code
        row["kind"] = kind
        row["clamped"] = fit
