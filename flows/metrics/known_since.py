"""Which numbers reach back to before what they count began (METRICS.md 5.15).

A part of the state may have begun later than the stream (`checkpoint/parts.py`). A cell counts since the latest of the
parts that it depends on; while its window begins before that, it is *partial*: true of what has been since, and less
than the whole. A derived cell is partial when one of those that it is computed from is. Cells without a window say what
is now, or has been since their parts began, and are never partial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flows.config.model import OTHER, Config
from flows.metrics.catalogue import Catalogue, families
from flows.metrics.cells import Cell
from flows.metrics.family import Family, Trail
from flows.metrics.minutes import MinuteBook


@dataclass(slots=True)
class _Trails:
    """Cells that begin together: those that depend on the same parts and have the same window."""

    trail: Trail
    ordered: bool
    parts: tuple[str, ...]
    places: list[int] = field(default_factory=list)


class KnownSince:
    """Of the cells of `listed`, all that `config` makes, which are partial; `families`: the names of its families."""

    def __init__(self, config: Config, listed: Catalogue) -> None:
        members = families(config, MinuteBook(config))
        self.families: Sequence[str] = list(members)
        self._cells = listed.cells
        self._derived = listed.derived
        found: dict[tuple[object, ...], _Trails] = {}
        place = 0
        for name, family in members.items():
            for cell in (cell for block in family.blocks() for cell in block.cells()):
                trail = family.trail(cell)
                if trail is not None:
                    parts = (*trail.parts, *parts_of(name, family, cell))
                    trails = _Trails(trail, family.ordered, parts)
                    found.setdefault((trail.key, family.ordered, parts), trails).places.append(place)
                place += 1
        self._trails = list(found.values())

    def partial(self, since: Mapping[str, int], as_of_ms: int, watermark_ms: int) -> list[str]:
        """The names of the partial cells, with parts that began at `since` (ms)."""
        places: set[int] = set()
        for trails in self._trails:
            began = max(since.get(part, 0) for part in trails.parts)
            if began and trails.trail.begins(watermark_ms if trails.ordered else as_of_ms) < began:
                places.update(trails.places)
        counted = [self._cells[place] for place in sorted(places)]
        names = {cell.name for cell in counted}
        derived = []
        for cell in self._derived if names else ():
            if not names.isdisjoint(cell.inputs):
                names.add(cell.name)
                derived.append(cell.name)
        return [*(cell.name for cell in counted if cell.metric), *derived]


def parts_of(name: str, family: Family, cell: Cell) -> Iterator[str]:
    """The parts of the state that a cell of that family, kept under that name, depends on besides its window."""
    yield name
    if (event := cell.labels.get("event", OTHER)) != OTHER:
        yield f"event.{event}"
    for breakdown, value in cell.group.items():
        yield f"breakdown.{breakdown}"
        yield f"breakdown.{breakdown}.{value}"
        yield f"breakdown.{breakdown}.of.{family.broken_down_as}"
