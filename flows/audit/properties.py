"""What single properties of an event can hold: ids, amounts, counts, times; null counts as missing."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

from flows.audit.fields import PLACEHOLDERS, YEAR_2000_MS, YEAR_2100_MS, Number, RefusedError, instant
from flows.audit.money import decimal_of

Value = TypeVar("Value")


def needed(field: str, value: Value | None) -> Value:
    """`value`, which has to be there."""
    if value is None:
        raise RefusedError("missing_field", f"$.properties.{field}")
    return value


def text_of(properties: dict[str, Any], field: str, at: str = "") -> str | None:
    """A text, or None where there is none."""
    value = properties.get(field)
    if value is not None and not isinstance(value, str):
        raise RefusedError("bad_type", f"$.properties.{at}{field}: expected string")
    return value


def id_of(properties: dict[str, Any], field: str) -> str | None:
    """An id, which is no placeholder."""
    value = text_of(properties, field)
    if value is not None and (len(value) > 255 or "\0" in value or value.lower() in PLACEHOLDERS):
        raise RefusedError("bad_id", f"$.properties.{field}")
    return value


def money_of(properties: dict[str, Any], field: str, at: str = "") -> Fraction | None:
    """An exact amount."""
    value = properties.get(field)
    if value is None:
        return None
    if not isinstance(value, str | Number):
        raise RefusedError("bad_type", f"$.properties.{at}{field}: expected a decimal")
    money = decimal_of(value if isinstance(value, str) else value.text)
    if money is None:
        raise RefusedError("bad_property", f"$.properties.{at}{field}: expected a decimal")
    return money


def count_of(properties: dict[str, Any], field: str, least: int, most: int, at: str = "") -> int:
    """A whole number in its range; 1 where there is none."""
    value = properties.get(field)
    if value is None:
        return 1
    if not isinstance(value, Number):
        raise RefusedError("bad_type", f"$.properties.{at}{field}: expected a whole number")
    if not least <= float(value.text) <= most or Decimal(value.text) != int(Decimal(value.text)):
        raise RefusedError("bad_property", f"$.properties.{at}{field}: expected a whole number in its range")
    return int(Decimal(value.text))


def time_of(properties: dict[str, Any], field: str) -> int | None:
    """An instant, ms UTC."""
    value = properties.get(field)
    if value is None:
        return None
    if not isinstance(value, str | Number):
        raise RefusedError("bad_type", f"$.properties.{field}: expected string or number")
    read = instant(value)
    if read is None or not YEAR_2000_MS <= read < YEAR_2100_MS:
        raise RefusedError("bad_property", f"$.properties.{field}")
    return read


def refuse_lone_surrogates(*values: Any) -> None:
    """Refuse an event one of whose texts has half a surrogate pair; the last that is looked at."""
    for value in values:
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise RefusedError("not_json", "$.properties: lone surrogate")
