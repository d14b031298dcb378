"""The fast path through the intake: scanned records to rows, in one compiled loop.

It is modest, as the scanner is: a record in which anything is unusual stays UNSURE, and the slow path decides about it.
What it does turn into a row, or leave out, must be what the slow path says of it; tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined, steady
from flows.config.event_codes import MAX_CONDITIONS, place_among
from flows.decode import scanner as scan
from flows.decode.hashing import id_hash_of
from flows.decode.scanner import Scanned
from flows.decode.spellings import NOT_LEARNT, Table, spelled
from flows.decode.texts import EXCLUDED, ROW, UNREAD, UNSURE, low_bytes, may_be_placeholder
from flows.decode.times import CLAMPS, FITS, NO_CLOCK, dated, is_clock, time_at
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
    dim_shifts: NDArray[np.uint64]  # by breakdown: where its byte begins in `dims`, bits
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
def _span(scanned: Scanned, record: Number, field: Number) -> tuple[Number, Number, Number]:
    """A field's kind, and where its JSON text begins and ends."""
    return (
        scanned.kinds[record, field],
        np.int64(scanned.begins[record, field]),
        np.int64(scanned.ends[record, field]),
    )


@inlined
def _user(scanned: Scanned, record: Number) -> Number:
    """The hash of `userId`, or where that is absent of `anonymousId`; 0 when the slow path has to look at them."""
    buffer = scanned.buffer
    text, begin, end = _span(scanned, record, rules.ANONYMOUS_ID_FIELD)
    if text == scan.NUMBER:
        if not _is_integer(buffer, begin, end):
            return np.uint64(0)
    elif not (text <= scan.NULL or scan.STRING <= text <= scan.STRING_ESCAPED):
        return np.uint64(0)
    own, own_begin, own_end = _span(scanned, record, rules.USER_ID_FIELD)
    if _has_id(own, own_begin, own_end):
        text = own
        begin = own_begin
        end = own_end
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
def _message(scanned: Scanned, record: Number) -> tuple[bool, Number]:
    """Whether the slow path need not look at a `messageId`, and its hash; 0: there is none."""
    kind, begin, end = _span(scanned, record, rules.MESSAGE_ID_FIELD)
    if kind <= scan.NULL:
        return True, np.uint64(0)
    begin += 1
    end -= 1
    if kind != scan.STRING and kind != scan.STRING_UTF_8:
        return False, np.uint64(0)
    if end - begin > rules.MESSAGE_ID_CHARACTERS:
        return False, np.uint64(0)
    return True, id_hash_of(scanned.buffer, begin, end) if end > begin else np.uint64(0)


@inlined
def _has_objects(scanned: Scanned, record: Number) -> bool:
    """Whether `context`, `properties` and `traits` are objects where they are there."""
    objects = True
    for field in range(rules.CONTEXT_FIELD, rules.TRAITS_FIELD + 1):
        kind = scanned.kinds[record, field]
        if not (kind <= scan.NULL or kind == scan.OBJECT):
            objects = False
    return objects


@inlined
def _time(scanned: Scanned, record: Number, field: Number) -> tuple[bool, Number]:
    """Whether the slow path need not look at a time, and the time (NOT_READ: it is absent)."""
    kind, begin, end = _span(scanned, record, field)
    if kind <= scan.NULL:
        return True, NOT_READ
    time = time_at(scanned.buffer, kind, begin, end)
    return time != NOT_READ, time


@inlined
def _dated(scanned: Scanned, record: Number, poll: Poll) -> tuple[Number, Number, Number]:
    """As `dated`, of a record; NO_CLOCK, too, where the slow path has to look at a time."""
    readable, timestamp = _time(scanned, record, rules.TIMESTAMP_FIELD)
    original = NOT_READ
    received = NOT_READ
    sent_readable, sent = _time(scanned, record, rules.SENT_AT_FIELD)
    readable &= sent_readable
    if sent != NOT_READ or timestamp == NOT_READ:
        original_readable, original = _time(scanned, record, rules.ORIGINAL_TIMESTAMP_FIELD)
        readable &= original_readable
    if sent != NOT_READ or not is_clock(poll.timestamps_ms[record], poll.now_ms):
        received_readable, received = _time(scanned, record, rules.RECEIVED_AT_FIELD)
        readable &= received_readable
    if not readable:
        return NO_CLOCK, NOT_READ, NOT_READ
    return dated(timestamp, original, sent, received, poll.timestamps_ms[record], poll.now_ms, poll.live)


