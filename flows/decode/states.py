"""The states of subscriptions that accepted events carry (METRICS.md 3.6)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.config.limits import Limits
from flows.config.model import Config, Subscriptions, slug
from flows.decode import scanner as scan
from flows.decode.events import Decoder
from flows.decode.hashing import id_hash, id_hash_of, xxh64
from flows.decode.texts import REJECTED, ROW, SALT, SPELLINGS, SPELLINGS_KEPT, may_be_placeholder, rejection
from flows.decode.times import END_MS, FIRST_MS, time_at
from flows.messages.columns import TRACK
from flows.messages.raw import Raw, Rejected
from flows.metrics.subscriptions.fact import STATE
from schemas import event as rules
from schemas.event import Container, Problem
from schemas.subscription import AHEAD_MS as AHEAD_OF_EVENT_MS
from schemas.subscription import NOT_UNDERSTOOD, PERCENTS, STATUSES, Terms, read_state

_OWN_FIELDS: Final = ("subscription_id", "customer_id", "effective_at", "cancel_at", "sequence", "replaces")
"""The properties that are read for every state anew."""
_TERM_FIELDS: Final = ("status", "plan", "currency", "amount", "discount", "interval", "interval_count", "quantity")
"""The properties that make up its terms."""
_RARE_FIELDS: Final = ("items", *PERCENTS, *NOT_UNDERSTOOD)
"""Those that do so where they are there, in any type."""

_SUBSCRIPTION, _CUSTOMER, _EFFECTIVE, _CANCEL, _SEQUENCE, _REPLACES = range(len(_OWN_FIELDS))
_TERMS_FROM: Final = len(_OWN_FIELDS)
_RARE_FROM: Final = _TERMS_FROM + len(_TERM_FIELDS)

_DIGITS: Final = 18
"""So many always fit 63 bits."""
_ZERO, _NINE, _QUOTE, _BACKSLASH = ord("0"), ord("9"), ord('"'), ord("\\")
_OPEN_ARRAY, _CLOSE_ARRAY, _OPEN_OBJECT, _CLOSE_OBJECT = ord("["), ord("]"), ord("{"), ord("}")

_TERMS: Final = np.dtype([("mrr", "i8"), ("status", "u1"), ("plan", "u1")])
"""What the terms of a state come to."""


@compiled
def _with_state(
    states: NDArray[np.uint8], rows: NDArray[np.void], carries: NDArray[np.bool_], found: NDArray[np.int64]
) -> Number:
    """List the accepted records whose event code `carries` a state in `found`; returns how many."""
    count = 0
    for record in range(len(states)):
        if states[record] == ROW and carries[rows[record]["code"]] and rows[record]["kind"] == TRACK:
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
    return not may_be_placeholder(buffer, begin + 1, end - 1, kind)


@inlined
def _digits(buffer: NDArray[np.uint8], begin: Number, end: Number, kind: Number) -> Number:
    """The number that the JSON text is when it is nothing but a few digits, else -1."""
    if kind != scan.NUMBER or end - begin > _DIGITS:
        return -1
    number: Number = 0
    for at in range(begin, end):
        byte = buffer[at]
        if byte < _ZERO or byte > _NINE:
            return -1
        number = number * 10 + np.int64(byte) - _ZERO
    return number


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
        for place in range(_TERMS_FROM, _RARE_FROM):
            field = fields[place]
            kind = kinds[i, field]
            simple &= kind < scan.ARRAY
            if kind > scan.NULL:
                text = xxh64(buffer, np.int64(begins[i, field]), np.int64(ends[i, field]))
            else:
                text = np.uint64(0)
            key = (key ^ text) * SALT
            key ^= key >> np.uint64(29)
        for place in range(_RARE_FROM, len(fields)):
            field = fields[place]
            kind = kinds[i, field]
            if kind > scan.NULL:
                begin = np.int64(begins[i, field])
                end = np.int64(ends[i, field]) if kind < scan.ARRAY else _container_end(buffer, begin)
                key = (key ^ xxh64(buffer, begin, end) ^ np.uint64(place)) * SALT
                key ^= key >> np.uint64(29)
        if not simple:
            continue
        own_keys[i] = key
        slot = np.int64(key & np.uint64(SPELLINGS - 1))
        while keys[slot] != key and keys[slot] != np.uint64(0):
            slot = (slot + 1) & (SPELLINGS - 1)
        if key == np.uint64(0) or keys[slot] != key:
            continue
        state = carried[i]

        field = fields[_SUBSCRIPTION]
        begin = np.int64(begins[i, field])
        end = np.int64(ends[i, field])
        if not _an_id(buffer, begin, end, kinds[i, field]):
            continue
        state["subscription"] = id_hash_of(buffer, begin + 1, end - 1)
        field = fields[_CUSTOMER]
        if kinds[i, field] <= scan.NULL:
            state["key"] = row["user"]
        else:
            begin = np.int64(begins[i, field])
            end = np.int64(ends[i, field])
            if not _an_id(buffer, begin, end, kinds[i, field]):
                continue
            state["key"] = id_hash_of(buffer, begin + 1, end - 1)

        field = fields[_EFFECTIVE]
        effective = row["ts"]
        if kinds[i, field] > scan.NULL:
            effective = time_at(buffer, kinds[i, field], begins[i, field], ends[i, field])
            if effective < FIRST_MS or effective >= END_MS or effective > row["ts"] + AHEAD_OF_EVENT_MS:
                continue
        state["effective"] = effective
        field = fields[_CANCEL]
        cancelling = kinds[i, field] > scan.NULL
        if cancelling:
            at = time_at(buffer, kinds[i, field], begins[i, field], ends[i, field])
            if at < FIRST_MS or at >= END_MS:
                continue
        state["cancelling"] = cancelling

        field = fields[_SEQUENCE]
        state["sequence"] = -1
        if kinds[i, field] > scan.NULL:
            number = _digits(buffer, np.int64(begins[i, field]), np.int64(ends[i, field]), kinds[i, field])
            if number < 0:
                continue
            state["sequence"] = number
        field = fields[_REPLACES]
        state["replaces"] = 0
        if kinds[i, field] > scan.NULL:
            begin = np.int64(begins[i, field])
            end = np.int64(ends[i, field])
            if not _an_id(buffer, begin, end, kinds[i, field]):
                continue
            state["replaces"] = id_hash_of(buffer, begin + 1, end - 1)
            if state["replaces"] == state["subscription"]:
                continue

        state["mrr"] = terms[slot]["mrr"]
        state["status"] = terms[slot]["status"]
        state["plan"] = terms[slot]["plan"]
        sure[i] = True


@compiled
def complete(carried: NDArray[np.void], places: NDArray[np.int64], rows: NDArray[np.void]) -> None:
    """Give states what the events at `places` of `rows` say, and make the ids of different customers differ."""
    for i in range(len(carried)):
        state = carried[i]
        row = rows[places[i]]
        salt = state["key"] * SALT
        state["subscription"] ^= salt
        if state["replaces"] != np.uint64(0):
            state["replaces"] ^= salt
        state["user"] = row["user"]
        state["message"] = 0
        if row["message"] != np.uint64(0):
            state["message"] = max(row["message"] ^ salt, np.uint64(1))
        state["ts"] = row["ts"]
        state["clock"] = row["clock"]
        state["offset"] = row["offset"]
        state["dims"] = row["dims"]
        state["partition"] = row["partition"]


class States:
    """Reads the states of subscriptions that accepted events carry; an event with an unreadable one is rejected.

    As with events there are two ways. The fast one scans the few records concerned once more, for the properties
    that matter. What its terms (status, plan, price) come to is found by their texts in a table of hashes: a product
    has few. What is not there yet, and every doubt, goes to `read_state`, which decides; the table learns from it.
    """

    def __init__(self, config: Config, section: Subscriptions, limits: Limits) -> None:
        names = {slug(name): status for name, status in section.events.items()}
        codes = config.codes()
        self._carries = codes.matching([(frozenset(names), ())])
        self._default_statuses = [names.get(codes.names[name]) for name in codes.name_of]
        self._reading = Terms(
            section.currency,
            section.decimals,
            {word.lower(): status for word, status in section.statuses.items()},
            section.amount_unit == "minor",
        )
        self._plans = {plan: code for code, plan in enumerate(section.labels()[:-2])}
        self._other = len(section.plans)
        self._decoder = Decoder(
            [("properties", name) for name in (*_OWN_FIELDS, *_TERM_FIELDS, *_RARE_FIELDS)], limits.record_bytes
        )
        self._limit_bytes = limits.record_bytes
        self._found = np.zeros(0, np.int64)
        self._keys = np.zeros(SPELLINGS, np.uint64)
        self._terms = np.zeros(SPELLINGS, _TERMS)
        self._learnt = 0

    def read(
        self, raw: Raw, states: NDArray[np.uint8], rows: NDArray[np.void], rejected: list[Rejected]
    ) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """The numbers of the records with a readable state, and the states (STATE.dtype) without what the event says.

        What cannot be read goes to `rejected`, which stays in offset order.
        """
        if len(self._found) < len(states):
            self._found = np.zeros(len(states), np.int64)
        found = self._found[: _with_state(states, rows, self._carries, self._found)].copy()
        carried = np.zeros(len(found), STATE.dtype)
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
                    states[index] = REJECTED
                    refused.append(rejection(raw, index, problem, self._limit_bytes))
        if refused:
            rejected += refused
            rejected.sort(key=lambda one: one.offset)
            kept = states[found] == ROW
            found, carried = found[kept], carried[kept]
        return found, carried

    def _one(self, value: bytes, row: np.void, key: int, carried: np.void) -> Problem | None:
        """The slow path: fill in `carried`, or say why the state cannot be read."""
        outcome = read_state(value, int(row["ts"]), self._default_statuses[row["code"]], self._reading)
        if isinstance(outcome, Problem):
            return outcome
        carried["key"] = row["user"] if outcome.customer is None else id_hash(outcome.customer)
        carried["subscription"] = id_hash(outcome.subscription)
        carried["effective"] = outcome.effective_ms
        carried["mrr"] = outcome.mrr
        carried["status"] = STATUSES.index(outcome.status)
        carried["plan"] = self._plan(outcome.plan)
        carried["cancelling"] = outcome.cancelling
        carried["sequence"] = -1 if outcome.sequence is None else outcome.sequence
        carried["replaces"] = 0 if outcome.replaces is None else id_hash(outcome.replaces)
        if key:
            self._learn(key, carried)
        return None

    def _learn(self, key: int, carried: np.void) -> None:
        if self._learnt >= SPELLINGS_KEPT:
            self._keys[:] = 0
            self._learnt = 0
        slot = key & (SPELLINGS - 1)
        while self._keys[slot]:
            if self._keys[slot] == key:
                return
            slot = (slot + 1) & (SPELLINGS - 1)
        self._keys[slot] = key
        self._terms[slot] = (carried["mrr"], carried["status"], carried["plan"])
        self._learnt += 1

    def _plan(self, found: str | Container | None) -> int:
        if found is None:
            return self._other + 1
        return self._other if isinstance(found, Container) else self._plans.get(slug(found), self._other)
