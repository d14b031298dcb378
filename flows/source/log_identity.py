"""Whether a partition's log is still the one that was read: an offset alone does not identify a record.

After an unclean leader election, or when a topic was deleted and made anew, other records may stand where those were
that have been counted. So reading remembers, beside the next offset, what one of the last records counted looked like
(`Proof`). Wherever reading begins, or begins again after any doubt, it begins with that record, which is compared and
not handed on:

    counted           ... 96 97 98 99 |
    read at first               98 99 | 100 101 ...
                                |
                                is it as remembered? then so is all before it

That holds since the leader's epoch and the offset together stand for all of a log up to there (KIP-101). Time and
content make sure where epochs begin anew, in a topic of the same name.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import NamedTuple

from flows.source.queues import Batch


class Proof(NamedTuple):
    """The last record that has been counted."""

    offset: int
    epoch: int  # of the leader that wrote it; -1: not known
    timestamp_ms: int
    checksum: int  # CRC-32 of its value

    def fits(self, found: Proof) -> bool:
        """Whether what now stands at its offset is the record itself."""
        known = self.epoch >= 0 and found.epoch >= 0
        return self[2:] == found[2:] and not (known and self.epoch != found.epoch)

    def text(self) -> str:
        """For the operator."""
        written = datetime.fromtimestamp(self.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return f"one of leader epoch {self.epoch} and {written}"


class Place(NamedTuple):
    """How far a partition has been read."""

    offset: int | None  # of the next record; None: not known yet
    proof: Proof | None = None  # None: nothing has been counted, or a checkpoint of an earlier version


def proof_of(batch: Batch, place: int) -> Proof:
    """A record of `batch`; its epoch is known of the first and the last."""
    epoch = {len(batch) - 1: batch.epochs[1], 0: batch.epochs[0]}.get(place, -1)
    value = batch.buffer[batch.bounds[place] : batch.bounds[place + 1]].tobytes()
    return Proof(int(batch.offsets[place]), epoch, int(batch.timestamps_ms[place]), zlib.crc32(value))
