"""What the compiled loop is told of a field: how its text becomes a number without Python (`decode/facts.py`)."""

from __future__ import annotations

from typing import NamedTuple

ID, DECIMAL, TIME, FLAG, NAMED, LEARNT = range(6)
"""Ways to read: the hash of an id; a decimal as an integer of its smallest unit; ms UTC; 0 or 1; by the event's code;
found by the hash of texts.
"""

DEFAULT, USER, EVENT_TIME = range(3)
"""What stands in the column where a property is absent: a number, the event's user, the event's time."""


class Swift(NamedTuple):
    """One field; the loop leaves whatever it is unsure of to the slow reader."""

    way: int
    properties: tuple[str, ...] = ()  # where it is looked for: the first that is there; for LEARNT: all of its texts
    rare: tuple[str, ...] = ()  # for LEARNT: those that count where they are there, in any type
    absent: int = DEFAULT
    default: int = 0
    least: int = 0  # of a decimal, in its smallest unit
    most: int = 0  # the same; of a time: how far it may be after the event, ms (-1: no bound)
    decimals: int = 0
    quoted: bool = False  # a decimal may be a string as well
    whether: bool = False  # of a time: 1 where it is there, else 0
    unlike: str | None = None  # a property whose id must be another
