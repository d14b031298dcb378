"""How the user's file writes durations and names: `10s`, `30d`; `Order Completed` is `order_completed`.

Durations are held in integer milliseconds. Names of events, steps and breakdown values are compared as slugs. Fields of
events are written as paths: `context.device.type`, `properties."Plan Type"`, `channel`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

DURATION_PATTERN: Final = r"^\s*(\d{1,9})\s*(ms|s|m|h|d)\s*$"

_PLAIN_KEY: Final = r"[\w$-]+"
_KEY: Final = r'(?:"(?:[^"\\]|\\.)+"|(?:[\w$-]|\\\.)+)'
FIELD_PATTERN: Final = rf"^{_KEY}(\.{_KEY})*$"

_PUNCTUATION: Final = re.compile(r"[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+")
"""ASCII without letters and digits."""

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
    """`name` as names are compared and published: `Order Completed`, `order-completed` are `order_completed`.

    Case is folded, and so are forms of a character that Unicode calls compatible (NFKC). Letters, digits and their
    marks stay, of any script; each run of spaces, punctuation and controls becomes one `_`; any other symbol is told by
    its code point, so that names which differ in a symbol alone stay two: `Liked 👍` is `liked_u1f44d`. ASCII has
    only letters, digits and punctuation here: `$` and `+` are punctuation, as in `$pageview`.
    """
    if name.isascii():
        return _PUNCTUATION.sub("_", name.lower())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return _PUNCTUATION.sub("_", "".join(map(_spelled, folded)))


def _spelled(character: str) -> str:
    """What a character adds to a slug; a space where it only separates."""
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
        return ""  # a variation selector: how the character before it is drawn, a red heart or a black one
    category = unicodedata.category(character)
    if character.isascii() or category[0] in "LNM":
        return character
    return f"u{ord(character):x}" if category[0] == "S" or category in ("Co", "Cn") else " "


def says_something(name: str) -> bool:
    """Whether the slug of `name` has more than `_`; without more, unlike names would share a cell."""
    return slug(name).strip("_") != ""


def keys_of(field: str) -> tuple[str, ...] | None:
    """The keys that lead to a field: `properties."utm.source"` -> (`properties`, `utm.source`); None: it is no field.

    Keys stand between dots. One of letters, digits, `_`, `$` and `-` is written as it is, any other in double quotes
    with the escapes of JSON; a single dot may also be written `\\.`.
    """
    if re.fullmatch(FIELD_PATTERN, field) is None:
        return None
    try:
        return tuple(
            str(json.loads(key)) if key.startswith('"') else key.replace("\\.", ".") for key in re.findall(_KEY, field)
        )
    except ValueError:
        return None


def field_text(keys: Sequence[str]) -> str:
    """The field to which `keys` lead, in one way only of those in which it can be written."""
    return ".".join(key if re.fullmatch(_PLAIN_KEY, key) else json.dumps(key, ensure_ascii=False) for key in keys)


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
