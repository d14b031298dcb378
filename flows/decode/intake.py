"""From the bytes of a poll to its columns: decode, identify, date, name, and leave out what is not wanted.

Two ways lead to a row, and they give the same row. The fast one takes the whole batch: the scanner of
`schemas` finds the fields, one compiled loop (`plain_rows`) turns them into rows, and spellings of event names,
breakdown values and conditions are looked up in a table of hashes. The slow one, `Intake._one`, takes a single record
through `Decoder.explain`; it decides every record about which the fast one is in the least doubt, and it alone
rejects.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.config.event_codes import place_among
from flows.config.limits import Limits
from flows.config.model import Config, slug
from flows.config.notation import keys_of
from flows.decode.events import Decoder, is_event_name
from flows.decode.facts import Facts as FactReaders
from flows.decode.hashing import id_hash
from flows.decode.links import Links
from flows.decode.plain_rows import BOT_MARK, EXCLUDED_NAME, Names, Poll, Texts, fill
from flows.decode.spellings import Spellings
from flows.decode.texts import EXCLUDED, REJECTED, ROW, UNSURE, rejection
from flows.decode.tied_values import TiedFields
from flows.decode.times import TIME_MESSAGES, date
from flows.decode.values import Values
from flows.facts.fact import Fact
from flows.messages.columns import (
    EVENT,
    KINDS,
    MAX_BREAKDOWNS,
    NO_FACTS,
    NO_TIME,
    REASONS,
    TIED_VALUES,
    Columns,
    Facts,
)
from flows.messages.raw import Raw, Rejected
from flows.metrics.catalogue import facts as facts_under
from schemas.event import EXCLUSIONS, Container, Event, Exclusion, Problem
from schemas.json_text import scalar_text, string_of
from schemas.timestamps import NOT_READ

_USER_AGENT: Final = ("context", "userAgent")


def machine_ms() -> int:
    """The machine's clock: no clock of producers or collectors may be a day ahead of it."""
    return time.time_ns() // 1_000_000


def user_of(user_id: str | None, anonymous_id: str | None) -> str | None:
    """Who an event belongs to: `userId` when present, else `anonymousId`.

    `plain_rows` says the same in the compiled loop.
    """
    return user_id if user_id is not None else anonymous_id


