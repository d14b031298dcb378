"""Fields that are ids, numbers, times and flags: the loop reads them by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from flows.facts import swift
from flows.facts.field import NULL, Field, Plain, Said, Sample
from flows.facts.swift import Swift
from flows.facts.values import (
    MINOR_UNITS,
    Properties,
    decimal_of,
    id_in,
    integer_in,
    missing,
    money_in,
    present,
    time_in,
)
from schemas.event import ID_CHARACTERS
from schemas.json_schema import DECIMAL_TEXT, identity_schema, time_schema
from schemas.json_text import Wrong, kind_of


@dataclass(frozen=True)
class Id(Field):
    """An id: as text, so that numbers and texts are not mixed up."""

    unlike: str | None = field(default=None, kw_only=True)  # the property of another id, which this one must not be

    def columns(self) -> tuple[tuple[str, str], ...]:
        return ((self.column, "u8"),)

    def look(self, found: Properties, said: Said) -> str | None:
        text = id_in(found, self.property, self.is_needed(said.stands_for))
        if text is not None and self.unlike is not None and text == id_in(found, self.unlike):
            other = self.unlike.removesuffix("_id")
            raise Wrong("bad_property", f"$.properties.{self.property}: expected another {other}, got its own id")
        return text

    def swift(self) -> Swift:
        return Swift(swift.ID, (self.property,), unlike=self.unlike)

    def schema(self) -> dict[str, Any]:
        return self._described(identity_schema() if self.needed is True else {"anyOf": [identity_schema(), NULL]})

    def rule(self) -> str:
        return f"1 to {ID_CHARACTERS} characters, no NUL, no placeholder"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, f"{self.property} 1", "Ünï")
        yield from self._nothing()
        yield from self._each("bad_type", 7, ["a"])
        yield from self._each("bad_id", "", "null", "x" * (ID_CHARACTERS + 1), "a\0b")
        if self.unlike is not None:
            yield {self.property: f"{self.unlike} 1"}, "bad_property"


@dataclass(frozen=True)
class Key(Id):
    """The id of what the fact is about; the fact goes to the shard of its hash."""

    column: str = "key"
    or_user: bool = field(default=False, kw_only=True)  # where it is absent, the user

    def swift(self) -> Swift:
        return Swift(swift.ID, (self.property,), absent=swift.USER if self.or_user else swift.DEFAULT)

    def rule(self) -> str:
        return super().rule() + ("; missing: the user" if self.or_user else "")


@dataclass(frozen=True)
class Money(Field):
    """An amount in major units, as decimal text or number; the column has it in minor units, half to even."""

    decimals: int = field(kw_only=True)  # of the currency's minor unit
    or_: str | None = field(default=None, kw_only=True)  # the property that counts where the first is absent

    def look(self, found: Properties, said: Said) -> Fraction | None:
        amount = money_in(found, self.property)
        if amount is None and self.or_ is not None:
            amount = money_in(found, self.or_)
        if amount is None and self.is_needed(said.stands_for):
            raise missing(self.property)
        return amount

    def come_to(self, value: Fraction | None, said: Said) -> Mapping[str, Plain]:
        minor = 0 if value is None else _half_even(value, self.decimals)
        if minor >= MINOR_UNITS:
            raise Wrong("bad_property", f"$.properties.{self.property}: 10^15 minor units or more")
        return {self.column: minor}

    def swift(self) -> Swift:
        names = (self.property,) if self.or_ is None else (self.property, self.or_)
        return Swift(swift.DECIMAL, names, most=MINOR_UNITS - 1, decimals=self.decimals, quoted=True)

    def required(self) -> list[str]:
        return super().required() if self.or_ is None else []

    def schema(self) -> dict[str, Any]:
        most = -(-MINOR_UNITS // 10**self.decimals)
        money = {"anyOf": [DECIMAL_TEXT, {"type": "number", "minimum": 0, "exclusiveMaximum": most}, NULL]}
        return self._described(money) | ({self.or_: money} if self.or_ else {})

    def rule(self) -> str:
        other = f"; `{self.or_}` where it is missing" if self.or_ else ""
        return f"major units, as decimal text or number, 0 or more{other}"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, "19.99", 19.99, 0, 7, "1e2", "0.005", "0.0150", 123456789012, "007")
        if self.or_ is None:
            yield from self._nothing()
        else:
            yield {self.property: None, self.or_: "5.00"}, None
            yield {self.property: None, self.or_: -1}, "bad_property"
            if isinstance(self.needed, bool):
                yield {self.property: None, self.or_: None}, "missing_field" if self.needed else None
        yield from self._each("bad_property", "-1", -1, "1,999.00", "a lot", "", "NaN", 10**15, "0." + "1" * 60)
        yield from self._each("bad_type", True, [19.99], {"value": 1})


@dataclass(frozen=True)
class Whole(Field):
    """An integer, written as one."""

    least: int = field(kw_only=True)
    most: int = field(kw_only=True)
    default: int = field(default=0, kw_only=True)

    def look(self, found: Properties, said: Said) -> int:
        number = integer_in(found, self.property, self.least, self.most, self.is_needed(said.stands_for))
        return self.default if number is None else number

    def swift(self) -> Swift:
        return Swift(swift.DECIMAL, (self.property,), default=self.default, least=self.least, most=self.most)

    def schema(self) -> dict[str, Any]:
        types = ["integer"] if self.needed is True else ["integer", "null"]
        return self._described({"type": types, "minimum": self.least, "maximum": self.most})

    def rule(self) -> str:
        return f"an integer from {self.least} to {_power(self.most)}"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, self.least + 1, self.least, self.most)
        yield from self._nothing()
        yield from self._each("bad_property", self.least - 1, self.most + 1, -(10**30))
        yield from self._each("bad_type", "7", 7.0, True, [])


@dataclass(frozen=True)
class Score(Field):
    """A number from `least` to `most`; with `decimals` in units of the last one, half to even, else whole (3.0 is)."""

    least: int = field(kw_only=True)
    most: int = field(kw_only=True)
    decimals: int = field(default=0, kw_only=True)
    default: int = field(default=0, kw_only=True)  # in its smallest unit

    def look(self, found: Properties, said: Said) -> int:
        text = present(found, self.property)
        if text is None:
            if self.is_needed(said.stands_for):
                raise missing(self.property)
            return self.default
        kind = kind_of(text)
        if kind not in ("int", "float"):
            raise Wrong("bad_type", f"$.properties.{self.property}: expected a number, got {kind}")
        number = decimal_of(text.decode(), None)
        if (
            isinstance(number, str)
            or not self.least <= number <= self.most
            or (self.decimals == 0 and number.denominator != 1)
        ):
            raise Wrong("bad_property", f"$.properties.{self.property}: expected {self.rule()}")
        return _half_even(number, self.decimals)

    def swift(self) -> Swift:
        unit = 10**self.decimals
        return Swift(
            swift.DECIMAL,
            (self.property,),
            default=self.default,
            least=self.least * unit,
            most=self.most * unit,
            decimals=self.decimals,
        )

    def schema(self) -> dict[str, Any]:
        type_ = "number" if self.decimals else "integer"
        types = [type_] if self.needed is True else [type_, "null"]
        return self._described({"type": types, "minimum": self.least, "maximum": self.most})

    def rule(self) -> str:
        return f"a {'' if self.decimals else 'whole '}number from {self.least} to {self.most}"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, self.least, self.most, float(self.most))
        broken = [number for number in (0.1, 0.0005, 0.0015, 1e-1) if self.least <= number <= self.most]
        yield from self._each(None if self.decimals else "bad_property", *broken)
        yield from self._nothing()
        yield from self._each("bad_property", self.least - 1, self.most + 1, self.most + 0.5, 1e300)
        yield from self._each("bad_type", "7", True, [], "much")


@dataclass(frozen=True)
class Time(Field):
    """A time; absent: that of the event. Or, with `whether`, only that there is one."""

    ahead_ms: int | None = field(default=None, kw_only=True)  # how far it may be after the event
    ahead: str = field(default="", kw_only=True)  # the same in words
    whether: bool = field(default=False, kw_only=True)

    def look(self, found: Properties, said: Said) -> int:
        time = time_in(found, self.property, self.is_needed(said.stands_for))
        if self.whether:
            return int(time is not None)
        if time is None:
            return said.ts_ms
        if self.ahead_ms is not None and time > said.ts_ms + self.ahead_ms:
            raise Wrong("bad_property", f"$.properties.{self.property}: more than {self.ahead} after the event")
        return time

    def swift(self) -> Swift:
        return Swift(
            swift.TIME,
            (self.property,),
            absent=swift.DEFAULT if self.whether else swift.EVENT_TIME,
            most=-1 if self.ahead_ms is None else self.ahead_ms,
            whether=self.whether,
        )

    def schema(self) -> dict[str, Any]:
        return self._described(time_schema())

    def rule(self) -> str:
        bound = f", at most {self.ahead} after the event" if self.ahead_ms is not None else ""
        default = "" if self.whether or self.needed is True else "; missing: the event's time"
        return f"a time as above, from 2000 to 2099{bound}{default}"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(
            None, "2026-03-02T09:00:00Z", 1_772_442_000_000, 1_772_442_000, "2026-03-02 10:00:00.5+01"
        )
        yield from self._nothing()
        yield from self._each("bad_property", "soon", 900_000_000, "9999-12-31T00:00:00Z", "")
        if self.ahead_ms is not None:
            yield from self._each("bad_property", "2099-12-31T00:00:00Z")
        yield from self._each("bad_type", True, [], {})


@dataclass(frozen=True)
class Flag(Field):
    """true or false."""

    default: bool = field(default=False, kw_only=True)

    def look(self, found: Properties, said: Said) -> int:
        text = present(found, self.property)
        if text is None:
            if self.is_needed(said.stands_for):
                raise missing(self.property)
            return int(self.default)
        if kind_of(text) != "bool":
            raise Wrong("bad_type", f"$.properties.{self.property}: expected bool, got {kind_of(text)}")
        return int(text == b"true")

    def swift(self) -> Swift:
        return Swift(swift.FLAG, (self.property,), default=int(self.default))

    def schema(self) -> dict[str, Any]:
        return self._described({"type": ["boolean"] if self.needed is True else ["boolean", "null"]})

    def rule(self) -> str:
        return "`true` or `false`"

    def samples(self) -> Iterator[Sample]:
        yield from self._each(None, True, False)
        yield from self._nothing()
        yield from self._each("bad_type", 1, "true", [], {})


def _power(number: int) -> str:
    """A limit as people read it."""
    return f"2^63 - {2**63 - number}" if 2**62 < number < 2**63 else str(number)


def _half_even(number: Fraction, decimals: int) -> int:
    return int(round(number * 10**decimals))  # noqa: RUF046 - mypy knows no int here
