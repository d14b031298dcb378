"""The simulated product's past, as it is handed to the job's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final

from flows.demo.feed import Witness
from flows.demo.simulator import Record
from flows.source.history import Slice

SLICE_RECORDS: Final = 20_000


class Past:
    """The `records` up to `until_ms`, each reported to a witness. Afterwards `rest` holds the remaining ones."""

    def __init__(
        self, records: Iterator[Record], until_ms: int, witness: Witness, progress: Callable[[int], None]
    ) -> None:
        """`progress` is told the time (ms) that has been reached."""
        self.rest = records
        self._until_ms = until_ms
        self._witness = witness
        self._progress = progress

    def slices(self) -> Iterator[Mapping[int, Slice]]:
        """By partition, one span of time after the other."""
        together: dict[int, Slice] = {}
        count = 0
        for record in self.rest:
            if record.arrival_ms > self._until_ms:
                self.rest = chain((record,), self.rest)
                break
            self._witness.record(record)
            found = together.get(record.partition)
            if found is None:
                found = together[record.partition] = Slice([], [])
            found.values.append(record.value)
            found.timestamps_ms.append(record.arrival_ms)
            count += 1
            if count == SLICE_RECORDS:
                self._progress(record.arrival_ms)
                yield together
                together, count = {}, 0
        if together:
            yield together