class Intake:
    """Reads polls by a config; keeps only bounded tables of spellings between them.

    `live`: events come as they happen, so that one without any reference clock is bounded by the machine's.
    """

    def __init__(
        self,
        config: Config,
        limits: Limits,
        *,
        live: bool = False,
        clock_ms: Callable[[], int] = machine_ms,
        facts: Sequence[Fact] | None = None,
    ) -> None:
        if len(config.breakdowns) > MAX_BREAKDOWNS:
            raise ValueError(f"at most {MAX_BREAKDOWNS} breakdowns, got {len(config.breakdowns)}")
        self._live = live
        self._clock_ms = clock_ms
        self._codes = config.codes
        self._codes_of_names = {slug(name): EXCLUDED_NAME for one in config.exclude.events for name in one.event}
        self._codes_of_names.update({name: code for code, name in enumerate(self._codes.names)})
        self._names = Names(
            np.array([self._name_code(name_of(kind, None)) for kind in KINDS], np.int64),
            self._codes.asked,
            self._codes.first,
            config.excluded(self._codes),
            config.exclude.bots is not False,
        )
        plain = [(place, one) for place, one in enumerate(config.breakdowns.values()) if one.computed is None]
        self._values_of_dims = [
            {value: code for code, value in reversed(list(enumerate(breakdown.labels()[:-2])))}
            for _, breakdown in plain
        ]
        fields = [breakdown.keys() for _, breakdown in plain]
        self._conditions = self._codes.fields()
        fields += [keys_of(field) or () for field in self._conditions]
        if config.exclude.bots == "user_agent":
            fields.append(_USER_AGENT)
        self._links = Links(config.breakdowns)
        links = self._links.paths()
        tops = [keys_of(one.field) or () for one in config.top.values()]
        held = [keys_of(field) or () for field in config.held_fields()]
        self._decoder = Decoder([*fields, *links, *tops, *held], limits.record_bytes)
        dims, looked_up = len(plain), len(fields)
        self._texts = Texts(
            self._decoder.fields[:dims],
            np.array([8 * place for place, _ in plain], np.uint64),
            np.array([len(breakdown.values) for _, breakdown in plain], np.int64),
            self._decoder.fields[dims:looked_up],
        )
        self._looked_up = looked_up  # fields whose texts have codes; then those of links, top lists, and held ones
        self._linked = slice(looked_up, looked_up + len(links))
        self._listed = slice(self._linked.stop, self._linked.stop + len(tops))
        self._held = slice(self._listed.stop, None)
        self._links.read_from(self._decoder.fields[self._linked], self._decoder.batch_records)
        self._values = Values(list(config.top), self._decoder.fields[self._listed])
        self._limit_bytes = limits.record_bytes
        self._spellings = Spellings()
        self._facts = FactReaders(config, facts_under(config) if facts is None else facts, limits)
        self._tied = TiedFields(config, self._decoder.fields[self._held])

    def read(self, raw: Raw) -> tuple[Columns, list[Rejected]]:
        """The columns of a poll, and its rejected records, both in offset order."""
        consumed = raw.count
        now_ms = self._clock_ms()
        rows = np.empty(consumed, EVENT)
        fates = np.empty(consumed, np.uint8)
        rejected: list[Rejected] = []
        if self._values:
            self._values.begin(consumed)
        if self._tied:
            self._tied.begin(consumed)
        size = self._decoder.batch_records
        for first in range(0, consumed, size):
            part = slice(first, first + size)
            self._read_batch(raw, part, now_ms, fates[part], rows[part])
        for index in np.flatnonzero(fates >= UNSURE).tolist():
            outcome = self._one(raw, index, now_ms)
            if isinstance(outcome, Rejected):
                fates[index] = REJECTED
                rejected.append(outcome)
            elif isinstance(outcome, Exclusion):
                fates[index] = EXCLUDED + EXCLUSIONS.index(outcome.kind)
            else:
                fates[index] = ROW
                rows[index] = outcome
        carried = self._facts.read(raw, fates, rows, rejected) if self._facts else {}
        places = np.cumsum(fates == ROW) - 1 if carried or self._values else None  # of each record among the rows
        tied = self._tied.rows(fates, rows) if self._tied else rows[:0]
        excluded = np.zeros(len(EXCLUSIONS), np.int64)
        kept, clock_ms, latest_ms = _compact(fates, rows, excluded)
        facts: Facts = NO_FACTS
        if places is not None:
            facts = {kind: self._facts.completed(kind, one, places, rows) for kind, one in carried.items()}
            if self._values:
                facts = facts | self._values.completed(fates, places, rows)
        if len(tied):
            facts = {**facts, TIED_VALUES: tied}
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
            latest_ms=int(latest_ms),
            consumed=consumed,
            rejected=counts,
            excluded=excluded,
            caught_up=raw.caught_up,
            monotonic_ms=raw.monotonic_ms,
            facts=facts,
            offsets=(int(raw.offsets[0]), int(raw.offsets[-1]) + 1) if consumed else None,
        )
        return columns, rejected

    def _read_batch(self, raw: Raw, part: slice, now_ms: int, fates: NDArray[np.uint8], rows: NDArray[np.void]) -> None:
        """The fast path: whatever it leaves UNSURE or UNREAD is for the slow one."""
        self._spellings.make_room()
        scanned = self._decoder.scan(raw.buffer, raw.bounds[:-1][part], raw.bounds[1:][part])
        np.add(scanned.plain, UNSURE, out=fates, casting="unsafe")  # plain: UNREAD
        poll = Poll(raw.timestamps_ms[part], raw.offsets[part], raw.partition, now_ms, self._live)
        while True:
            self._spellings.listen()
            fill(scanned, poll, self._names, self._texts, self._spellings.table, fates, rows)
            if not self._spellings.learn(scanned, self._code_of_text):
                break
        if self._links:
            self._links.mark(scanned, fates, rows)
        if self._values:
            self._values.find(scanned, part, fates)
        if self._tied:
            self._tied.read(scanned, part, fates, rows)

    def _code_of_text(self, salt: int, text: bytes) -> int | None:
        """What a JSON text is as an event name (salt 0), in a breakdown, in a condition, or as a user agent."""
        if salt == 0:
            name = string_of(text)
            return self._name_code(slug(name)) if is_event_name(name) else None
        return self._code_of_value(salt - 1, scalar_text(text))

    def _code_of_value(self, place: int, found: str | Container | None) -> int:
        """The code of a value at one of the decoder's paths: of breakdowns first, then of conditions."""
        dims = len(self._values_of_dims)
        if place < dims:
            other = int(self._texts.dim_others[place])
            if found is None:
                return other + 1
            return other if isinstance(found, Container) else self._values_of_dims[place].get(slug(found), other)
        value = found if isinstance(found, str) else None
        if place - dims < len(self._conditions):
            return self._codes.met(self._conditions[place - dims], value)
        return BOT_MARK if value is not None and _is_crawler(value) else 0

    def _one(self, raw: Raw, index: int, now_ms: int) -> Rejected | Exclusion | tuple[int, ...]:
        """The slow path: the row of one record, or why there is none."""
        value, record_ms = raw.value(index), int(raw.timestamps_ms[index])
        outcome = self._decoder.explain(value)
        if isinstance(outcome, Event):
            told = (outcome.timestamp_ms, outcome.original_timestamp_ms, outcome.sent_at_ms, outcome.received_at_ms)
            timestamp, original, sent, received = (NOT_READ if time is None else time for time in told)
            fit, ts, reading = date(timestamp, original, sent, received, record_ms, now_ms, self._live)
            if fit in TIME_MESSAGES:
                field = "timestamp" if told[0] is not None or told[1] is None else "originalTimestamp"
                outcome = Problem("bad_timestamp", f"$.{field}: {TIME_MESSAGES[fit]}")
        if isinstance(outcome, Exclusion):
            return outcome
        if isinstance(outcome, Problem):
            return rejection(raw, index, outcome, self._limit_bytes)
        codes = [self._code_of_value(place, found) for place, found in enumerate(outcome.values[: self._looked_up])]
        dims, met = codes[: len(self._values_of_dims)], codes[len(self._values_of_dims) :]
        marks = functools.reduce(int.__or__, met, 0)
        name = self._name_code(name_of(outcome.type, outcome.name))
        if name == EXCLUDED_NAME:
            return Exclusion("event")
        code = int(self._codes.first[name] + place_of(marks, self._codes.asked[name]))
        if self._names.excluded[code]:
            return Exclusion("event")
        if self._names.without_bots and (outcome.bot or marks & BOT_MARK):
            return Exclusion("bot")
        user = user_of(outcome.user_id, outcome.anonymous_id)
        assert user is not None  # explain() saw to it
        if self._values:
            self._values.take(index, outcome.values[self._listed])
        if self._tied:
            self._tied.take(index, code, outcome.values[self._held])
        message = 0 if outcome.message_id is None else id_hash(outcome.message_id)
        word = sum(code << shift for shift, code in zip(self._texts.dim_shifts.tolist(), dims, strict=True))
        word |= self._links.word_of(outcome.values[self._linked])
        kind = KINDS.index(outcome.type)
        return (id_hash(user), message, ts, reading, int(raw.offsets[index]), word, raw.partition, code, kind, fit)

    def _name_code(self, name: str) -> int:
        return self._codes_of_names.get(name, 0)


