"""Numbers as text of a terminal: the same formats as on the live page, bars, and lines of a few characters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

NOTHING: Final = "-"
SIGNS: Final = {"EUR": "€", "GBP": "£", "JPY": "¥", "USD": "$"}
LEAST_RISE: Final = 0.2
"""Of the largest value: what a line rises from its least to its largest block for. A small change is drawn small."""
BLOCKS: Final = "▁▂▃▄▅▆▇█"


def shown(form: str, value: float | None, minor_digits: int = 2, currency: str | None = None) -> str:
    """A number in a format of `flows/web/cards.py`; money with the sign of its currency, or with its code behind."""
    if value is None:
        return NOTHING
    if form != "money":
        return FORMATS[form](value)
    major = abs(value) / 10**minor_digits
    amount = f"{major:,.0f}" if major >= 1000 else f"{major:,.{minor_digits}f}"
    minus, sign = "-" if value < 0 else "", SIGNS.get(currency or "", "")
    return f"{minus}{sign}{amount}" if sign or not currency else f"{minus}{amount} {currency}"


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
    """The last `width` values as a line, from their least to their largest; where these are close it is flat."""
    last = values[-width:]
    low, high = min(last, default=0), max(last, default=0)
    step = max(high - low, LEAST_RISE * abs(high)) / (len(BLOCKS) - 1)
    return "".join(BLOCKS[round((value - low) / step)] if step else BLOCKS[0] for value in last)


def bar(share: float, width: int) -> str:
    """`share` of 1 as a bar."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)
