"""How the user's file writes durations and names: `10s`, `30d`; `Order Completed` is `order_completed`.

Durations are held in integer milliseconds. Names of events, steps and breakdown values are compared as slugs.
"""

from __future__ import annotations

import re
from typing import Any, Final

UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

DURATION_PATTERN: Final = r"^\s*(\d{1,9})\s*(ms|s|m|h|d)\s*$"

A_DURATION: Final = "a duration such as 10s, 30m, 1h or 30d"

_SPOKEN_UNITS_MS: Final = UNITS_MS | {
    **dict.fromkeys(("msec", "millisecond", "milliseconds", "millis"), 1),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), 1000),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("day", "days"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400_000),
}


def slug(name: str) -> str:
    """`name` in lower case with every run of characters outside `[a-z0-9_]` as one `_`."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())


def says_something(name: str) -> bool:
    """Whether the slug of `name` has a letter or a digit; without one, unlike names would share a cell."""
    return re.search(r"[a-z0-9]", slug(name)) is not None


def parse_duration(value: Any) -> Any:
    """Milliseconds of `10s`, `1h`, ...; what is neither text nor a number is left for pydantic to judge.

    Raises ValueError for text that is no duration and for a number without a unit (0 needs none).
    """
    if isinstance(value, str):
        match = re.match(DURATION_PATTERN, value, re.ASCII)
        if match is None:
            raise ValueError(f"expected {A_DURATION}")
        return int(match[1]) * UNITS_MS[match[2]]
    if isinstance(value, bool | int) and (value is True or value is False or value != 0):
        raise ValueError(f"expected {A_DURATION}")
    return value


def format_duration(ms: int) -> str:
    """The shortest text of a duration: 3600000 -> `1h`; the name of a window in cells and labels.

    One day is `24h`, as in the contract; whole days above it are `2d`, `7d`, `30d`.
    """
    for unit in ("d", "h", "m", "s"):
        if ms and ms % UNITS_MS[unit] == 0 and (unit, ms) != ("d", UNITS_MS["d"]):
            return f"{ms // UNITS_MS[unit]}{unit}"
    return f"{ms}ms"


def likely_duration(text: str) -> str | None:
    """What the author of `1:30`, `1h30m`, `2 weeks` or `0.5h` may have meant as a duration; None: no idea."""
    text = text.strip().lower()
    clock = re.fullmatch(r"(\d{1,4}):([0-5]?\d)(?::([0-5]?\d))?", text)
    if clock:
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        ms = hours * UNITS_MS["h"] + minutes * UNITS_MS["m"] + seconds * UNITS_MS["s"]
        return format_duration(ms) if ms else None
    total = 0.0
    position = 0
    for part in re.finditer(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)[\s,]*", text):
        if part.start() != position or part[2] not in _SPOKEN_UNITS_MS:
            return None
        total += float(part[1]) * _SPOKEN_UNITS_MS[part[2]]
        position = part.end()
    return format_duration(round(total)) if position == len(text) and round(total) > 0 else None
