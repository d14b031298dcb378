"""What the page consists of: tiles, and sections of cards, which name the cells that they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers without a window, and rows with a column for each; the rows in groups with a heading."""

    kind: ClassVar[str] = "table"
    columns: ClassVar[int] = 1
    title: str
    facts: Sequence[Row]
    groups: Sequence[tuple[str, Sequence[Row]]]
    rest: bool = False  # what no chart names: folded up


@dataclass(frozen=True, slots=True)
class Funnel:
    """Steps, each with what was lost since the one before."""

    kind: ClassVar[str] = "steps"
    columns: ClassVar[int] = 1
    title: str
    description: str
    rows: Sequence[Row]
    rate: Row | None = None


@dataclass(frozen=True, slots=True)
class Movements:
    """What a stock gained and lost in the window, from what it was to what it is."""

    kind: ClassVar[str] = "movements"
    columns: ClassVar[int] = 1
    title: str
    description: str
    rows: Sequence[Row]
    stock: Row | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows by size."""

    kind: ClassVar[str] = "ranking"
    columns: ClassVar[int] = 1
    title: str
    description: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many of `all` are at most so long: cumulative rows, of which the page shows what each adds."""

    kind: ClassVar[str] = "histogram"
    columns: ClassVar[int] = 1
    title: str
    description: str
    rows: Sequence[Row]
    all: Row


@dataclass(frozen=True, slots=True)
class Split:
    """A number by each breakdown of it, of which the reader chooses one."""

    kind: ClassVar[str] = "split"
    columns: ClassVar[int] = 1
    title: str
    description: str
    by: Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Node:
    """A number of the metric tree, and how far it is on the way to its target; None: the config does not say it."""

    value: Row
    metric: str  # the cell that it stands for
    drives: str
    owner: str
    by: str  # a day
    target: Row | None
    attainment: Row | None
    progress: Row | None
    on_track: Row | None

    @property
    def rows(self) -> list[Row]:
        """All that it shows."""
        return [row for row in (self.value, self.target, self.attainment, self.progress, self.on_track) if row]


@dataclass(frozen=True, slots=True)
class Tree:
    """The nodes of each level, from the focus down; it takes a whole row of the page."""

    kind: ClassVar[str] = "tree"
    columns: ClassVar[int] = COLUMNS
    levels: Sequence[tuple[str, Sequence[Node]]]


Card: TypeAlias = Table | Funnel | Movements | Ranking | Histogram | Split | Tree


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its cards."""

    title: str
    cards: Sequence[Card]

    @property
    def columns(self) -> int:
        """How many columns of the page it takes."""
        wanted = (card.columns for card in self.cards if not (isinstance(card, Table) and card.rest))
        return max(1, min(COLUMNS, sum(wanted)))


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole page."""

    product: str
    time_zone: str
    windows: Sequence[str]  # that the reader can choose
    window: str  # the one shown first
    breakdowns: Sequence[str]
    currency: str | None
    minor_digits: int
    tiles: Sequence[Row]
    courses: Mapping[str, str]  # field of the minutes -> title
    sections: Sequence[Section] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Everything that shows a number, tiles first."""
        return [*self.tiles, *(row for section in self.sections for card in section.cards for row in rows_of(card))]

    @property
    def cells(self) -> list[str]:
        """Every cell on the page, each once."""
        named = [
            cells
            for row in self.rows
            for cells in (row.cells, row.of or {}, row.interval.cells if row.interval else {})
        ]
        return list(dict.fromkeys(cell for cells in named for cell in cells.values()))


def rows_of(card: Card) -> Iterator[Row]:
    """Everything on it that shows a number."""
    match card:
        case Table():
            yield from card.facts
            for _, rows in card.groups:
                yield from rows
        case Split():
            for rows in card.by.values():
                yield from rows
        case Funnel():
            yield from card.rows
            yield from [card.rate] if card.rate else []
        case Movements():
            yield from card.rows
            yield from [card.stock] if card.stock else []
        case Ranking():
            yield from card.rows
        case Histogram():
            yield from [*card.rows, card.all]
        case Tree():
            yield from (row for _, nodes in card.levels for node in nodes for row in node.rows)