@functools.lru_cache(65_536)
def _is_crawler(user_agent: str) -> bool:
    """Whether a well-kept list names a browser as a crawler's."""
    import crawleruseragents  # here: it costs those who ask for it, and nobody else

    return bool(crawleruseragents.is_crawler(user_agent))


def name_of(type_: str, name: str | None) -> str:
    """The slug by which an event is known: of its name, `page_viewed`, `screen_viewed`, or its type."""
    if name is not None:
        return slug(name)
    return f"{type_}_viewed" if type_ in ("page", "screen") else type_


@compiled
def place_of(met: int, asked: int) -> int:
    """`place_among`, for single calls."""
    return int(place_among(met, asked))


@compiled
def _compact(fates: NDArray[np.uint8], rows: NDArray[np.void], excluded: NDArray[np.int64]) -> tuple[int, int, int]:
    """Move the rows of accepted records together, let `clock` be the largest reading up to each, count exclusions.

    Returns how many rows there are, the largest reading, and the largest time (NO_TIME: none).
    """
    kept = 0
    clock = NO_TIME
    latest = NO_TIME
    for record in range(len(fates)):
        fate = fates[record]
        if fate == ROW:
            if kept != record:
                rows[kept] = rows[record]
            row = rows[kept]
            if row["clock"] > clock:
                clock = row["clock"]
            row["clock"] = clock
            latest = max(latest, row["ts"])
            kept += 1
        elif fate >= EXCLUDED:
            excluded[fate - EXCLUDED] += 1
    return kept, clock, latest
