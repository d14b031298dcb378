"""Numbers as text of a terminal: the same formats as on the live page, bars, and lines of a few characters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

NOTHING: Final = "-"
BLOCKS: Final = "▁▂▃▄▅▆▇█"


def shown(form: str, value: float | None, minor_digits: int = 2) -> str:
    """A number in a format of `flows/web/cards.py`; money without its currency."""
    if value is None:
        return NOTHING
    if form == "money":
        major = value / 10**minor_digits
        return f"{major:,.0f}" if abs(major) >= 1000 else f"{major:,.{minor_digits}f}"
    return FORMATS[form](value)


def age(ms: float) -> str:
    """`4.2 s`, `12 min`, `3.5 h`, `2.0 d`."""
    seconds = ms / 1000
    for limit, unit_s, unit, digits in ((120, 1, "s", 1), (7200, 60, "min", 0), (172_800, 3600, "h", 1)):
        if seconds < limit:
            return f"{seconds / unit_s:.{digits}f} {unit}"
    return f"{seconds / 86_400:.1f} d"


FORMATS: Final[Mapping[str, Callable[[float], str]]] = {
    "count": lambda value: f"{value:,.0f}",
    "decimal": lambda value: f"{value:,.2f}",
    "share": lambda value: f"{value:.1%}",
    "ms": age,
    "track": lambda value: "on track" if value else "behind",
}


def spark(values: Sequence[float], width: int) -> str:
    """The last `width` values as a line, from their least to their largest; where all are equal it is flat."""
    last = values[-width:]
    low, high = min(last, default=0), max(last, default=0)
    step = (high - low) / (len(BLOCKS) - 1)
    return "".join(BLOCKS[round((value - low) / step)] if step else BLOCKS[0] for value in last)


def bar(share: float, width: int) -> str:
    """`share` of 1 as a bar."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)
