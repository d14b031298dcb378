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

from flows.columns import EVENT, KINDS, MAX_BREAKDOWNS, NO_STATES, NO_TIME, REASONS, STATE, TRACK, Columns
from flows.config import Config, Subscriptions, slug
from flows.hashing import id_hash, id_hash_of, xxh64
from flows.limits import Limits
from flows.records import Raw, Rejected
from schemas import event as rules
from schemas import scan
from schemas.compiled import Number, compiled, inlined
from schemas.decode import Decoder, Scanned, is_event_name, scalar_text, string_of
from schemas.event import Container, Event, Problem
from schemas.subscription import AHEAD_MS as AHEAD_OF_EVENT_MS
from schemas.subscription import STATUSES, Terms, read_state
from schemas.timestamps import NOT_READ, number_ms_at, text_ms_at

FIRST_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z: older times are taken for mistakes."""

END_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00:00Z: this and later times are mistakes whatever the reference clock says."""

AHEAD_MS: Final = 5 * 60_000
"""How far an event may be ahead of the reference clock: clocks of devices differ."""

CLAMPED_MS: Final = 24 * 3_600_000
"""How far it may be ahead and still be used, at the reference time: a wrong time zone, not a wrong year."""

# What has become of a record so far (`states`).
_ROW: Final = 0
_EXCLUDED: Final = 1
_REJECTED: Final = 2
_UNSURE: Final = 3  # the slow path decides
_UNREAD: Final = 4  # scanned, but not read yet, or with a spelling that has not been learnt

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

_SPELLINGS: Final = 8192
"""Slots of the table of spellings, a power of two."""

_SPELLINGS_KEPT: Final = 4096
"""With more spellings the table is emptied before the next batch, and fills again with those in use."""

_SPELLINGS_MOST: Final = 6144
"""Beyond it nothing is learnt, and records go the slow way, so that the table always has empty slots."""

_NEW_SPELLINGS: Final = 512
"""So many are learnt at once."""

_SPELLING_BYTES: Final = 512
"""Longer values are not learnt."""

_NOT_LEARNT: Final = -1

_STATE_FIELDS: Final = (
    *("subscription_id", "customer_id", "effective_at", "cancel_at"),
    *("status", "plan", "currency", "amount", "discount", "interval", "interval_count", "quantity"),
)
"""The properties that a state is read from; from _TERM_FIELDS on its terms."""

_TERM_FIELDS: Final = 4

_TERMS: Final = np.dtype([("mrr", "i8"), ("status", "u1"), ("plan", "u1")])
"""What the terms of a state come to."""

_PLACEHOLDER_WORDS: Final = np.array(
    [
        int.from_bytes(text.encode(), "little") | (0x2020202020202020 >> (64 - 8 * len(text)))
        for text in sorted(rules.PLACEHOLDERS)
        if 1 <= len(text) <= 8
    ]
    + [int.from_bytes(text.encode()[:8], "little") for text in sorted(rules.PLACEHOLDERS) if len(text) == 9],
    np.uint64,
)
"""The first 8 bytes of placeholders with bit 32 set in each, which makes letters lower case."""

_TYPE_WORDS: Final = np.array([int.from_bytes(name.encode(), "little") for name in KINDS], np.uint64)
_TYPE_LENGTHS: Final = np.array([len(name) for name in KINDS], np.int64)
_SALT: Final = np.uint64(0x9E3779B97F4A7C15)
_LOWER: Final = np.uint64(0x2020202020202020)
_ZEROS: Final = np.uint64(int.from_bytes(b"00000000", "little"))


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
def _low_bytes(buffer: NDArray[np.uint8], begin: Number, length: Number) -> Number:
    """Up to 8 bytes from `begin` as a word, zeros above."""
    head = scan.word(buffer, begin)
    if length < 8:
        head &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    return head


@inlined
def _may_be_placeholder(buffer: NDArray[np.uint8], begin: Number, end: Number, kind: Number) -> bool:
    """Never False for a placeholder; the slow path decides about the rest."""
    length = end - begin
    if kind == scan.STRING_UTF_8:
        return bool(length <= 12)  # a letter outside ASCII can have its lower case inside: the Kelvin sign
    if length == 36:
        return bool(scan.word(buffer, begin) == _ZEROS)
    if length > 9:
        return False
    if length == 0:
        return True
    head = _low_bytes(buffer, begin, length)
    head |= _LOWER >> np.uint64(64 - 8 * min(length, 8))
    found = False
    for index in range(len(_PLACEHOLDER_WORDS)):
        found |= _PLACEHOLDER_WORDS[index] == head
    return found


