"""From the bytes of a poll to its columns: decode, identify, date, name, and leave out what is not wanted.

Two ways lead to a row, and they give the same row. The fast one takes the whole batch: the scanner of
`schemas` finds the fields, one compiled loop turns them into rows, and spellings of event names and breakdown
values are looked up in a table of hashes. The slow one, `Intake._one`, takes a single record through
`Decoder.explain`; it decides every record about which the fast one is in the least doubt, and it alone
rejects.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.batch_texts import (
    END_MS,
    EXCLUDED,
    FIRST_MS,
    REJECTED,
    ROW,
    SALT,
    SPELLINGS,
    SPELLINGS_KEPT,
    UNREAD,
    UNSURE,
    low_bytes,
    may_be_placeholder,
    rejection,
    time_at,
)
from flows.columns import EVENT, KINDS, MAX_BREAKDOWNS, NO_STATES, NO_TIME, REASONS, TRACK, Columns
from flows.config import Config, slug
from flows.hashing import id_hash, id_hash_of, xxh64
from flows.intake_states import States, complete
from flows.limits import Limits
from flows.records import Raw, Rejected
from schemas import event as rules
from schemas import scan
from schemas.compiled import Number, compiled, inlined
from schemas.decode import Decoder, Scanned, is_event_name, scalar_text, string_of
from schemas.event import Container, Event, Problem
from schemas.timestamps import NOT_READ

AHEAD_MS: Final = 5 * 60_000
"""How far an event may be ahead of the reference clock: clocks of devices differ."""

CLAMPED_MS: Final = 24 * 3_600_000
"""How far it may be ahead and still be used, at the reference time: a wrong time zone, not a wrong year."""

# How a time stands to the reference clock.
_FITS: Final = 0
_CLAMPS: Final = 1
_TOO_OLD: Final = 2
_TOO_FAR: Final = 3
_BEYOND: Final = 4
_NO_CLOCK: Final = 5

_TIME_MESSAGES: Final = {
    _TOO_OLD: "$.timestamp: before the year 2000",
    _TOO_FAR: "$.timestamp: more than a day ahead of the time of the record",
    _BEYOND: "$.timestamp: beyond the year 2099",
    _NO_CLOCK: "$.timestamp: missing, and neither the record nor receivedAt has a time",
}

_EXCLUDED_CODE: Final = 0xFFFF
"""The code of event names that the config leaves out; the vocabulary stays below it."""

_SPELLINGS_MOST: Final = 6144
"""Beyond it nothing is learnt, and records go the slow way, so that the table always has empty slots."""

_NEW_SPELLINGS: Final = 512
"""So many are learnt at once."""

_SPELLING_BYTES: Final = 512
"""Longer values are not learnt."""

_NOT_LEARNT: Final = -1

_TYPE_WORDS: Final = np.array([int.from_bytes(name.encode(), "little") for name in KINDS], np.uint64)
_TYPE_LENGTHS: Final = np.array([len(name) for name in KINDS], np.int64)


def user_of(user_id: str | None, anonymous_id: str | None) -> str | None:
    """Who an event belongs to: `userId` when present, else `anonymousId`.

    `_user_field` says the same in the compiled loop.
    """
    return user_id if user_id is not None else anonymous_id


@inlined
def _user_field(user_kind: Number) -> Number:
    present = user_kind != scan.ABSENT and user_kind != scan.NULL
    return rules.USER_ID_FIELD if present else rules.ANONYMOUS_ID_FIELD


@inlined
def _judged(ts: Number, record_ms: Number, received_ms: Number) -> tuple[Number, Number]:
    """How the time `ts` of an event stands (NOT_READ: it has none) and the time to use.

    The reference clock is the Kafka record timestamp, else `receivedAt`; a negative one is unknown.
    """
    reference = record_ms
    if reference < 0 and FIRST_MS <= received_ms < END_MS:
        reference = received_ms
    if ts == NOT_READ:
        if reference < 0:
            return _NO_CLOCK, ts
        ts = reference
    if ts < FIRST_MS:
        return _TOO_OLD, ts
    if ts >= END_MS:
        return _BEYOND, ts
    if reference < 0 or ts - AHEAD_MS <= reference:
        return _FITS, ts
    if ts - CLAMPED_MS > reference:
        return _TOO_FAR, ts
    if reference < FIRST_MS:
        return _TOO_OLD, ts
    return _CLAMPS, reference


@compiled
def judged(ts: Number, record_ms: Number, received_ms: Number) -> tuple[Number, Number]:
    """`_judged`, for single calls."""
    return _judged(ts, record_ms, received_ms)


@inlined
def _spelling(
    buffer: NDArray[np.uint8],
    begin: Number,
    end: Number,
    salt: Number,
    keys: NDArray[np.uint64],
    codes: NDArray[np.int32],
    new: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> Number:
    """The code that a JSON text has been given as an event name (salt 0) or value of breakdown salt - 1.

    _NOT_LEARNT when it has none yet; then it is listed in `new`, once and if there is room.
    """
    key = xxh64(buffer, begin, end) ^ (np.uint64(salt) * SALT)
    if key == np.uint64(0):
        key = np.uint64(1)
    slot = np.int64(key & np.uint64(SPELLINGS - 1))
    while keys[slot] != np.uint64(0):
        if keys[slot] == key:
            return np.int64(codes[slot])
        slot = (slot + 1) & (SPELLINGS - 1)
    if counts[0] < _NEW_SPELLINGS and counts[1] < _SPELLINGS_MOST and end - begin <= _SPELLING_BYTES:
        keys[slot] = key
        codes[slot] = _NOT_LEARNT
        listed = counts[0]
        new[listed, 0] = slot
        new[listed, 1] = salt
        new[listed, 2] = begin
        new[listed, 3] = end
        counts[0] += 1
        counts[1] += 1
    return _NOT_LEARNT


@compiled
def _read(
    buffer: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    states: NDArray[np.uint8],
    timestamps_ms: NDArray[np.int64],
    offsets: NDArray[np.int64],
    partition: Number,
    code_of_kind: NDArray[np.int64],
    without_bots: bool,
    dim_fields: NDArray[np.int32],
    dim_others: NDArray[np.int64],
    keys: NDArray[np.uint64],
    codes: NDArray[np.int32],
    new: NDArray[np.int32],
    counts: NDArray[np.int64],
    rows: NDArray[np.void],
) -> None:
    """Fill the rows of the records that are UNREAD; they become ROW, EXCLUDED or UNSURE, or stay UNREAD.

    The row of a record that is not in state ROW is worth nothing.
    """
    for record in range(len(states)):
        if states[record] != UNREAD:
            continue
        states[record] = UNSURE

        length = ends[record, rules.TYPE_FIELD] - begins[record, rules.TYPE_FIELD] - 2
        if kinds[record, rules.TYPE_FIELD] != scan.STRING or length > 8:
            continue
        head = low_bytes(buffer, begins[record, rules.TYPE_FIELD] + 1, length)
        kind = 0
        while kind < len(_TYPE_WORDS) and (_TYPE_WORDS[kind] != head or _TYPE_LENGTHS[kind] != length):
            kind += 1
        if kind == len(_TYPE_WORDS):
            continue

        field = _user_field(kinds[record, rules.USER_ID_FIELD])
        text = kinds[record, field]
        begin = np.int64(begins[record, field]) + 1
        end = np.int64(ends[record, field]) - 1
        if text != scan.STRING and text != scan.STRING_UTF_8:
            continue
        if end - begin > rules.ID_CHARACTERS or may_be_placeholder(buffer, begin, end, text):
            continue
        user = id_hash_of(buffer, begin, end)
        text = kinds[record, rules.ANONYMOUS_ID_FIELD]
        if not (text <= scan.NULL or scan.STRING <= text <= scan.STRING_ESCAPED):
            continue

        message = np.uint64(0)
        text = kinds[record, rules.MESSAGE_ID_FIELD]
        if text > scan.NULL:
            begin = np.int64(begins[record, rules.MESSAGE_ID_FIELD]) + 1
            end = np.int64(ends[record, rules.MESSAGE_ID_FIELD]) - 1
            if text != scan.STRING and text != scan.STRING_UTF_8:
                continue
            if not 1 <= end - begin <= rules.MESSAGE_ID_CHARACTERS:
                continue
            message = id_hash_of(buffer, begin, end)

        objects = True
        for field in range(rules.CONTEXT_FIELD, rules.TRAITS_FIELD + 1):
            text = kinds[record, field]
            if not (text <= scan.NULL or text == scan.OBJECT):
                objects = False
        if not objects:
            continue

        ts = NOT_READ
        text = kinds[record, rules.TIMESTAMP_FIELD]
        if text > scan.NULL:
            ts = time_at(buffer, text, begins[record, rules.TIMESTAMP_FIELD], ends[record, rules.TIMESTAMP_FIELD])
            if ts == NOT_READ:
                continue
        received_ms = NOT_READ
        text = kinds[record, rules.RECEIVED_AT_FIELD]
        if timestamps_ms[record] < 0 and text > scan.NULL:
            received_ms = time_at(
                buffer, text, begins[record, rules.RECEIVED_AT_FIELD], ends[record, rules.RECEIVED_AT_FIELD]
            )
            if received_ms == NOT_READ:
                continue
        fit, ts = _judged(ts, timestamps_ms[record], received_ms)
        if fit != _FITS and fit != _CLAMPS:
            continue

        known = True
        code = code_of_kind[kind]
        if kind == TRACK:
            text = kinds[record, rules.EVENT_FIELD]
            if not scan.STRING <= text <= scan.STRING_ESCAPED:
                continue
            begin = np.int64(begins[record, rules.EVENT_FIELD])
            end = np.int64(ends[record, rules.EVENT_FIELD])
            code = _spelling(buffer, begin, end, 0, keys, codes, new, counts)
            known = code != _NOT_LEARNT
        dims = np.uint64(0)
        for dim in range(len(dim_fields)):
            field = np.int64(dim_fields[dim])
            text = kinds[record, field]
            if text <= scan.NULL:
                value = dim_others[dim] + 1
            elif text >= scan.ARRAY:
                value = dim_others[dim]
            else:
                begin = np.int64(begins[record, field])
                end = np.int64(ends[record, field])
                value = _spelling(buffer, begin, end, dim + 1, keys, codes, new, counts)
                if value == _NOT_LEARNT:
                    known = False
                    value = 0
            dims |= np.uint64(value) << np.uint64(8 * dim)
        if not known:
            states[record] = UNREAD
            continue

        if code == _EXCLUDED_CODE or (without_bots and kinds[record, rules.BOT_FIELD] == scan.TRUE):
            states[record] = EXCLUDED
            continue
        states[record] = ROW
        row = rows[record]
        row["user"] = user
        row["message"] = message
        row["ts"] = ts
        row["offset"] = offsets[record]
        row["dims"] = dims
        row["partition"] = partition
        row["code"] = code
        row["kind"] = kind
        row["clamped"] = fit


@compiled
def _close_ranks(states: NDArray[np.uint8], rows: NDArray[np.void]) -> tuple[Number, Number, Number]:
    """Move the rows of accepted records together and set their clocks.

    Returns how many they are, the largest ts (NO_TIME: none), and how many records are excluded.
    """
    kept = 0
    clock = NO_TIME
    excluded = 0
    for record in range(len(states)):
        if states[record] == ROW:
            if kept != record:
                rows[kept] = rows[record]
            row = rows[kept]
            if row["ts"] > clock:
                clock = row["ts"]
            row["clock"] = clock
            kept += 1
        elif states[record] == EXCLUDED:
            excluded += 1
    return kept, clock, excluded


class Intake:
    """Reads polls by a config; keeps only a bounded table of spellings between them."""

    def __init__(self, config: Config, limits: Limits) -> None:
        if len(config.breakdowns) > MAX_BREAKDOWNS:
            raise ValueError(f"at most {MAX_BREAKDOWNS} breakdowns, got {len(config.breakdowns)}")
        vocabulary = config.vocabulary()
        if len(vocabulary) >= _EXCLUDED_CODE:
            raise ValueError(f"at most {_EXCLUDED_CODE - 1} event names, got {len(vocabulary)}")
        self._codes_of_names = {name: code for code, name in enumerate(vocabulary)}
        self._codes_of_names.update({slug(name): _EXCLUDED_CODE for name in config.exclude.events})
        self._code_of_kind = np.array([self._code(name_of(kind, None)) for kind in KINDS], np.int64)
        self._without_bots = config.exclude.bots
        breakdowns = config.breakdowns.values()
        self._values_of_dims = [
            {value: code for code, value in reversed(list(enumerate(breakdown.labels()[:-2])))}
            for breakdown in breakdowns
        ]
        self._dim_others = np.array([len(breakdown.values) for breakdown in breakdowns], np.int64)
        self._decoder = Decoder([breakdown.field for breakdown in breakdowns], limits.record_bytes)
        self._limit_bytes = limits.record_bytes
        self._keys = np.zeros(SPELLINGS, np.uint64)
        self._codes = np.zeros(SPELLINGS, np.int32)
        self._new = np.zeros((_NEW_SPELLINGS, 4), np.int32)  # slot, salt, begin, end
        self._counts = np.zeros(2, np.int64)  # listed in _new; used in the table
        self._states = None if config.subscriptions is None else States(config, config.subscriptions, limits)

    def read(self, raw: Raw) -> tuple[Columns, list[Rejected]]:
        """The columns of a poll, and its rejected records, both in offset order."""
        consumed = raw.count
        rows = np.empty(consumed, EVENT)
        states = np.empty(consumed, np.uint8)
        rejected: list[Rejected] = []
        size = self._decoder.batch_records
        for first in range(0, consumed, size):
            part = slice(first, first + size)
            self._read_batch(raw, part, states[part], rows[part])
        for index in np.flatnonzero(states >= UNSURE).tolist():
            outcome = self._one(raw, index)
            if isinstance(outcome, Rejected):
                states[index] = REJECTED
                rejected.append(outcome)
            elif outcome is None:
                states[index] = EXCLUDED
            else:
                states[index] = ROW
                rows[index] = outcome
        carried = NO_STATES
        places = np.zeros(0, np.int64)
        if self._states is not None:
            found, carried = self._states.read(raw, states, rows, rejected)
            places = np.cumsum(states == ROW)[found] - 1
        kept, clock_ms, excluded = _close_ranks(states, rows)
        if len(carried):
            complete(carried, places, rows)
        if kept * 2 < consumed:
            rows = rows[:kept].copy()  # rather than hold on to memory that is mostly unused
        counts = np.zeros(len(REASONS), np.int64)
        for one in rejected:
            counts[REASONS.index(one.reason)] += 1
        columns = Columns(
            partition=raw.partition,
            partitions=raw.partitions,
            rows=rows[:kept],
            clock_ms=int(clock_ms),
            consumed=consumed,
            rejected=counts,
            excluded=int(excluded),
            caught_up=raw.caught_up,
            monotonic_ms=raw.monotonic_ms,
            states=carried,
        )
        return columns, rejected

    def _read_batch(
        self,
        raw: Raw,
        part: slice,
        states: NDArray[np.uint8],
        rows: NDArray[np.void],
    ) -> None:
        """The fast path: whatever it leaves in state UNSURE or UNREAD is for the slow one."""
        if self._counts[1] > SPELLINGS_KEPT:
            self._keys[:] = 0
            self._counts[1] = 0
        scanned = self._decoder.scan(raw.buffer, raw.bounds[:-1][part], raw.bounds[1:][part])
        np.add(scanned.plain, UNSURE, out=states, casting="unsafe")  # plain: UNREAD
        while True:
            self._counts[0] = 0
            _read(
                scanned.buffer,
                scanned.kinds,
                scanned.begins,
                scanned.ends,
                states,
                raw.timestamps_ms[part],
                raw.offsets[part],
                raw.partition,
                self._code_of_kind,
                self._without_bots,
                self._decoder.fields,
                self._dim_others,
                self._keys,
                self._codes,
                self._new,
                self._counts,
                rows,
            )
            if not self._counts[0]:
                return
            self._learn(scanned)

    def _learn(self, scanned: Scanned) -> None:
        """Give the newly listed spellings their codes; those of invalid names get none."""
        for slot, salt, begin, end in self._new[: self._counts[0]].tolist():
            text = scanned.buffer[begin:end].tobytes()
            if salt:
                self._codes[slot] = self._dim(salt - 1, scalar_text(text))
            elif is_event_name(name := string_of(text)):
                self._codes[slot] = self._code(slug(name))

    def _one(self, raw: Raw, index: int) -> Rejected | tuple[int, ...] | None:
        """The slow path: the row of one record, or why there is none (None: excluded)."""
        value, record_ms = raw.value(index), int(raw.timestamps_ms[index])
        outcome = self._decoder.explain(value)
        if isinstance(outcome, Event):
            ts = NOT_READ if outcome.timestamp_ms is None else outcome.timestamp_ms
            received_ms = NOT_READ if outcome.received_at_ms is None else outcome.received_at_ms
            fit, ts = judged(ts, record_ms, received_ms)
            if fit in _TIME_MESSAGES:
                outcome = Problem("bad_timestamp", _TIME_MESSAGES[fit])
        if isinstance(outcome, Problem):
            return rejection(raw, index, outcome, self._limit_bytes)
        code = self._code(name_of(outcome.type, outcome.name))
        if code == _EXCLUDED_CODE or (self._without_bots and outcome.bot):
            return None
        user = user_of(outcome.user_id, outcome.anonymous_id)
        assert user is not None  # explain() saw to it
        message = 0 if outcome.message_id is None else id_hash(outcome.message_id)
        dims = sum(self._dim(dim, found) << 8 * dim for dim, found in enumerate(outcome.values))
        kind = KINDS.index(outcome.type)
        return (id_hash(user), message, ts, 0, int(raw.offsets[index]), dims, raw.partition, code, kind, fit)

    def _code(self, name: str) -> int:
        return self._codes_of_names.get(name, 0)

    def _dim(self, dim: int, found: str | Container | None) -> int:
        other = int(self._dim_others[dim])
        if found is None:
            return other + 1
        return other if isinstance(found, Container) else self._values_of_dims[dim].get(slug(found), other)


def name_of(type_: str, name: str | None) -> str:
    """The slug by which an event is known: of its name, `page_viewed`, `screen_viewed`, or its type."""
    if name is not None:
        return slug(name)
    return f"{type_}_viewed" if type_ in ("page", "screen") else type_
