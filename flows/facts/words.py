"""Fields that are learnt from texts: what these come to is found by their hash from the second time on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flows.config.model import OTHER, UNKNOWN
from flows.config.notation import slug
from flows.facts import swift
from flows.facts.field import Field, Line, Plain, Said, Sample
from flows.facts.swift import Swift
from flows.facts.values import Properties, currency_in, missing, present, text_in
from schemas.event import Container
from schemas.json_text import Wrong, scalar_text


@dataclass(frozen=True)
class Choice(Field):
    """A word of a closed list, in any case; the column has its place there."""

    words: tuple[str, ...] = field(kw_only=True)
    default: str | None = field(default=None, kw_only=True)

    def look(self, found: Properties, said: Said) -> int:
        needed = self.is_needed(said.stands_for) or self.default is None
        text = text_in(found, self.property, needed)
        word = (self.default or "") if text is None else text.lower()
        if word not in self.words:
            expected = " ".join(self.words)
            raise Wrong("bad_property", f"$.properties.{self.property}: expected one of {expected}, got another")
        return self.words.index(word)

    def swift(self) -> Swift:
        return Swift(swift.LEARNT, (self.property,))

    def required(self) -> list[str]:
        return [self.property] if self.needed is True or self.default is None else []

    def schema(self) -> dict[str, Any]:
        return self._described({"enum": [*self.words, *([] if self.required() else [None])]})

    def rule(self) -> str:
        default = f"; missing: `{self.default}`" if self.default else ""
        return f"one of `{' '.join(self.words)}`, in any case{default}"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, *self.words, *(word.upper() for word in self.words))
        yield from self._nothing()
        yield from self._each("bad_property", "another", "")
        yield from self._each("bad_type", 1, True, [], {})


@dataclass(frozen=True)
class Label(Field):
    """One of a list of values, compared as slugs; the column has its place there, else that of `other`, `unknown`."""

    values: tuple[str, ...] = field(kw_only=True)

    @property
    def labels(self) -> list[str]:
        """What the places stand for."""
        return [*self.values, OTHER, UNKNOWN]

    def look(self, found: Properties, said: Said) -> tuple[int, str]:
        text = present(found, self.property)
        if text is None and self.is_needed(said.stands_for):
            raise missing(self.property)
        value = None if text is None else scalar_text(text)
        return label_code(value, self.values), value if isinstance(value, str) else ""

    def come_to(self, value: tuple[int, str], said: Said) -> Mapping[str, Plain]:
        said.refuse_marked(value[1])
        return {self.column: value[0]}

    def swift(self) -> Swift:
        return Swift(swift.LEARNT, (self.property,))

    def schema(self) -> dict[str, Any]:
        return self._described({})

    def rule(self) -> str:
        return "compared as a slug; not listed: `other`, missing, null or empty: `unknown`"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, *self.values, *(value.upper() for value in self.values))
        yield from self._each(None, "another", "", 7, True, [], {"a": 1})
        yield from self._nothing()


@dataclass(frozen=True)
class Currency(Field):
    """The reporting currency, in any case; it fills no column."""

    currency: str = field(kw_only=True)
    column: str = ""

    def columns(self) -> tuple[tuple[str, str], ...]:
        return ()

    def look(self, found: Properties, said: Said) -> None:
        currency_in(found, self.property, self.currency, self.is_needed(said.stands_for))

    def come_to(self, value: None, said: Said) -> Mapping[str, Plain]:
        return {}

    def swift(self) -> Swift:
        return Swift(swift.LEARNT, (self.property,))

    def schema(self) -> dict[str, Any]:
        types = ["string"] if self.needed is True else ["string", "null"]
        return self._described({"type": types, "pattern": "^[A-Za-z]{3}$"})

    def rule(self) -> str:
        return "the config's `currency`, in any case"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, self.currency, self.currency.lower())
        yield from self._nothing()
        yield from self._each("unsupported_currency", "XXX")
        yield from self._each("bad_type", 840, True, [])


@dataclass(frozen=True)
class Named(Field):
    """What the event's name stands for, as `Fact.events` has it; no property says it."""

    words: tuple[str, ...] = field(kw_only=True)
    property: str = ""
    column: str = ""

    def of_code(self, stands_for: str | None) -> int:
        return self.words.index(stands_for or "")

    def look(self, found: Properties, said: Said) -> int:
        return self.of_code(said.stands_for)

    def swift(self) -> Swift:
        return Swift(swift.NAMED)

    def schema(self) -> dict[str, Any]:
        return {}

    def lines(self) -> list[Line]:
        return []

    def samples(self) -> Iterator[Sample]:
        yield {}, None


class Reading(Protocol):
    """How the texts of a Learnt field are read."""

    def look(self, found: Properties, said: Said) -> Any:
        """As `Field.look`."""

    def come_to(self, value: Any, said: Said) -> Mapping[str, int]:
        """As `Field.come_to`; of nothing but the texts and what the event's name stands for."""

    def required(self) -> list[str]:
        """As `Field.required`."""

    def schema(self) -> dict[str, Any]:
        """As `Field.schema`."""

    def constraints(self) -> dict[str, Any]:
        """As `Field.constraints`."""

    def lines(self) -> list[Line]:
        """As `Field.lines`."""

    def samples(self) -> Iterator[Sample]:
        """As `Field.samples`."""


@dataclass(frozen=True)
class Learnt(Field):
    """What several texts come to together: read once by `reading`, and found by their hash from then on."""

    texts: tuple[str, ...] = field(kw_only=True)  # scalars
    rare: tuple[str, ...] = field(default=(), kw_only=True)  # of any type; they cost only where they are there
    fills: tuple[str, ...] = field(kw_only=True)  # columns
    reading: Reading = field(kw_only=True)
    property: str = ""
    column: str = ""

    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((column, "i8") for column in self.fills)

    def required(self) -> list[str]:
        return self.reading.required()

    def look(self, found: Properties, said: Said) -> Any:
        return self.reading.look(found, said)

    def come_to(self, value: Any, said: Said) -> Mapping[str, Plain]:
        return self.reading.come_to(value, said)

    def swift(self) -> Swift:
        return Swift(swift.LEARNT, self.texts, self.rare)

    def schema(self) -> dict[str, Any]:
        return self.reading.schema()

    def constraints(self) -> dict[str, Any]:
        return self.reading.constraints()

    def lines(self) -> list[Line]:
        return self.reading.lines()

    def samples(self) -> Iterator[Sample]:
        return self.reading.samples()


def label_code(value: str | Container | None, values: Sequence[str]) -> int:
    """The place of a value among slugs, then `other`, then `unknown`."""
    if value is None:
        return len(values) + 1
    found = None if isinstance(value, Container) else slug(value)
    return values.index(found) if found in values else len(values)
