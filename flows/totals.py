"""From the partials of all shards to what is published: sums, and the numbers derived from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flows.catalogue import Catalogue, catalogue
from flows.cells import ACCOUNTS, Snapshot
from flows.columns import NO_TIME
from flows.config import Config
from flows.formulas import BOUNDS_S
from flows.metrics.minutes import minute_fields
from flows.shard import Partial


class Totals:
    """Adds up the shards' partials of each tick.

    Every shard reports once per tick, at the same cut through the stream and the same T, so the sum is consistent: its
    identities hold exactly.
    """

    def __init__(self, config: Config) -> None:
        self.catalogue: Catalogue = catalogue(config)
        self._shards = config.shards
        self._minute_fields = minute_fields(config)
        self._partials: dict[int, list[Partial]] = {}  # by the number of their tick
        places = {cell.name: place for place, cell in enumerate(self.catalogue.cells)}
        if len(places) < len(self.catalogue.cells):
            raise ValueError("two cells of the catalogue have the same name")
        self._names = [cell.name if cell.metric else None for cell in self.catalogue.cells]
        self._inputs = [np.array([places[name] for name in cell.inputs]) for cell in self.catalogue.derived]
        self._used_by: list[list[int]] = [[] for _ in self._names]  # by place: the derived cells that read it
        for number, inputs in enumerate(self._inputs):
            for place in inputs.tolist():
                self._used_by[place].append(number)
        self._values: NDArray[np.int64] | None = None  # of the last snapshot
        self._cells: dict[str, int | float] = {}  # what they came to
        self._lifetime = [places[f"sessions.lifetime.{bucket}"] for bucket in (*BOUNDS_S, "inf")]
        self._lifetime_sum = places["sessions.lifetime.sum_ms"]
        self._events = [(name, places[f"events.lifetime.{name}"]) for name in config.vocabulary()]

    def add(self, partial: Partial) -> Snapshot | None:
        """Take one shard's partial; a snapshot when it was the last one of its tick."""
        partials = self._partials.setdefault(partial.number, [])  # shards of other processes may be a tick ahead
        partials.append(partial)
        if len(partials) < self._shards:
            return None
        del self._partials[partial.number]
        assert len({p.as_of_ms for p in partials}) == 1, "shards reported at different times"
        values = np.sum([p.values for p in partials], axis=0)
        started = partial.as_of_ms != NO_TIME
        return Snapshot(
            number=partial.number,
            as_of_ms=partial.as_of_ms if started else None,
            watermark_ms=partial.watermark_ms if started else None,
            cells=self._told(values) if started else {},
            minutes=self._minutes(partials),
            accounting=_accounting(partials),
            session_seconds=values[self._lifetime].tolist(),
            session_seconds_sum_ms=int(values[self._lifetime_sum]),
            events={name: int(values[place]) for name, place in self._events},
            final=partial.final,
        )

    def _told(self, values: NDArray[np.int64]) -> dict[str, int | float]:
        """All cells: only those that differ from the last snapshot's are computed."""
        changed = range(len(values)) if self._values is None else np.flatnonzero(values != self._values).tolist()
        self._values = values
        cells = self._cells = self._cells.copy()  # the last one has been handed on
        derived = set()
        for place in changed:
            if (name := self._names[place]) is not None:
                cells[name] = int(values[place])
            derived.update(self._used_by[place])
        for number in derived:
            cell = self.catalogue.derived[number]
            value = cell.formula(*values[self._inputs[number]].tolist())
            if value is None:
                cells.pop(cell.name, None)
            else:
                cells[cell.name] = value
        return cells

    def _minutes(self, partials: list[Partial]) -> dict[int, dict[str, int]]:
        sums: dict[int, NDArray[np.int64]] = {}
        for partial in partials:
            for minute, counts in partial.minutes.items():
                sums[minute] = sums[minute] + counts if minute in sums else counts
        return {minute: dict(zip(self._minute_fields, sums[minute].tolist(), strict=True)) for minute in sorted(sums)}


def _accounting(partials: list[Partial]) -> dict[int, dict[str, int]]:
    total = np.sum([p.accounting for p in partials], axis=0)
    return {partition: dict(zip(ACCOUNTS, row.tolist(), strict=True)) for partition, row in enumerate(total)}
