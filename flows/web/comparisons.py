"""How the tiles compare with the day before, exactly: closed minutes of today beside the same minutes a day earlier.

What is added up over minutes is compared over the window or, where that is a day and longer, over today so far. A share
is computed from the sums by its own formula. People are not added up: of them the last closed minute is compared. Where
Redis does not have all minutes of both sides there is no comparison; a small base is marked, for the page to draw no
conclusion from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from flows.config.model import Config
from flows.config.notation import parse_duration
from flows.metrics.catalogue import Catalogue, families
from flows.metrics.cells import Derived
from flows.metrics.minutes import MinuteBook
from flows.web.cards import NOW, Row
from flows.web.minutes import DAY, MINUTE_MS, PEOPLE, Minutes, counterparts

LEAST_BASE: Final = 100
"""A change of fewer than so many says nothing: with 4 sessions, one more is 25 %."""
TRACE: Final = 120
"""Minutes that a tile's line shows."""
SHARE_OVER: Final = 15
"""Minutes that each point of a share's line is computed over."""

Over = Literal["window", "today", "minute"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values over the same minutes of two days; `base`: how many there were, of the smaller side."""

    over: Over
    now: float
    before: float
    base: int

    @property
    def tells(self) -> bool:
        """Whether the base is large enough for a change to mean something."""
        return self.base >= LEAST_BASE


@dataclass(frozen=True, slots=True)
class Comparable:
    """A tile whose numbers closed minutes have as well: the sum of a field, or a formula of sums."""

    fields: Sequence[str]
    formula: Callable[..., float | None] | None = None

    @property
    def people(self) -> bool:
        """Whether it counts people, who are not added up."""
        return not PEOPLE.isdisjoint(self.fields)

    def over(self, minutes: Minutes, first: int, end: int) -> tuple[float | None, int]:
        """The value over the minutes from `first` to before `end`, and the largest count in it."""
        sums = [minutes.total(name, first, end) for name in self.fields]
        return (sums[0] if self.formula is None else self.formula(*sums)), max(sums)


def comparables(tiles: Sequence[Row], listed: Catalogue) -> list[Comparable | None]:
    """For each tile: how it is compared; None where minutes do not have it."""
    fields = counterparts(listed)
    stems = {cell.name: cell.stem for cell in listed.cells}
    derived = {cell.name: cell for cell in listed.derived}

    def of(tile: Row) -> Comparable | None:
        cell = next(iter(tile.cells.values()))
        if NOW in tile.cells:
            return None
        if cell in derived:
            return _of_derived(derived[cell], stems, fields)
        field = fields.get(stems[cell])
        return Comparable([field]) if field else None

    return [of(tile) for tile in tiles]


def _of_derived(cell: Derived, stems: Mapping[str, str], fields: Mapping[str, str]) -> Comparable | None:
    found = [fields.get(stems[name], "") for name in cell.inputs]
    if not all(found) or not PEOPLE.isdisjoint(found):
        return None
    return Comparable(found, cell.formula)


def compared(one: Comparable, minutes: Minutes, window: str, known_from: int) -> Comparison | None:
    """How it compares over the window, as of the last closed minute; None where a side is not known or undefined."""
    over: Over = "window"
    first, end = minutes.end - parse_duration(window) // MINUTE_MS, minutes.end
    if one.people:
        over, first = "minute", end - 1
    elif end - first >= DAY:
        over, first = "today", minutes.midnight
    if first >= end or first - DAY < known_from:
        return None
    (now, base), (before, base_before) = one.over(minutes, first, end), one.over(minutes, first - DAY, end - DAY)
    if now is None or before is None:
        return None
    return Comparison(over, now, before, min(base, base_before) if one.formula else base_before)


def trace(one: Comparable, minutes: Minutes, known_from: int) -> list[float | None]:
    """The last minutes, oldest first: counts of each or, of a share, its value over the minutes up to each."""
    first = max(minutes.end - TRACE, known_from)
    if one.formula is None:
        return [float(value) for value in minutes.column(one.fields[0], first, minutes.end)]
    return [one.over(minutes, max(end - SHARE_OVER, known_from), end)[0] for end in range(first + 1, minutes.end + 1)]


def parts_of_fields(config: Config) -> dict[str, str]:
    """Field of a minute -> the part of the state that it belongs to, whose beginning says since when it is whole."""
    book = MinuteBook(config)
    families(config, book)
    return dict(zip(book.fields, book.parts, strict=True))
