"""Reads the facts that accepted events carry; an event with one that cannot be read is rejected as a whole.

As with events there are two ways. The fast one scans the few records concerned once more, for the properties that
matter, and fills the rows in one loop that a table with a line for each field tells what to do (`STEP`): a new kind of
facts brings no code. What texts come to that have to be looked up or computed (words, labels, prices) is found by their
hash in a table; a product has few. What is not there yet, and every doubt, goes to `Fact.read`, which decides; the
table learns from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.config.limits import Limits
from flows.config.model import Config, slug
from flows.decode.events import Decoder
from flows.decode.fact_loop import NOWHERE, STEP, Steps, carrying, complete, of_kind, read
from flows.decode.hashing import id_hash
from flows.decode.learnt import Learnt
from flows.decode.texts import REJECTED, ROW, rejection
from flows.facts.fact import Fact
from flows.facts.field import Plain
from flows.facts.fields import Id, Key
from flows.facts.swift import LEARNT, Swift
from flows.messages.raw import Raw, Rejected
from schemas.event import Problem

MOST_FACTS: Final = 63
"""Kinds of facts in one config: those that an event carries are bits of a word."""


class Carried(NamedTuple):
    """Facts of one kind that some records of a poll carry."""

    records: NDArray[np.int64]
    facts: NDArray[np.uint64]  # a row of words for each; what the event itself tells is not there yet


class Facts:
    """Reads facts of several kinds."""

    def __init__(self, config: Config, facts: Sequence[Fact], limits: Limits) -> None:
        if len(facts) > MOST_FACTS:
            raise ValueError(f"at most {MOST_FACTS} kinds of facts, got {len(facts)}")
        self._readers = {fact.name: Reader(config, fact, limits) for fact in facts}
        self._carried = np.zeros(len(config.codes), np.uint64)
        for bit, reader in enumerate(self._readers.values()):
            self._carried |= reader.carries.astype(np.uint64) << np.uint64(bit)
        self._found = np.zeros(0, np.int64)
        self._bits = np.zeros(0, np.uint64)
        self._limit_bytes = limits.record_bytes

    def __len__(self) -> int:
        return len(self._readers)

    def read(
        self, raw: Raw, fates: NDArray[np.uint8], rows: NDArray[np.void], rejected: list[Rejected]
    ) -> dict[str, Carried]:
        """The facts of accepted records, by kind; without kinds that none of them carries.

        Records that cannot be read become REJECTED, and go to `rejected`, which stays in offset order.
        """
        if len(self._found) < len(fates):
            self._found = np.zeros(len(fates), np.int64)
            self._bits = np.zeros(len(fates), np.uint64)
        count = carrying(fates, rows, self._carried, self._found, self._bits)
        if not count:
            return {}
        found, bits = self._found[:count], self._bits[:count]
        kinds = {}
        refused: list[Rejected] = []
        for bit, (name, reader) in enumerate(self._readers.items()):
            records = np.empty(count, np.int64)
            records = records[: of_kind(found, bits, bit, fates, records)]
            if len(records):
                facts, problems = reader.read(raw, records, rows)
                kinds[name] = Carried(records, facts)
                for index, problem in problems:
                    fates[index] = REJECTED
                    refused.append(rejection(raw, index, problem, self._limit_bytes))
        if refused:
            rejected += refused
            rejected.sort(key=lambda one: one.offset)
            for name, (records, facts) in kinds.items():
                kept = fates[records] == ROW
                kinds[name] = Carried(records[kept], facts[kept])
        return {name: carried for name, carried in kinds.items() if len(carried.records)}

    def completed(self, name: str, carried: Carried, places: NDArray[np.int64], rows: NDArray[np.void]) -> NDArray[Any]:
        """The facts of a kind (its dtype), with what the events say; `places`: of each record's event among `rows`."""
        reader = self._readers[name]
        complete(carried.facts, places[carried.records], rows, reader.ids, reader.by_user)
        return carried.facts.reshape(-1).view(reader.dtype)


