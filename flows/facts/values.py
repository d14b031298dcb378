"""The slow reader's view of properties: JSON texts to values, exactly, or `Wrong` with a sentence that names the field.

Facts are rare, and most are read by the fast loop (`decode/facts.py`); this is where every doubt is decided. Null is as
good as absent. Numbers are read by their decimal digits: no binary float has any part in money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeAlias

import msgspec

from schemas import event as rules
from schemas.json_text import Wrong, kind_of, string_of
from schemas.timestamps import number_ms, text_ms

Properties: TypeAlias = Mapping[str, msgspec.Raw]
"""The members of an object, as JSON texts."""

DIGITS: Final = 50
DECIMALS: Final = 30
MAJOR_UNITS: Final = 10**15
MINOR_UNITS: Final = 10**15
"""Limits of what is taken for a decimal and for money: characters and decimals of a number, and amounts (below)."""

EARLIEST_MS: Final = 946_684_800_000
LATEST_MS: Final = 4_102_444_800_000
"""2000-01-01 to 2100-01-01 (before), as for the times of events."""

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def present(found: Properties, name: str) -> bytes | None:
    """The JSON text of a property; None where it is absent or null."""
    raw = found.get(name)
    text = None if raw is None else bytes(raw)
    return None if text == b"null" else text


def missing(name: str) -> Wrong:
    """What is raised where a property is needed."""
    return Wrong("missing_field", f"$.properties.{name}: missing")


def text_in(found: Properties, name: str, needed: bool = False, at: str = "") -> str | None:
    """A string; `at` is the way to the object that `found` are the members of."""
    text = present(found, name)
    if text is None:
        if needed:
            raise missing(at + name)
        return None
    if kind_of(text) != "str":
        raise Wrong("bad_type", f"$.properties.{at}{name}: expected str, got {kind_of(text)}")
    return string_of(text)


def id_in(found: Properties, name: str, needed: bool = False) -> str | None:
    """An id: 1 to 255 characters, no NUL, no placeholder."""
    text = text_in(found, name, needed)
    if text is not None:
        if len(text) > rules.ID_CHARACTERS:
            raise Wrong(
                "bad_id", f"$.properties.{name}: expected 1 to {rules.ID_CHARACTERS} characters, got {len(text)}"
            )
        if "\0" in text:
            raise Wrong("bad_id", f"$.properties.{name}: contains a NUL character")
        if text.lower() in rules.PLACEHOLDERS:
            raise Wrong("bad_id", f"$.properties.{name}: a placeholder, not an id")
    return text


def integer_in(found: Properties, name: str, least: int, most: int, needed: bool = False) -> int | None:
    """An integer, written as one."""
    text = present(found, name)
    if text is None:
        if needed:
            raise missing(name)
        return None
    if kind_of(text) != "int":
        raise Wrong("bad_type", f"$.properties.{name}: expected int, got {kind_of(text)}")
    longest = max(len(str(least)), len(str(most)), 2)
    if len(text) > longest or not least <= int(text) <= most:
        raise Wrong("bad_property", f"$.properties.{name}: expected an integer from {least} to {most}")
    return int(text)


def decimal_of(text: str, least: int | None = 0) -> Fraction | str:
    """The number that a decimal text is, exactly, or what is wrong with it; below 10^15 and not below `least`."""
    if len(text) > DIGITS or _NUMBER.fullmatch(text) is None:
        return f"a decimal number of at most {DIGITS} characters"
    try:
        number = Decimal(text)
    except ArithmeticError:  # an exponent of more than 18 digits
        return "an amount below 10^15"
    if least is not None and number < least:
        return f"an amount of {least} or more"
    if abs(number) >= MAJOR_UNITS:
        return "an amount below 10^15"
    exponent = number.as_tuple().exponent
    if not number:
        return Fraction(0)
    if not isinstance(exponent, int) or exponent < -DECIMALS:
        return f"an amount with at most {DECIMALS} decimals"
    return Fraction(number)


def money_in(found: Properties, name: str, needed: bool = False, at: str = "") -> Fraction | None:
    """An amount as decimal text or number, 0 or more."""
    text = present(found, name)
    if text is None:
        if needed:
            raise missing(at + name)
        return None
    kind = kind_of(text)
    if kind not in ("str", "int", "float"):
        raise Wrong("bad_type", f"$.properties.{at}{name}: expected a decimal as str or number, got {kind}")
    amount = decimal_of(string_of(text) if kind == "str" else text.decode())
    if isinstance(amount, str):
        raise Wrong("bad_property", f"$.properties.{at}{name}: expected {amount}")
    return amount


def whole_in(found: Properties, name: str, default: int, least: int, most: int, at: str = "") -> int:
    """A whole number, however it is written (3.0 is one)."""
    text = present(found, name)
    if text is None:
        return default
    kind = kind_of(text)
    if kind not in ("int", "float"):
        raise Wrong("bad_type", f"$.properties.{at}{name}: expected int, got {kind}")
    number = decimal_of(text.decode())
    if isinstance(number, str) or number.denominator != 1 or not least <= number <= most:
        raise Wrong("bad_property", f"$.properties.{at}{name}: expected a whole number from {least} to {most}")
    return int(number)


def time_in(found: Properties, name: str, needed: bool = False) -> int | None:
    """A time as ms UTC: RFC 3339 or an epoch number, 2000 to 2099."""
    text = present(found, name)
    if text is None:
        if needed:
            raise missing(name)
        return None
    kind = kind_of(text)
    if kind == "str":
        result = text_ms(string_of(text))
    elif kind in ("int", "float"):
        result = number_ms(text.decode())
    else:
        raise Wrong("bad_type", f"$.properties.{name}: expected str or number, got {kind}")
    if result is None or not EARLIEST_MS <= result < LATEST_MS:
        raise Wrong("bad_property", f"$.properties.{name}: expected a time of the years 2000 to 2099")
    return result


def currency_in(found: Properties, name: str, expected: str, needed: bool = False, at: str = "") -> None:
    """The currency, if there is one, is the expected one, in any case."""
    currency = text_in(found, name, needed, at)
    if currency is not None and currency.upper() != expected:
        raise Wrong("unsupported_currency", f"$.properties.{at}{name}: expected {expected}, got another")
