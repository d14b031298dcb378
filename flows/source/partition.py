"""One partition as its process reads it: how far it has come, and which of the fetched records are still wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.messages.columns import NO_TIME
from flows.source.log_identity import Place, Proof, proof_of
from flows.source.queues import Batch, News, RecordQueue


@dataclass(slots=True)
class Partition:
    """Its queue, and what has been handed on of it."""

    number: int
    queue: RecordQueue
    fetched: int  # offset of the first record not yet handed on
    proof: Proof | None  # the last record handed on; None: none was, or it is not known
    end: int | None  # hand on nothing from here on; None: there is no end
    at_end: bool = False  # all that could be read has been handed on
    told: bool = False  # what the last Raw said: caught up
    held: bool = False  # ahead of the slowest: hands nothing on
    done: bool = False  # everything up to `end` has been handed on
    awaited: bool = False  # it is fetched anew, and nothing has come yet
    unproven: bool = False  # reading has begun at `proof`, which has not come yet
    reached: int = 0  # how far it had been read when it was assigned: markers of transactions behind the last record
    stalled: bool = False  # the process stood still, and its end has not been found again
    floor_ms: int = NO_TIME  # where event time stood when it began to lag for an outage alone
    unheard: tuple[News, ...] = ()  # errors behind the records handed on last

    @property
    def place(self) -> Place:
        """Where a later run goes on."""
        return Place(max(self.fetched, self.reached), self.proof)

    @property
    def ends(self) -> bool:
        """Whether all up to its end has been handed on, and is known to be of the log that was read before."""
        if self.end is None or self.unproven:
            return False
        return self.fetched > self.end or (self.fetched == self.end and self.at_end)

    def begin(self) -> int:
        """Reading (re)starts; the offset of the first record to fetch: the last one handed on, where that is known."""
        self.unproven = self.proof is not None
        self.reached = max(self.reached, self.fetched)
        if self.proof is not None:
            self.fetched = self.proof.offset + 1
        self.awaited = True
        return self.fetched - self.unproven

    def wanted(self, batch: Batch) -> Batch:
        """The records of `batch` that have not been handed on yet, up to the partition's end."""
        first, last = 0, len(batch)
        if batch.offsets[0] < self.fetched:
            first = int(np.searchsorted(batch.offsets, self.fetched))
        if self.end is not None and batch.offsets[-1] >= self.end:
            last = int(np.searchsorted(batch.offsets, self.end))
        if first < last:
            self.proof = proof_of(batch, last - 1)
        if first < len(batch):
            self.fetched = int(batch.offsets[-1]) + 1
        return batch.between(first, max(first, last))
