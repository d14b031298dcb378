"""How a family declares its numbers: rows, and the axes along which each has a cell for every value.

A family's vector is a list of blocks, one behind the other. A block has a cell for every window, every group and every
row of it, the rows fastest; so an array of shape (windows, groups, rows) is its part of the vector:

    >>> metrics = [Metric(f"visits.{what}", "Visits.", "visits", "Traffic") for what in ("begun", "ended")]
    >>> block = Block([Count(metric) for metric in metrics], windows=[60_000], groups=[{}, {"platform": "ios"}])
    >>> [cell.name for cell in block.cells()][:3]
    ['visits.begun.1m', 'visits.ended.1m', 'visits.begun.1m{platform=ios}']

A derived number names the rows that it is computed from, of whatever family. It exists for every window and every group
for which all of them do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from flows.metrics.cells import Cell, Derived, Metric, Window, cell_name, window_label

EVERYBODY: Final[Mapping[str, str]] = {}
GroupKey: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Count:
    """One additive number, with a cell for every window and group of its block."""

    metric: Metric | None  # None: an ingredient, not published
    stem: str = ""  # its cells' name without window and group; empty: the metric's name
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stem, written or not."""
        assert self.stem or self.metric is not None
        return self.stem or (self.metric.name if self.metric else "")


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a family's vector, in the order windows, groups, rows."""

    rows: Sequence[Count]
    windows: Sequence[Window] = (None,)
    groups: Sequence[Mapping[str, str]] = (EVERYBODY,)

    def cells(self) -> Iterator[Cell]:
        """In the vector's order."""
        for window in self.windows:
            for group in self.groups:
                for row in self.rows:
                    labels = {**row.labels, **window_label(window), **group}
                    yield Cell(cell_name(row.name, window, group), row.metric, labels, row.name, window, group)


class At(NamedTuple):
    """An operand that stays at one window, whichever the derived number is for."""

    stem: str
    window: Window


class Within(NamedTuple):
    """An operand that stays at one value of a breakdown: of a derived number for everybody."""

    stem: str
    breakdown: str
    value: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A derived number: `compute(*operands)`, None where it is undefined.

    Operands are stems. One that has cells for now only is the same for every window.
    """

    metric: Metric
    of: Sequence[str | At | Within]
    compute: Callable[..., float | None]
    stem: str = ""  # as of a Count
    labels: Mapping[str, str] = field(default_factory=dict)
    windows: Sequence[Window] | None = None  # the ones it is published for; None: all that its operands have
    total_only: bool = False  # not by group, though its operands are

    @property
    def name(self) -> str:
        """The stem, written or not."""
        return self.stem or self.metric.name


class Operands:
    """The counted cells of a catalogue, found by stem, window and group."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._names: dict[str, dict[Window, dict[GroupKey, str]]] = {}
        for cell in cells:
            at = self._names.setdefault(cell.stem, {}).setdefault(cell.window, {})
            at[tuple(cell.group.items())] = cell.name

    def derive(self, formula: Formula) -> Iterator[Derived]:
        """The cells of `formula`; none when an operand is not measured."""
        for window in self._windows(formula):
            found = [self._at(operand, window) for operand in formula.of]
            for key in found[0]:
                if all(key in one for one in found) and not (formula.total_only and key):
                    group = dict(key)
                    yield Derived(
                        cell_name(formula.name, window, group),
                        formula.metric,
                        [one[key] for one in found],
                        formula.compute,
                        {**formula.labels, **window_label(window), **group},
                        group,
                    )

    def _windows(self, formula: Formula) -> list[Window]:
        """Those that all operands have, in the order of the first."""
        moving = [self._names.get(one, {}) for one in formula.of if isinstance(one, str)]
        moving = [windows for windows in moving if windows.keys() != {None}]
        if not moving:
            return [None]
        return [
            window
            for window in moving[0]
            if all(window in one for one in moving) and (formula.windows is None or window in formula.windows)
        ]

    def _at(self, operand: str | At | Within, window: Window) -> dict[GroupKey, str]:
        if isinstance(operand, At):
            return self._names.get(operand.stem, {}).get(operand.window, {})
        if isinstance(operand, Within):
            found = self._at(operand.stem, window)
            key = ((operand.breakdown, operand.value),)
            return {(): found[key]} if key in found else {}
        windows = self._names.get(operand, {})
        return windows.get(None if windows.keys() == {None} else window, {})
