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
        self._published = [(cell.name, place) for place, cell in enumerate(self.catalogue.cells) if cell.metric]
        self._inputs = [np.array([places[name] for name in cell.inputs]) for cell in self.catalogue.derived]
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
            cells=self._cells(values) if started else {},
            minutes=self._minutes(partials),
            accounting=_accounting(partials),
            session_seconds=values[self._lifetime].tolist(),
            session_seconds_sum_ms=int(values[self._lifetime_sum]),
            events={name: int(values[place]) for name, place in self._events},
            final=partial.final,
        )

    def _cells(self, values: NDArray[np.int64]) -> dict[str, int | float]:
        numbers = values.tolist()
        cells: dict[str, int | float] = {name: numbers[place] for name, place in self._published}
        for derived, inputs in zip(self.catalogue.derived, self._inputs, strict=True):
            value = derived.formula(*values[inputs].tolist())
            if value is not None:
                cells[derived.name] = value
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
