"""One page of a terminal: the tiles and sections of the live page, in as many columns as there is room for.

Which sections there are, their titles, numbers and formats all come from the catalogue (`flows/web/layout.py`). What
does not fit below the tiles is named in the last line, and can be asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from rich.text import Text

from flows.config.notation import format_duration
from flows.config.top import WINDOWS_MS
from flows.terminal.figures import bar, shown, spark
from flows.terminal.reading import Reading
from flows.web.cards import NOW, Card, Layout, Row, Section

COLUMN: Final = 46
"""Characters that a column of sections wants."""
TILE: Final = 24
GAP: Final = 2
FIGURE: Final = 10
"""Characters of a number in a table."""
BAR: Final = 10
MOST_ROWS: Final = 8
"""Of a card that is a list."""
SEEN: Final = 120
"""Values of a tile that its line shows at most."""
STYLES: Final = {"live": "green", "stale": "bold white on red", "absent": "bold white on red"}

Lines = list[Text]


class View:
    """The page of one product; it remembers what the tiles have shown, for their lines.

    `wanted`: the titles, or beginnings of them, of the only sections to show. `window`: one of the layout's.
    """

    def __init__(self, layout: Layout, wanted: Sequence[str] = (), window: str = "") -> None:
        self._layout = layout
        self._window = window or layout.window
        self._seen: list[deque[float]] = [deque(maxlen=SEEN) for _ in layout.tiles]
        self._published = ""
        self._kinds: Mapping[str, Callable[[Reading, Card, int], Iterator[Text]]] = {
            "table": self._table,
            "steps": self._steps,
            "movements": self._movements,
            "ranking": self._ranking,
            "bars": self._in_order,
            "rates": self._rates,
            "histogram": self._histogram,
            "split": self._split,
            "node": self._node,
            "top": self._top,
        }
        there = [one for one in layout.sections if any(card.kind in self._kinds for card in one.cards)]
        asked = [one for text in wanted for one in there if one.title.casefold().startswith(text.casefold())]
        self._sections = list({one.title: one for one in asked or there}.values())

    def page(self, reading: Reading, width: int, height: int) -> Text:
        """The reading on a terminal of that size."""
        fresh = (reading.freshness(), STYLES[reading.state])
        head = Text.assemble((f" {reading.product} ", "bold reverse"), " ", fresh)
        if reading.state == "absent":
            return head
        self._remember(reading)
        top = [head, *self._tiles(reading, width)]
        foot = Text(reading.summary(), "dim")
        room = max(0, height - len(top) - 3)
        body, left = self._fitting(reading, width, room)
        more = [Text(f"more with --section: {', '.join(left)}", "dim")] if left else []
        page = [*top, Text(), *body, *more, foot]
        for one in page:
            one.truncate(width, overflow="ellipsis")
        return Text("\n").join(page)

    def _remember(self, reading: Reading) -> None:
        """What each tile shows, once for each publish."""
        if (published := reading.fields.get("_published_at", "")) != self._published:
            self._published = published
            for tile, seen in zip(self._layout.tiles, self._seen, strict=True):
                if (value := self._value(reading, tile)) is not None:
                    seen.append(value)

    def _tiles(self, reading: Reading, width: int) -> Lines:
        """Three lines each: title, value, and its line; beside each other."""
        each = max(1, (width + GAP) // (TILE + GAP))
        own = (width + GAP) // each - GAP
        blocks = []
        for tile, seen in zip(self._layout.tiles, self._seen, strict=True):
            title = tile.title if NOW in tile.cells else f"{tile.title}, {self._window}"
            value = self._figure(reading, tile)
            line = spark(list(seen), max(0, own - len(value) - 1))
            blocks.append([Text(title, "dim"), Text.assemble((value, "bold"), " ", (line, "cyan"))])
        rows = [blocks[place : place + each] for place in range(0, len(blocks), each)]
        return [line for row in rows for line in _beside(row, own)]

    def _fitting(self, reading: Reading, width: int, room: int) -> tuple[Lines, list[str]]:
        """The sections that fit, each whole, in columns of equal width; and the titles of the others."""
        count = max(1, (width + GAP) // (COLUMN + GAP))
        own = (width + GAP) // count - GAP
        columns: list[Lines] = [[] for _ in range(count)]
        left = []
        for section in self._sections:
            lines = self._section(reading, section, own)
            shortest = min(columns, key=len)
            if len(shortest) + len(lines) <= room:
                shortest += lines
            elif self._sections == [section] or not any(columns):
                shortest += lines[: max(0, room - len(shortest))]
            else:
                left.append(section.title)
        return _beside(columns, own), left

    def _section(self, reading: Reading, section: Section, width: int) -> Lines:
        cards = [card for card in section.cards if not card.rest and card.kind in self._kinds]
        lines = [Text(f"{section.title} ".ljust(width, "─"), "bold")]
        for card in cards:
            if card.title and card.title != section.title and card.kind not in ("node", "table"):
                lines.append(Text(f"{card.title}, {self._window}" if _windowed(card) else card.title, "dim"))
            lines += self._kinds[card.kind](reading, card, width)
        return [*lines, Text()] if len(lines) > 1 else []

    # Kinds of cards

    def _table(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        for row in card.rows:
            yield _line(row.title, self._figure(reading, row), width)
        windows = list(self._layout.windows)[: max(1, (width - 16) // FIGURE)]
        if any(NOW not in row.cells for _, rows in card.groups for row in rows):
            yield Text("".join(window.rjust(FIGURE) for window in windows).rjust(width), "dim")
        for name, rows in card.groups:
            if name and len(rows) > 1:
                yield Text(name, "dim")
            for row in rows:
                title = row.title if len(rows) > 1 or name in ("", row.title) else f"{name}, {row.title}"
                shown_windows = [NOW] if NOW in row.cells else windows
                figures = [self._figure(reading, row, window).rjust(FIGURE) for window in shown_windows]
                yield _line(title, "".join(figures), width)

    def _movements(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        yield from self._bars(reading, card.rows, width)
        if card.whole is not None:
            yield _line(card.whole.title, self._figure(reading, card.whole), width, "bold")

    def _in_order(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        yield from self._bars(reading, card.rows, width)

    def _ranking(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        yield from self._bars(reading, self._by_size(reading, card.rows), width)

    def _split(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        for _, rows in card.groups[:1]:
            yield from self._bars(reading, rows, width)

    def _bars(self, reading: Reading, rows: Sequence[Row], width: int) -> Iterator[Text]:
        values = [self._value(reading, row) or 0.0 for row in rows]
        largest = max((abs(value) for value in values), default=0.0)
        for row, value in list(zip(rows, values, strict=True))[:MOST_ROWS]:
            sign = "-" if row.sign < 0 else "+" if any(one.sign < 0 for one in rows) else ""
            yield _barred(row.title, sign + self._figure(reading, row), abs(value) / largest if largest else 0, width)

    def _rates(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        for row in self._by_size(reading, card.rows)[:MOST_ROWS]:
            value = self._value(reading, row)
            per_second = None if value is None else value / self._layout.windows[self._window]
            yield _line(row.title, f"{shown('decimal', per_second)}/s", width)

    def _histogram(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        rows = [*card.rows, *([card.whole] if card.whole else [])]
        up_to = [0.0, *(self._value(reading, row) or 0.0 for row in rows)]
        counts = [later - earlier for earlier, later in pairwise(up_to)]
        largest = max(counts, default=0.0)
        for row, count in zip(rows, counts, strict=True):
            title = "longer" if row is card.whole else row.title
            yield _barred(title, shown("count", count), count / largest if largest else 0, width)

    def _steps(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        reached = [self._value(reading, row) or 0.0 for row in card.rows]
        for row, value in zip(card.rows, reached, strict=True):
            share = value / reached[0] if reached[0] else 0
            figure = f"{self._figure(reading, row)} {shown('share', share if reached[0] else None):>6}"
            yield _barred(row.title, figure, share, width)
        if card.whole is not None:
            yield _line("converts", self._figure(reading, card.whole), width)

    def _node(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        rows = {row.cells[NOW].rpartition(".")[2]: row for row in card.rows}
        figures = {number: self._figure(reading, row) for number, row in rows.items()}
        yield _line(card.title, figures["value"], width, "bold")
        if "target" in figures:
            share = self._value(reading, rows["attainment"]) or 0.0
            yield _barred(f"  target {figures['target']}", figures["attainment"], share, width)
        if "on_track" in figures:
            style = "green" if self._value(reading, rows["on_track"]) else "red"
            yield _line(f"  {figures['progress']} of the way", figures["on_track"], width, style)
        yield Text(f"  {card.description}", "dim")

    def _top(self, reading: Reading, card: Card, width: int) -> Iterator[Text]:
        chosen = self._layout.windows[self._window]
        width_ms = max((one for one in WINDOWS_MS if one <= 1000 * chosen), default=WINDOWS_MS[0])
        counts = reading.top.get(card.listed, {}).get(format_duration(width_ms), {})
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_ROWS]
        for value, count in ranked:
            # Whoever can send an event may not write to this terminal: no escapes, no text that runs backwards.
            shown_value = value if value.isprintable() else ascii(value)[1:-1]
            yield _barred(shown_value, shown("count", count), count / ranked[0][1], width)

    # Numbers

    def _cell(self, row: Row, window: str = "") -> str:
        return row.cells.get(NOW) or row.cells.get(window or self._window, "")

    def _value(self, reading: Reading, row: Row) -> float | None:
        return reading.number(self._cell(row))

    def _by_size(self, reading: Reading, rows: Sequence[Row]) -> list[Row]:
        return sorted(rows, key=lambda row: self._value(reading, row) or 0.0, reverse=True)

    def _figure(self, reading: Reading, row: Row, window: str = "") -> str:
        number, layout = reading.number(self._cell(row, window)), self._layout
        text = shown(row.format, number, layout.minor_digits, layout.currency)
        error = reading.number(self._cell(_off(row))) if row.interval else None
        return text if error is None or row.interval is None else f"{text} ± {100 * error * row.interval.times:.1f}"


def _off(row: Row) -> Row:
    """The row of what it may be off by."""
    assert row.interval is not None
    return Row(row.title, "share", row.interval.cells)


def _windowed(card: Card) -> bool:
    rows = [*card.rows, *(row for _, rows in card.groups for row in rows)]
    return any(NOW not in row.cells for row in rows)


def _line(title: str, figure: str, width: int, style: str = "") -> Text:
    """The title to the left, which gives way, and the figure to the right."""
    room = width - len(figure) - 1
    return Text.assemble(f"{title[:room]:<{room}} ", (figure, style))


def _barred(title: str, figure: str, share: float, width: int) -> Text:
    own = min(BAR, max(0, width - len(figure) - 18))
    room = width - len(figure) - own - 2
    return Text.assemble(f"{title[:room]:<{room}} ", (bar(share, own), "cyan"), f" {figure}")


def _beside(blocks: Sequence[Lines], width: int) -> Lines:
    """Blocks of lines from left to right, each `width` wide."""
    height = max(map(len, blocks), default=0)
    lines = []
    for number in range(height):
        line = Text()
        for block in blocks:
            part = block[number].copy() if number < len(block) else Text()
            part.truncate(width, overflow="ellipsis", pad=True)
            line = Text.assemble(line, " " * GAP if line else "", part)
        lines.append(line)
    return lines
