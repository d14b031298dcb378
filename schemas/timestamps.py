"""Event times as integer milliseconds: RFC 3339 texts and their common kin, and numbers in any unit from s to ns.

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

from flows.compiled.loops import Number, inlined

NOT_READ: Final = -(2**62)
"""What the compiled functions return for a text that they do not read."""

FIRST_NUMBER: Final = 10**8
MILLISECONDS_FROM: Final = 10**11
MICROSECONDS_FROM: Final = 10**14
NANOSECONDS_FROM: Final = 10**17
NUMBERS_END: Final = 9 * 10**18
"""Numbers are seconds below 1e11, then milliseconds, microseconds and nanoseconds: each unit begins in 1973 and ends no
sooner than 2255, so no time of this century can be read in two ways, and all of them fit an int64.
"""

_CUT: Final = Context(prec=40, rounding=ROUND_FLOOR)

_RFC_3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]| UTC|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
)
_DIGITS: Final = re.compile(r"[1-9][0-9]*(?:\.[0-9]+)?")


def text_ms(text: str) -> int | None:
    """Milliseconds UTC of a text; None when it is no time.

    An RFC 3339 text, also with a space in the middle and with the offset as `+hhmm`, `+hh` or ` UTC`; or the digits of
    a number, as `number_ms` reads it. A leap second (`:60`) is none, for there is no such millisecond in epoch time.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return number_ms(text) if _DIGITS.fullmatch(text) else None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    result = int((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000 + int(f"{fraction or ''}000"[:3])
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute or 0) > 59:
            return None
        offset_ms = (int(offset_hour) * 60 + int(offset_minute or 0)) * 60_000
        result += offset_ms if sign == "-" else -offset_ms
    return result


def number_ms(text: str) -> int | None:
    """Milliseconds of a JSON number, by its decimal digits (never through a binary float).

    Its size says its unit. None for what cannot be a time from 1973 on, so that no exponent costs memory.
    """
    try:
        number = Decimal(text)  # exact for any length
    except ArithmeticError:  # an exponent of more than 18 digits
        return None
    if not FIRST_NUMBER <= number < NUMBERS_END:
        return None
    if number < MILLISECONDS_FROM:
        return int(_CUT.multiply(number, Decimal(1000)))
    whole = int(number)
    return whole if number < MICROSECONDS_FROM else whole // (1000 if number < NANOSECONDS_FROM else 1_000_000)


@inlined
def _two_digits(buffer: NDArray[np.uint8], at: Number) -> Number:
    """The value of two ASCII digits, or a number below -1000 when one is no digit."""
    tens = np.int64(buffer[at]) - 48
    ones = np.int64(buffer[at + 1]) - 48
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return -(10**6)
    return tens * 10 + ones


@inlined
def number_ms_at(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """As `number_ms`, of a JSON number without sign or exponent; NOT_READ for any other."""
    whole: Number = np.int64(0)
    at = begin
    while at < end and at < begin + 20 and buffer[at] >= 48 and buffer[at] <= 57:
        whole = whole * 10 + (np.int64(buffer[at]) - 48)
        at += 1
    digits = at - begin
    if digits > 19 or (digits == 19 and buffer[begin] == 57):  # from NUMBERS_END on
        return NOT_READ
    milliseconds: Number = np.int64(0)
    if at < end and buffer[at] == 46:  # .
        at += 1
        first = at
        weight = np.int64(100)
        while at < end and buffer[at] >= 48 and buffer[at] <= 57:
            milliseconds += (np.int64(buffer[at]) - 48) * weight
            weight //= 10
            at += 1
        if at == first:
            return NOT_READ
    if at != end or whole < FIRST_NUMBER:
        return NOT_READ
    if whole < MILLISECONDS_FROM:
        return whole * 1000 + milliseconds
    if whole < MICROSECONDS_FROM:
        return whole
    return whole // (1000 if whole < NANOSECONDS_FROM else 1_000_000)


@inlined
def text_ms_at(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """As `text_ms`, of the ASCII text `buffer[begin:end]`; NOT_READ when it is none."""
    if end - begin > 1000:
        return NOT_READ
    if 49 <= buffer[begin] <= 57 and buffer[begin + 4] != 45:  # 1 to 9, and no date
        return number_ms_at(buffer, begin, end)
    if end - begin < 20:
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
    elif at + 4 == end and (
        buffer[at] == 32 and buffer[at + 1] == 85 and buffer[at + 2] == 84 and buffer[at + 3] == 67
    ):
        at += 4  # " UTC"
    elif at < end and (buffer[at] == 43 or buffer[at] == 45):  # +hh:mm, +hhmm, +hh
        offset_hour = _two_digits(buffer, at + 1)
        offset_minute: Number = 0
        minutes_at = at + 3
        if minutes_at < end:
            if buffer[minutes_at] == 58:
                minutes_at += 1
            offset_minute = _two_digits(buffer, minutes_at)
            minutes_at += 2
        if minutes_at != end or offset_hour < 0 or offset_minute < 0 or offset_hour > 23 or offset_minute > 59:
            return NOT_READ
        offset_minutes = offset_hour * 60 + offset_minute
        if buffer[at] == 45:
            offset_minutes = -offset_minutes
        at = end
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
