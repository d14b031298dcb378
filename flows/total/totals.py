"""From the partials of all shards to what is published: sums, and the numbers derived from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from flows.config.model import Config
from flows.config.notation import format_duration
from flows.config.top import WINDOWS_MS
from flows.messages.columns import NO_TIME
from flows.messages.partial import Partial, Ranked
from flows.messages.snapshot import ACCOUNTS, Snapshot
from flows.metrics.catalogue import Catalogue, catalogue
from flows.metrics.cells import AS_OF
from flows.metrics.days import date_of
from flows.metrics.known_since import KnownSince


class Totals:
    """Adds up the shards' partials of each tick.

    Every shard reports once per tick, at the same cut through the stream and the same T, so the sum is consistent: its
    identities hold exactly.
    """

    def __init__(self, config: Config) -> None:
        self.catalogue: Catalogue = catalogue(config)
        self._known = KnownSince(config, self.catalogue)
        self._shards = config.shards
        self._lists = config.top
        self._windows_of_lists = [format_duration(width) for width in WINDOWS_MS]
        self._sums: dict[int, _Sum] = {}  # by the number of their tick
        places = {cell.name: place for place, cell in enumerate(self.catalogue.cells)}
        if len(places) < len(self.catalogue.cells):
            raise ValueError("two cells of the catalogue have the same name")
        self._names = [cell.name if cell.metric else None for cell in self.catalogue.cells]
        self._inputs: dict[int, NDArray[np.int64]] = {}  # of derived cells: the places of the counted ones they read
        self._further: list[int] = []  # derived cells that read other derived ones, or the time
        self._used_by: list[list[int]] = [[] for _ in self._names]  # by place: the derived cells that read it
        for number, cell in enumerate(self.catalogue.derived):
            if places.keys() >= set(cell.inputs):
                self._inputs[number] = np.array([places[name] for name in cell.inputs])
                for name in cell.inputs:
                    self._used_by[places[name]].append(number)
            else:
                self._further.append(number)
        self._values: NDArray[np.int64] | None = None  # of the last snapshot
        self._cells: dict[str, int | float] = {}  # what they came to
        self._tallies = [(name, places[name]) for tally in self.catalogue.tallies for name in tally.cells]

    def add(self, partial: Partial) -> Snapshot | None:
        """Take one shard's partial; a snapshot when it was the last one of its tick."""
        so_far = self._sums.get(partial.number)  # shards of other processes may be a tick ahead
        if so_far is None:
            so_far = self._sums[partial.number] = _Sum(partial)
        else:
            so_far.add(partial)
        if so_far.shards < self._shards:
            return None
        del self._sums[partial.number]
        values = so_far.values
        started = partial.as_of_ms != NO_TIME
        changed = self._compute(values) | self._compute_further(partial.as_of_ms) if started else set()
        return Snapshot(
            number=partial.number,
            as_of_ms=partial.as_of_ms if started else None,
            watermark_ms=partial.watermark_ms if started else None,
            cells=self._cells,
            minutes=self._minutes(so_far.minutes),
            days=self._days(so_far.days, partial.watermark_ms),
            accounting=_accounting(so_far.accounting),
            offsets={p: (first, behind) for p, (first, behind) in enumerate(so_far.offsets.tolist()) if behind},
            tallies={name: int(values[place]) for name, place in self._tallies},
            final=partial.final,
            since={**dict.fromkeys(self._known.families, 0), **partial.since},
            partial=self._partial(partial) if started and partial.since else (),
            changed=changed,
            top={name: self._top(name, lists) for name, lists in so_far.top.items()},
        )

    def _compute(self, values: NDArray[np.int64]) -> set[str]:
        """Let the cells be those of `values`; only what differs from the last snapshot is computed, and named."""
        changed = range(len(values)) if self._values is None else np.flatnonzero(values != self._values).tolist()
        self._values = values
        cells = self._cells = self._cells.copy()  # the last one has been handed on
        told, derived = set(), set()
        for place in changed:
            if (name := self._names[place]) is not None:
                cells[name] = int(values[place])
                told.add(name)
            derived.update(self._used_by[place])
        for number in derived:
            cell = self.catalogue.derived[number]
            self._put(cell.name, cell.formula(*values[self._inputs[number]].tolist()))
            told.add(cell.name)
        return told

    def _compute_further(self, as_of_ms: int) -> set[str]:
        """What is derived from the cells of now, in the order of the catalogue, and from the time; what has changed."""
        told = set()
        for number in self._further:
            cell = self.catalogue.derived[number]
            inputs = [as_of_ms if name == AS_OF else self._cells.get(name) for name in cell.inputs]
            value = None if None in inputs else cell.formula(*inputs)
            if value != self._cells.get(cell.name):
                told.add(cell.name)
            self._put(cell.name, value)
        return told

    def _put(self, name: str, value: float | None) -> None:
        if value is None or not math.isfinite(value):
            self._cells.pop(name, None)
        else:
            self._cells[name] = value

    def _top(self, name: str, of_shards: Sequence[Ranked]) -> dict[str, dict[str, int]]:
        """The largest of all: each value is in one shard."""
        found = {}
        for window, *ranked in zip(self._windows_of_lists, *of_shards, strict=True):
            every = sorted(chain.from_iterable(ranked), key=lambda one: (-one[0], one[1]))
            found[window] = {text: count for count, text in every[: self._lists[name].k]}
        return found

    def _partial(self, at: Partial) -> list[str]:
        return self._known.partial(at.since, at.as_of_ms, at.watermark_ms)

    def _minutes(self, sums: dict[int, NDArray[np.int64]]) -> dict[int, dict[str, int]]:
        return {
            minute: dict(zip(self.catalogue.minute_fields, sums[minute].tolist(), strict=True))
            for minute in sorted(sums)
        }

    def _days(self, sums: dict[int, NDArray[np.int64]], watermark_ms: int) -> dict[str, dict[str, int]]:
        book = self.catalogue.days
        return {date_of(day).isoformat(): book.finals(day, watermark_ms, sums[day]) for day in sorted(sums)}


class _Sum:
    """What the shards have reported at one tick so far: added up at once, while a report is still at hand."""

    def __init__(self, first: Partial) -> None:
        self.shards = 1
        self.values = first.values.copy()
        self.minutes = dict(first.minutes)
        self.days = dict(first.days)
        self.accounting = first.accounting.copy()
        self.offsets = first.offsets.copy()
        self.top = {name: [ranked] for name, ranked in first.top.items()}
        self._as_of_ms = first.as_of_ms

    def add(self, partial: Partial) -> None:
        assert partial.as_of_ms == self._as_of_ms, "shards reported at different times"
        self.shards += 1
        self.values += partial.values
        self.accounting += partial.accounting
        for name, ranked in partial.top.items():
            self.top[name].append(ranked)
        self.offsets += partial.offsets  # one shard knows of a partition, all others have 0
        _add(self.minutes, partial.minutes)
        _add(self.days, partial.days)


def _add(sums: dict[int, NDArray[np.int64]], more: Mapping[int, NDArray[np.int64]]) -> None:
    for period, counts in more.items():
        sums[period] = sums[period] + counts if period in sums else counts


def _accounting(total: NDArray[np.int64]) -> dict[int, dict[str, int]]:
    return {partition: dict(zip(ACCOUNTS, row, strict=True)) for partition, row in enumerate(total.tolist())}
