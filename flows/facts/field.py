"""What every field of a fact is: it knows both its readers, its schema, its docs and its examples.

The kinds of fields are in `fields.py` (ids, numbers, times) and `words.py` (what is learnt from texts):

Key         the id of what the fact is about: whose shard it goes to          a hash
Id          an id; the same text under another key is another                 a hash; 0: none
Money       an amount in the minor unit of its currency
Whole       an integer
Score       a number from .. to, in its smallest unit
Time        RFC 3339 or epoch, ms UTC; or whether there is one
Flag        true or false
Choice      a word of a closed list; others are refused                       its place
Label       one of a list of values, `other`, `unknown`                       its place
Currency    the reporting currency, or the event is refused                   nothing
Named       what the event's name stands for                                  its place
Learnt      computed once from several texts, and found by their hash since
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from flows.facts.swift import Swift
from flows.facts.values import Properties
from flows.messages.columns import REASONS
from schemas.json_text import Wrong

Plain: TypeAlias = int | str | None
"""What a column holds before ids are hashed; None: the user in `key`, else nothing."""
Sample: TypeAlias = tuple[dict[str, Any], str | None]
"""Properties, and the reason for which they are refused; None: they are taken."""
NULL: Final = {"type": "null"}


class Said(NamedTuple):
    """What the event itself tells."""

    ts_ms: int
    stands_for: str | None  # by its name
    marker: str  # what stands for a lone surrogate in its texts; "": there is none

    def refuse_marked(self, text: object) -> None:
        """Raise Wrong for a text with half a surrogate pair."""
        if self.marker and isinstance(text, str) and self.marker in text:
            raise Wrong("not_json", "$: a lone surrogate in a needed field")


class Line(NamedTuple):
    """One row of the table in the docs, in Markdown."""

    names: str
    rule: str
    otherwise: str


@dataclass(frozen=True)
class Field(ABC):
    """One property, or several that belong together, and what comes of them."""

    property: str
    column: str
    needed: bool | frozenset[str] = field(default=False, kw_only=True)  # or: where the event's name stands for these
    help: str = field(default="", kw_only=True)  # for the schema
    note: str = field(default="", kw_only=True)  # for the docs, besides its rule

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and numpy types of the columns that it fills: "i8", or "u8" for hashes."""
        return ((self.column, "i8"),)

    def is_needed(self, stands_for: str | None) -> bool:
        """Whether it must be there in an event whose name stands for this."""
        return self.needed if isinstance(self.needed, bool) else stands_for in self.needed

    def of_code(self, stands_for: str | None) -> int:
        """What the loop knows of it by the event's name: 1 where it is needed."""
        return int(self.is_needed(stands_for))

    def required(self) -> list[str]:
        """The properties that are always needed."""
        return [self.property] if self.needed is True else []

    @abstractmethod
    def look(self, found: Properties, said: Said) -> Any:
        """What is there; raises Wrong. All fields are looked at, in order, before any comes to anything."""

    def come_to(self, value: Any, said: Said) -> Mapping[str, Plain]:
        """What `look` gave, by column; raises Wrong."""
        return {self.column: value}

    @abstractmethod
    def swift(self) -> Swift:
        """How the loop reads it."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schemas by property."""

    def constraints(self) -> dict[str, Any]:
        """What a JSON Schema says of several properties together."""
        return {}

    def lines(self) -> list[Line]:
        """Its rows in the docs."""
        rule = "; ".join(part for part in (self.rule(), self.note, "required" if self.needed is True else "") if part)
        found = {reason for _, reason in self.samples() if reason} | ({"missing_field"} if self.needed else set())
        return [Line(f"`{self.property}`", rule, ", ".join(f"`{reason}`" for reason in sorted(found, key=_place)))]

    def rule(self) -> str:
        """What it must be like, for the docs."""
        return ""

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Values with which both readers are tried; the first one is taken."""

    def _each(self, reason: str | None, *values: Any) -> Iterator[Sample]:
        """Values of the property that have the same fate."""
        for value in values:
            yield {self.property: value}, reason

    def _nothing(self) -> Iterator[Sample]:
        """Null, where that has one fate whatever the event's name."""
        if isinstance(self.needed, bool):
            yield {self.property: None}, "missing_field" if self.required() else None

    def _described(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {self.property: schema | ({"description": self.help} if self.help else {})}


def _place(reason: str) -> int:
    """Where a reason stands in the docs: by what is looked at first."""
    return REASONS.index(reason)