class Reader:
    """Reads facts of one kind, and learns what their texts come to."""

    def __init__(self, config: Config, fact: Fact, limits: Limits) -> None:
        names = {slug(name): stands_for for name, stands_for in fact.events.items()}
        codes = config.codes
        self.carries = codes.matching([(frozenset(names), ())])  # by event code
        self._stand_for = [names.get(codes.names[name]) for name in codes.name_of]
        self.by_user = fact.by_user
        self._fact = fact
        self.dtype = fact.dtype
        words = list(self.dtype.names or ())
        self.ids = np.array(  # which words they are
            [
                words.index(field.column)
                for field in fact.fields
                if isinstance(field, Id) and not isinstance(field, Key)
            ],
            np.int64,
        )
        swift = [field.swift() for field in fact.fields]
        paths = [("properties", name) for one in swift for name in (*one.properties, *one.rare)]
        self._decoder = Decoder(paths, limits.record_bytes)
        self._learns = [field for field, one in zip(fact.fields, swift, strict=True) if one.way == LEARNT]
        self._how = self._steps(swift)
        widest = max([1, *(len(field.columns()) for field in self._learns)])
        self._learnt = Learnt(widest)

    def _steps(self, swift: Sequence[Swift]) -> Steps:
        fields = self._fact.fields
        steps = np.zeros(len(fields), STEP)
        words, spots = list(self.dtype.names or ()), list[int]()
        by_code = np.zeros((len(fields), len(self.carries)), np.int64)
        place = learnt = 0
        for number, (field, one) in enumerate(zip(fields, swift, strict=True)):
            step = steps[number]
            for name in ("way", "absent", "default", "least", "most", "decimals", "quoted", "whether"):
                step[name] = getattr(one, name)
            others = [other for other, that in enumerate(fields) if one.unlike == that.property]
            step["unlike"] = others[0] if one.unlike else NOWHERE
            step["place"], step["plain"], step["rare"] = place, len(one.properties), len(one.rare)
            place += len(one.properties) + len(one.rare)
            if one.way == LEARNT:
                step["learnt"] = learnt
                learnt += 1
            columns = field.columns()
            step["spot"], step["spots"] = len(spots), len(columns)
            spots += [words.index(column) for column, _ in columns]
            for code in np.flatnonzero(self.carries).tolist():
                stands_for = self._stand_for[code]
                by_code[number, code] = field.of_code(stands_for)
        return Steps(
            steps,
            self._decoder.fields.astype(np.int64),
            np.array(spots, np.int64),
            by_code,
            np.zeros(len(fields), np.uint64),
        )

    def read(
        self, raw: Raw, records: NDArray[np.int64], rows: NDArray[np.void]
    ) -> tuple[NDArray[np.uint64], list[tuple[int, Problem]]]:
        """The facts of `records` as words, and which of them cannot be read, and why; those words say nothing."""
        facts = np.zeros((len(records), self.dtype.itemsize // 8), np.uint64)
        problems = []
        size = self._decoder.batch_records
        for first in range(0, len(records), size):
            part = records[first : first + size]
            keys = np.zeros((len(part), max(1, len(self._learns))), np.uint64)
            sure = np.zeros(len(part), np.bool_)
            scanned = self._decoder.scan(raw.buffer, raw.bounds[part], raw.bounds[part + 1])
            read(scanned, part, rows, self._how, self._learnt.table, keys, sure, facts[first : first + size])
            for place in np.flatnonzero(~sure).tolist():
                index = int(part[place])
                row = rows[index]
                told = self._fact.read(raw.value(index), int(row["ts"]), self._stand_for[row["code"]])
                if isinstance(told, Problem):
                    problems.append((index, told))
                else:
                    self._fill(facts[first + place].view(self.dtype)[0], told, int(row["user"]))
                    self._learn(keys[place].tolist(), told)
        return facts, problems

    def _fill(self, fact: np.void, told: dict[str, Plain], user: int) -> None:
        for column, plain in told.items():
            if plain is None:
                fact[column] = user if column == "key" else 0
            elif isinstance(plain, str):
                fact[column] = id_hash(plain)
            else:
                fact[column] = plain

    def _learn(self, keys: Sequence[int], told: dict[str, Plain]) -> None:
        for field, key in zip(self._learns, keys, strict=False):
            if key:
                found = [told[column] for column, _ in field.columns()]
                values = [value for value in found if isinstance(value, int)]
                assert len(values) == len(found)  # ids are never learnt
                self._learnt.put(key, values)
