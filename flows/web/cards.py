"""What the page consists of: tiles, and sections of cards, which name the cells that they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from flows.config.notation import format_duration
from flows.config.top import WINDOWS_MS

NOW: Final = ""
"""In place of a window: of a number that has none, or that the reader does not choose."""
COLUMNS: Final = 3
"""Cards beside each other, where the window is wide enough."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What a number may be off by to either side: so many times another one."""

    cells: Mapping[str, str]
    times: float


@dataclass(frozen=True, slots=True)
class Row:
    """One number: its cell for each window, or for NOW."""

    title: str
    format: str  # count, decimal, share, ms, money or track (1: on it)
    cells: Mapping[str, str]
    description: str = ""
    interval: Interval | None = None
    sign: int = 1  # of a movement: whether it adds to the stock or takes away
    of: Mapping[str, str] | None = None  # the counts that a ratio is of
    of_what: str = ""
    good: str = ""  # up or down: the direction in which a change is good


Kind: TypeAlias = Literal[
    "table", "steps", "movements", "ranking", "bars", "rates", "histogram", "split", "node", "top", "days", "triangle"
]
"""How a card shows its rows.

    table      numbers of now, and groups of rows, those that have windows with a column for each
    steps      each with what was lost since the one before; `whole`: the rate at which all of them are taken
    movements  what a stock gained and lost in the window; `whole`: the stock
    ranking    by size
    bars       in their own order
    rates      counts of the window, by second
    histogram  cumulative counts, of which the page shows what each adds; `whole`: how many there are in all
    split      by each breakdown, a group of rows for each, of which the reader chooses one
    node       of the metric tree: its value and, as far as they are there, target, attainment, progress, on_track
    top        a top list; `whole`: what it does not show
    days       one field of each closed day, beside that of a week before; of no rows
    triangle   by the date on which users started, the share who returned on day N; of no rows
"""


@dataclass(frozen=True, slots=True)
class Card:
    """Rows that are shown together."""

    kind: Kind
    title: str
    rows: Sequence[Row] = ()
    groups: Sequence[tuple[str, Sequence[Row]]] = ()  # each with its heading
    whole: Row | None = None  # what the rows are parts of
    description: str = ""
    rest: bool = False  # what no chart names: folded up
    listed: str = ""  # the name of a top list
    most: int = 0  # values of it

    @property
    def shown(self) -> Iterator[Row]:
        """Everything on it that shows a number."""
        yield from self.rows
        for _, rows in self.groups:
            yield from rows
        if self.whole is not None:
            yield self.whole


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its cards."""

    title: str
    cards: Sequence[Card]

    @property
    def columns(self) -> int:
        """How many columns of the page it takes."""
        return max(1, min(COLUMNS, sum(not card.rest for card in self.cards)))


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole page."""

    product: str
    time_zone: str
    windows: Mapping[str, float]  # that the reader can choose -> seconds
    window: str  # the one shown first
    breakdowns: Sequence[str]
    currency: str | None
    minor_digits: int
    tiles: Sequence[Row]
    courses: Mapping[str, str]  # field of the minutes -> title
    days: Mapping[str, tuple[str, str]]  # field of the days that can be chosen -> title, format
    returns: Sequence[int]  # N of the triangle
    sections: Sequence[Section] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Everything that shows a number, tiles first."""
        return [*self.tiles, *(row for section in self.sections for card in section.cards for row in card.shown)]

    @property
    def lists(self) -> list[tuple[str, str]]:
        """Every top list on the page, by name and window."""
        names = [card.listed for section in self.sections for card in section.cards if card.listed]
        return [(name, format_duration(width)) for name in names for width in WINDOWS_MS]

    @property
    def cells(self) -> list[str]:
        """Every cell on the page, each once."""
        named = [
            cells
            for row in self.rows
            for cells in (row.cells, row.of or {}, row.interval.cells if row.interval else {})
        ]
        return list(dict.fromkeys(cell for cells in named for cell in cells.values()))