@inlined
def _looked_up(scanned: Scanned, record: Number, texts: Texts, table: Table) -> tuple[bool, Number, Number]:
    """Whether all its texts have been learnt, the values of breakdowns with a field, and the conditions it meets."""
    known = True
    salt = 0
    dims = np.uint64(0)
    for dim in range(len(texts.dim_fields)):
        salt += 1
        kind, begin, end = _span(scanned, record, texts.dim_fields[dim])
        if kind <= scan.NULL:
            value = texts.dim_others[dim] + 1
        elif kind >= scan.ARRAY:
            value = texts.dim_others[dim]
        else:
            value = spelled(scanned.buffer, begin, end, salt, table)
            if value == NOT_LEARNT:
                known = False
                value = 0
        dims |= np.uint64(value) << texts.dim_shifts[dim]
    met = 0
    for place in range(len(texts.where_fields)):
        salt += 1
        kind, begin, end = _span(scanned, record, texts.where_fields[place])
        if scan.NULL < kind < scan.ARRAY:
            value = spelled(scanned.buffer, begin, end, salt, table)
            if value == NOT_LEARNT:
                known = False
            else:
                met |= value
    return known, dims, met


@inlined
def _is_bot(scanned: Scanned, record: Number) -> bool:
    bot = scanned.kinds[record, rules.BOT_FIELD]
    return bool(bot == scan.TRUE or bot == scan.OBJECT or scanned.kinds[record, rules.IS_BOT_FIELD] == scan.TRUE)


@steady
def fill(
    scanned: Scanned,
    poll: Poll,
    names: Names,
    texts: Texts,
    table: Table,
    fates: NDArray[np.uint8],
    rows: NDArray[Any],
) -> None:
    """Fill the rows of the records that are UNREAD; they become ROW, EXCLUDED or UNSURE, or stay UNREAD.

    A row's `clock` is its own reading only. The row of a record whose fate is not ROW is worth nothing.
    """
    for record in range(len(fates)):
        if fates[record] != UNREAD:
            continue
        fates[record] = UNSURE

        text, begin, end = _span(scanned, record, rules.TYPE_FIELD)
        kind = _kind_of_type(scanned.buffer, text, begin, end)
        if kind >= len(KINDS):
            if kind < len(_TYPE_WORDS):
                fates[record] = _OTHER_USE + kind
            continue
        user = _user(scanned, record)
        if user == np.uint64(0):
            continue
        sure, message = _message(scanned, record)
        if not sure or not _has_objects(scanned, record):
            continue
        fit, ts, reading = _dated(scanned, record, poll)
        if fit != FITS and fit != CLAMPS:
            continue

        known = True
        name = names.of_kinds[kind]
        if kind == TRACK:
            text, begin, end = _span(scanned, record, rules.EVENT_FIELD)
            if not scan.STRING <= text <= scan.STRING_ESCAPED:
                continue
            name = spelled(scanned.buffer, begin, end, 0, table)
            known = name != NOT_LEARNT
        others_known, dims, met = _looked_up(scanned, record, texts, table)
        if not (known and others_known):
            fates[record] = UNREAD
            continue

        if name == EXCLUDED_NAME:
            fates[record] = _BY_CONFIG
            continue
        code = names.first[name] + place_among(met, names.asked[name])
        if names.excluded[code]:
            fates[record] = _BY_CONFIG
            continue
        if names.without_bots and (_is_bot(scanned, record) or met & BOT_MARK):
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
