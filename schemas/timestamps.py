"""Event times as integer milliseconds: RFC 3339 texts, and numbers that are seconds or milliseconds.

Each is read by two functions that must agree: a compiled one over the bytes of a batch, and a plain one with
which the first is checked and which reads what the first leaves alone. Fractions of a millisecond are cut off
(floor).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.compiled import Number, inlined

NOT_READ: Final = -(2**62)
"""What the compiled functions return for a text that they do not read."""

MILLISECONDS_FROM: Final = 10**11
"""Numbers from here on are milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973."""

_CUT: Final = Context(prec=40, rounding=ROUND_FLOOR)

_RFC_3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def text_ms(text: str) -> int | None:
    """Milliseconds UTC of an RFC 3339 text (`T`, `t` or space in the middle); None when it is not one.

    A leap second (`:60`) is none, for there is no such millisecond in epoch time.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    result = int((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000 + int(f"{fraction or ''}000"[:3])
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            return None
        offset_ms = (int(offset_hour) * 60 + int(offset_minute)) * 60_000
        result += offset_ms if sign == "-" else -offset_ms
    return result


def number_ms(text: str) -> int | None:
    """Milliseconds of a JSON number, by its decimal digits (never through a binary float).

    None for what cannot be a time between 1973 and the year 33658, so that no exponent costs memory.
    """
    try:
        number = Decimal(text)  # exact for any length
    except ArithmeticError:  # an exponent of more than 18 digits
        return None
    if not 10**8 <= number < 10**15:
        return None
    return int(number if number >= MILLISECONDS_FROM else _CUT.multiply(number, Decimal(1000)))


@inlined
def _two_digits(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The value of two ASCII digits, or a number below -1000 when one is no digit."""
    tens = np.int64(buffer[at]) - 48
    ones = np.int64(buffer[at + 1]) - 48
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return -(10**6)
    return tens * 10 + ones


@inlined
def text_ms_at(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """As `text_ms`, of the ASCII text `buffer[begin:end]`; NOT_READ when it is none."""
    if end - begin < 20 or end - begin > 1000:
        return NOT_READ
    century = _two_digits(buffer, begin)
    year = century * 100 + _two_digits(buffer, begin + 2)
    month = _two_digits(buffer, begin + 5)
    day = _two_digits(buffer, begin + 8)
    hour = _two_digits(buffer, begin + 11)
    minute = _two_digits(buffer, begin + 14)
    second = _two_digits(buffer, begin + 17)
    if year < 1 or month < 1 or month > 12 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return NOT_READ
    if hour > 23 or minute > 59 or second > 59:
        return NOT_READ
    if month == 2:
        last_day = 29 if (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        last_day = 30
    else:
        last_day = 31
    if day > last_day:
        return NOT_READ
    if buffer[begin + 4] != 45 or buffer[begin + 7] != 45:  # -
        return NOT_READ
    if buffer[begin + 13] != 58 or buffer[begin + 16] != 58:  # :
        return NOT_READ
    separator = buffer[begin + 10]
    if separator != 84 and separator != 116 and separator != 32:  # T t space
        return NOT_READ
    at = begin + 19
    milliseconds: Number = 0
    if buffer[at] == 46:  # .
        at += 1
        first = at
        weight = 100
        while at < end and buffer[at] >= 48 and buffer[at] <= 57:
            milliseconds += (np.int64(buffer[at]) - 48) * weight
            weight //= 10
            at += 1
        if at == first:
            return NOT_READ
    offset_minutes = 0
    if at < end and (buffer[at] == 90 or buffer[at] == 122):  # Z z
        at += 1
    elif at + 6 == end and (buffer[at] == 43 or buffer[at] == 45) and buffer[at + 3] == 58:  # +hh:mm -hh:mm
        offset_hour = _two_digits(buffer, at + 1)
        offset_minute = _two_digits(buffer, at + 4)
        if offset_hour < 0 or offset_minute < 0 or offset_hour > 23 or offset_minute > 59:
            return NOT_READ
        offset_minutes = offset_hour * 60 + offset_minute
        if buffer[at] == 45:
            offset_minutes = -offset_minutes
        at += 6
    else:
        return NOT_READ
    if at != end:
        return NOT_READ
    # Days since 1970 of the proleptic Gregorian calendar, with the year starting in March
    # (https://howardhinnant.github.io/date_algorithms.html, days_from_civil).
    march_year = year - 1 if month <= 2 else year
    era = march_year // 400
    year_of_era = march_year - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
    return (((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second) * 1000 + milliseconds


@inlined
def number_ms_at(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """As `number_ms`, of a non-negative JSON number without exponent; NOT_READ for any other."""
    whole: Number = np.int64(0)
    at = begin
    while at < end and at < begin + 16 and buffer[at] >= 48 and buffer[at] <= 57:
        whole = whole * 10 + (np.int64(buffer[at]) - 48)
        at += 1
    if at == begin or at - begin > 15:
        return NOT_READ
    milliseconds: Number = np.int64(0)
    if at < end and buffer[at] == 46:  # .
        at += 1
        weight = np.int64(100)
        while at < end and buffer[at] >= 48 and buffer[at] <= 57:
            milliseconds += (np.int64(buffer[at]) - 48) * weight
            weight //= 10
            at += 1
    if at != end:
        return NOT_READ
    return whole if whole >= MILLISECONDS_FROM else whole * 1000 + milliseconds
