"""A fact: what a kind of event tells beyond its name, user and time, declared once.

    ORDER = Fact(
        "order",
        events={"Order Completed": "completed", "Order Refunded": "refunded"},
        fields=(
            Named("what", ("completed", "refunded")),
            Id("order_id", "order", needed=True),
            Money("revenue", "amount", decimals=2, or_="total"),
            Currency("currency", "EUR"),
        ),
    )

From it follow the columns of its rows, both readers, the paths that the scanner looks for, the JSON Schema of the
events' properties, their table in the docs, examples that are refused, and what tests and the warm-up send.

A fact goes to the shard of its *key*: that of its `Key` field, else the user. Fields are checked in the order declared,
and the first that is wrong names why the whole event is rejected.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.facts.field import Field, Line, Plain, Said
from flows.facts.fields import Key
from flows.messages.columns import FACT
from schemas.event import Problem
from schemas.json_text import Wrong, kind_of, members_of, opened


@dataclass(frozen=True)
class Fact:
    """One kind of facts."""

    name: str
    events: Mapping[str, str | None]  # the names of the events that carry it, and what each stands for
    fields: Sequence[Field]
    late_counts: bool = False  # a late one takes its turn when it is read; else it is left out
    help: str = ""  # of the events' properties, for producers

    @functools.cached_property
    def by_user(self) -> bool:
        """Whether its key is the user."""
        return not any(isinstance(field, Key) for field in self.fields)

    @functools.cached_property
    def dtype(self) -> np.dtype[np.void]:
        """Of its rows: FACT, and behind it the columns of its fields."""
        columns = [column for field in self.fields for column in field.columns() if column[0] != "key"]
        return np.dtype([*FACT.descr, *columns])

    def read(self, value: bytes, ts_ms: int, stands_for: str | None) -> dict[str, Plain] | Problem:
        """What an accepted event of time `ts_ms` tells, by column, or why it cannot be read; total for any bytes.

        Ids are texts, None where there is none. This is the authority: the loop knows no more than this.
        """
        try:
            members, marker = opened(value)
            text = members.get("properties")
            found = members_of(bytes(text)) if text is not None and kind_of(bytes(text)) == "object" else {}
            said = Said(ts_ms, stands_for, marker.decode())
            seen = [(field, field.look(found, said)) for field in self.fields]
            told = {column: plain for field, value in seen for column, plain in field.come_to(value, said).items()}
        except Wrong as wrong:
            return Problem(wrong.reason, wrong.message)
        except Exception as error:  # cannot happen to an accepted event, and must not end the process if it does
            return Problem("not_json", f"$.properties: {error}")
        if marker and any(said.marker in text for text in told.values() if isinstance(text, str)):
            return Problem("not_json", "$: a lone surrogate in a needed field")
        return told

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the events' properties."""
        needed = [name for field in self.fields for name in field.required()]
        schema: dict[str, Any] = {"type": "object", "description": self.help, "required": needed, "properties": {}}
        for field in self.fields:
            schema["properties"] |= field.schema()
            schema |= field.constraints()
        return schema

    def lines(self) -> list[Line]:
        """The rows of its table in the docs."""
        return [line for field in self.fields for line in field.lines()]

    def example(self) -> dict[str, Any]:
        """Properties that are taken, with something in every field."""
        return {name: value for field in self.fields for name, value in next(field.samples())[0].items()}

    def refused(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Properties that are refused, and the reason."""
        for field in self.fields:
            for properties, reason in field.samples():
                if reason is not None:
                    yield self.example() | properties, reason
