"""What single fields of a record can hold: numbers as their text, instants, labels; and how one is refused."""

from __future__ import annotations

import json
import re
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

from flows.audit.records import Rejection
from flows.config.model import OTHER, UNKNOWN, slug

PLACEHOLDERS = {
    *("", "null", "nil", "none", "undefined", "unknown", "anonymous", "anon", "na", "n/a", "0", "-1", "true"),
    *("false", "[]", "{}", "00000000-0000-0000-0000-000000000000"),
}
YEAR_2000_MS = 946_684_800_000
YEAR_2100_MS = 4_102_444_800_000
EPOCH = datetime(1970, 1, 1)
RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]| UTC|([+-])(\d{2}):?(\d{2})?)(?<!:)",
    re.ASCII,
)
DIGITS = re.compile(r"[1-9]\d*(\.\d+)?", re.ASCII)
cached_slug = lru_cache(100_000)(slug)


class Number:
    """A JSON number, as its text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class RefusedError(Exception):
    """Ends the reading of a record inside this module."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.rejection = Rejection(reason, message)


def instant(written: str | Number) -> int | None:
    """Epoch milliseconds; None when it cannot be read."""
    if isinstance(written, Number):
        # The rough value bounds the size of the exact one: 1e-99999999 as a fraction would fill the memory.
        if not 1e7 < float(written.text) < 1e19:
            return None
        exact = Fraction(written.text)
        if not 10**8 <= exact < 9 * 10**18:
            return None
        for below, units_per_second in ((10**11, 1), (10**14, 10**3), (10**17, 10**6)):
            if exact < below:
                return int(exact * 1000 // units_per_second)
        return int(exact * 1000 // 10**9)
    match = RFC3339.fullmatch(written)
    if match is None:
        return instant(Number(written)) if DIGITS.fullmatch(written) else None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    offset_ms = 0
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes or 0) > 59:
            return None
        offset_ms = (int(offset_hours) * 60 + int(offset_minutes or 0)) * 60_000 * (-1 if sign == "-" else 1)
    try:
        local = datetime(year, month, day, hour, minute, second) - EPOCH
    except ValueError:  # no such day or time
        return None
    ms = int((fraction or "")[:3].ljust(3, "0"))
    return local.days * 86_400_000 + local.seconds * 1000 + ms - offset_ms


def lookup(document: dict[str, Any], path: str) -> Any:
    """The value at a path; None where there is none."""
    found: Any = document
    for part in keys_of(path):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found


@lru_cache(1000)
def keys_of(path: str) -> tuple[str, ...]:
    """`properties."utm.source"` and `properties.utm\\.source` are two keys, `properties` and `utm.source`."""
    keys = re.findall(r'(?:^|\.)("(?:[^"\\]|\\.)*"|(?:[^".\\]|\\.)+)', path)
    return tuple(json.loads(key) if key.startswith('"') else key.replace("\\.", ".") for key in keys)


def text_of(found: Any) -> str | None:
    """A single value as the text by which it is compared; None for nothing, and for objects and arrays."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, Number):
        return found.text
    return found if isinstance(found, str) and found else None


def label(found: Any, listed: tuple[str, ...]) -> str:
    """METRICS.md 3: "a closed list from the config plus `other`; absent counts as `unknown`"."""
    if found is None or found == "":
        return UNKNOWN
    text = text_of(found)
    return OTHER if text is None or cached_slug(text) not in slugs(listed) else cached_slug(text)


@lru_cache(1000)
def slugs(names: tuple[str, ...]) -> frozenset[str]:
    """The names as they are compared."""
    return frozenset(slug(name) for name in names)