@inlined
def _time_at(buffer: NDArray[np.uint8], kind: Number, begin: Number, end: Number) -> Number:
    """Milliseconds of a timestamp field; NOT_READ when the slow path has to look at it."""
    if kind == scan.STRING:
        return text_ms_at(buffer, begin + 1, end - 1)
    if kind == scan.NUMBER:
        return number_ms_at(buffer, begin, end)
    return NOT_READ


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
    key = xxh64(buffer, begin, end) ^ (np.uint64(salt) * _SALT)
    if key == np.uint64(0):
        key = np.uint64(1)
    slot = np.int64(key & np.uint64(_SPELLINGS - 1))
    while keys[slot] != np.uint64(0):
        if keys[slot] == key:
            return np.int64(codes[slot])
        slot = (slot + 1) & (_SPELLINGS - 1)
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
    """Fill the rows of the records that are _UNREAD; they become _ROW, _EXCLUDED or _UNSURE, or stay _UNREAD.

    The row of a record that is not in state _ROW is worth nothing.
    """
    for record in range(len(states)):
        if states[record] != _UNREAD:
            continue
        states[record] = _UNSURE

        length = ends[record, rules.TYPE_FIELD] - begins[record, rules.TYPE_FIELD] - 2
        if kinds[record, rules.TYPE_FIELD] != scan.STRING or length > 8:
            continue
        head = _low_bytes(buffer, begins[record, rules.TYPE_FIELD] + 1, length)
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
        if end - begin > rules.ID_CHARACTERS or _may_be_placeholder(buffer, begin, end, text):
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
            ts = _time_at(buffer, text, begins[record, rules.TIMESTAMP_FIELD], ends[record, rules.TIMESTAMP_FIELD])
            if ts == NOT_READ:
                continue
        received_ms = NOT_READ
        text = kinds[record, rules.RECEIVED_AT_FIELD]
        if timestamps_ms[record] < 0 and text > scan.NULL:
            received_ms = _time_at(
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
            states[record] = _UNREAD
            continue

        if code == _EXCLUDED_CODE or (without_bots and kinds[record, rules.BOT_FIELD] == scan.TRUE):
            states[record] = _EXCLUDED
            continue
        states[record] = _ROW
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
def _with_state(
    states: NDArray[np.uint8], rows: NDArray[np.void], carries: NDArray[np.bool_], found: NDArray[np.int64]
) -> Number:
    """List the accepted records whose event code `carries` a state in `found`; returns how many."""
    count = 0
    for record in range(len(states)):
        if states[record] == _ROW and carries[rows[record]["code"]] and rows[record]["kind"] == TRACK:
            found[count] = record
            count += 1
    return count


@inlined
def _an_id(buffer: NDArray[np.uint8], begin: Number, end: Number, kind: Number) -> bool:
    """Whether the JSON text is surely an id; the slow path decides about the rest."""
    if kind != scan.STRING and kind != scan.STRING_UTF_8:
        return False
    if end - begin - 2 > rules.ID_CHARACTERS:
        return False
    return not _may_be_placeholder(buffer, begin + 1, end - 1, kind)


@compiled
def _read_states(
    buffer: NDArray[np.uint8],
    plain: NDArray[np.bool_],
    kinds: NDArray[np.uint8],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    fields: NDArray[np.int32],
    records: NDArray[np.int64],
    rows: NDArray[np.void],
    keys: NDArray[np.uint64],
    terms: NDArray[np.void],
    own_keys: NDArray[np.uint64],
    sure: NDArray[np.bool_],
    carried: NDArray[np.void],
) -> None:
    """Fill in `carried` for the `records` where that is `sure`; `own_keys` are those of their terms, 0: none."""
    for i in range(len(records)):
        if not plain[i]:
            continue
        row = rows[records[i]]
        key = np.uint64(row["code"]) + np.uint64(1)
        simple = True
        for place in range(_TERM_FIELDS, len(fields)):
            field = fields[place]
            kind = kinds[i, field]
            simple &= kind < scan.ARRAY
            if kind > scan.NULL:
                text = xxh64(buffer, np.int64(begins[i, field]), np.int64(ends[i, field]))
            else:
                text = np.uint64(0)
            key = (key ^ text) * _SALT
            key ^= key >> np.uint64(29)
        if not simple:
            continue
        own_keys[i] = key
        slot = np.int64(key & np.uint64(_SPELLINGS - 1))
        while keys[slot] != key and keys[slot] != np.uint64(0):
            slot = (slot + 1) & (_SPELLINGS - 1)
        if key == np.uint64(0) or keys[slot] != key:
            continue
        state = carried[i]

        field = fields[0]
        begin = np.int64(begins[i, field])
        end = np.int64(ends[i, field])
        if not _an_id(buffer, begin, end, kinds[i, field]):
            continue
        state["subscription"] = id_hash_of(buffer, begin + 1, end - 1)
        field = fields[1]
        if kinds[i, field] <= scan.NULL:
            state["customer"] = row["user"]
        else:
            begin = np.int64(begins[i, field])
            end = np.int64(ends[i, field])
            if not _an_id(buffer, begin, end, kinds[i, field]):
                continue
            state["customer"] = id_hash_of(buffer, begin + 1, end - 1)

        field = fields[2]
        effective = row["ts"]
        if kinds[i, field] > scan.NULL:
            effective = _time_at(buffer, kinds[i, field], begins[i, field], ends[i, field])
            if effective < FIRST_MS or effective >= END_MS or effective > row["ts"] + AHEAD_OF_EVENT_MS:
                continue
        state["effective"] = effective
        field = fields[3]
        cancelling = kinds[i, field] > scan.NULL
        if cancelling:
            at = _time_at(buffer, kinds[i, field], begins[i, field], ends[i, field])
            if at < FIRST_MS or at >= END_MS:
                continue
        state["cancelling"] = cancelling

        state["mrr"] = terms[slot]["mrr"]
        state["status"] = terms[slot]["status"]
        state["plan"] = terms[slot]["plan"]
        sure[i] = True


@compiled
def _complete(carried: NDArray[np.void], places: NDArray[np.int64], rows: NDArray[np.void]) -> None:
    """Give states what the events at `places` of `rows` say, and make the ids of different customers differ."""
    for i in range(len(carried)):
        state = carried[i]
        row = rows[places[i]]
        salt = state["customer"] * _SALT
        state["subscription"] ^= salt
        state["user"] = row["user"]
        state["message"] = 0
        if row["message"] != np.uint64(0):
            state["message"] = max(row["message"] ^ salt, np.uint64(1))
        state["ts"] = row["ts"]
        state["clock"] = row["clock"]
        state["offset"] = row["offset"]
        state["partition"] = row["partition"]


@compiled
def _close_ranks(states: NDArray[np.uint8], rows: NDArray[np.void]) -> tuple[Number, Number, Number]:
    """Move the rows of accepted records together and set their clocks.

    Returns how many they are, the largest ts (NO_TIME: none), and how many records are excluded.
    """
    kept = 0
    clock = NO_TIME
    excluded = 0
    for record in range(len(states)):
        if states[record] == _ROW:
            if kept != record:
                rows[kept] = rows[record]
            row = rows[kept]
            if row["ts"] > clock:
                clock = row["ts"]
            row["clock"] = clock
            kept += 1
        elif states[record] == _EXCLUDED:
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
        self._keys = np.zeros(_SPELLINGS, np.uint64)
        self._codes = np.zeros(_SPELLINGS, np.int32)
        self._new = np.zeros((_NEW_SPELLINGS, 4), np.int32)  # slot, salt, begin, end
        self._counts = np.zeros(2, np.int64)  # listed in _new; used in the table
        self._states = None if config.subscriptions is None else _States(config, config.subscriptions, limits)

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
        for index in np.flatnonzero(states >= _UNSURE).tolist():
            outcome = self._one(raw, index)
            if isinstance(outcome, Rejected):
                states[index] = _REJECTED
                rejected.append(outcome)
            elif outcome is None:
                states[index] = _EXCLUDED
            else:
                states[index] = _ROW
                rows[index] = outcome
        carried = NO_STATES
        places = np.zeros(0, np.int64)
        if self._states is not None:
            found, carried = self._states.read(raw, states, rows, rejected)
            places = np.cumsum(states == _ROW)[found] - 1
        kept, clock_ms, excluded = _close_ranks(states, rows)
        if len(carried):
            _complete(carried, places, rows)
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
        """The fast path: whatever it leaves in state _UNSURE or _UNREAD is for the slow one."""
        if self._counts[1] > _SPELLINGS_KEPT:
            self._keys[:] = 0
            self._counts[1] = 0
        scanned = self._decoder.scan(raw.buffer, raw.bounds[:-1][part], raw.bounds[1:][part])
        np.add(scanned.plain, _UNSURE, out=states, casting="unsafe")  # plain: _UNREAD
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
            return _rejected(raw, index, outcome, self._limit_bytes)
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


def _rejected(raw: Raw, index: int, problem: Problem, limit_bytes: int) -> Rejected:
    return Rejected(
        reason=problem.reason,
        message=problem.message,
        topic=raw.topic,
        partition=raw.partition,
        offset=int(raw.offsets[index]),
        timestamp_ms=int(raw.timestamps_ms[index]),
        payload=raw.value(index)[:limit_bytes],
    )


class _States:
    """Reads the states of subscriptions that accepted events carry; an event with an unreadable one is rejected.

    As with events there are two ways. The fast one scans the few records concerned once more, for the properties
    that matter. What its terms (status, plan, price) come to is found by their texts in a table of hashes: a product
    has few. What is not there yet, and every doubt, goes to `read_state`, which decides; the table learns from it.
    """

    def __init__(self, config: Config, section: Subscriptions, limits: Limits) -> None:
        names = {slug(name): status for name, status in section.events.items()}
        vocabulary = config.vocabulary()
        self._carries = np.array([name in names for name in vocabulary], np.bool_)
        self._default_statuses = [names.get(name) for name in vocabulary]
        self._reading = Terms(
            section.currency,
            section.decimals,
            {word.lower(): status for word, status in section.statuses.items()},
        )
        self._plans = {plan: code for code, plan in enumerate(section.labels()[:-2])}
        self._other = len(section.plans)
        self._decoder = Decoder([f"properties.{name}" for name in _STATE_FIELDS], limits.record_bytes)
        self._limit_bytes = limits.record_bytes
        self._found = np.zeros(0, np.int64)
        self._keys = np.zeros(_SPELLINGS, np.uint64)
        self._terms = np.zeros(_SPELLINGS, _TERMS)
        self._learnt = 0

    def read(
        self, raw: Raw, states: NDArray[np.uint8], rows: NDArray[np.void], rejected: list[Rejected]
    ) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """The numbers of the records with a readable state, and the states (dtype STATE) without what the event says.

        What cannot be read goes to `rejected`, which stays in offset order.
        """
        if len(self._found) < len(states):
            self._found = np.zeros(len(states), np.int64)
        found = self._found[: _with_state(states, rows, self._carries, self._found)].copy()
        carried = np.zeros(len(found), STATE)
        size = self._decoder.batch_records
        refused = []
        for first in range(0, len(found), size):
            part = found[first : first + size]
            keys = np.zeros(len(part), np.uint64)
            sure = np.zeros(len(part), np.bool_)
            scanned = self._decoder.scan(raw.buffer, raw.bounds[part], raw.bounds[part + 1])
            _read_states(
                scanned.buffer,
                scanned.plain,
                scanned.kinds,
                scanned.begins,
                scanned.ends,
                self._decoder.fields,
                part,
                rows,
                self._keys,
                self._terms,
                keys,
                sure,
                carried[first : first + size],
            )
            for place in np.flatnonzero(~sure).tolist():
                index = int(part[place])
                problem = self._one(raw.value(index), rows[index], int(keys[place]), carried[first + place])
                if problem is not None:
                    states[index] = _REJECTED
                    refused.append(_rejected(raw, index, problem, self._limit_bytes))
        if refused:
            rejected += refused
            rejected.sort(key=lambda one: one.offset)
            kept = states[found] == _ROW
            found, carried = found[kept], carried[kept]
        return found, carried

    def _one(self, value: bytes, row: np.void, key: int, carried: np.void) -> Problem | None:
        """The slow path: fill in `carried`, or say why the state cannot be read."""
        outcome = read_state(value, int(row["ts"]), self._default_statuses[row["code"]], self._reading)
        if isinstance(outcome, Problem):
            return outcome
        carried["customer"] = row["user"] if outcome.customer is None else id_hash(outcome.customer)
        carried["subscription"] = id_hash(outcome.subscription)
        carried["effective"] = outcome.effective_ms
        carried["mrr"] = outcome.mrr
        carried["status"] = STATUSES.index(outcome.status)
        carried["plan"] = self._plan(outcome.plan)
        carried["cancelling"] = outcome.cancelling
        if key:
            self._learn(key, carried)
        return None

    def _learn(self, key: int, carried: np.void) -> None:
        if self._learnt >= _SPELLINGS_KEPT:
            self._keys[:] = 0
            self._learnt = 0
        slot = key & (_SPELLINGS - 1)
        while self._keys[slot]:
            if self._keys[slot] == key:
                return
            slot = (slot + 1) & (_SPELLINGS - 1)
        self._keys[slot] = key
        self._terms[slot] = (carried["mrr"], carried["status"], carried["plan"])
        self._learnt += 1

    def _plan(self, found: str | Container | None) -> int:
        if found is None:
            return self._other + 1
        return self._other if isinstance(found, Container) else self._plans.get(slug(found), self._other)


def name_of(type_: str, name: str | None) -> str:
    """The slug by which an event is known: of its name, `page_viewed`, `screen_viewed`, or its type."""
    if name is not None:
        return slug(name)
    return f"{type_}_viewed" if type_ in ("page", "screen") else type_
