"""What a shard gets of each poll, as it goes from process to process.

The engine pickles what crosses. Of arrays of records pickle writes the whole layout beside each, and takes three times
as long over it as over the bytes; so a delivery is taken apart into numbers and its arrays' own memory. Facts
arrive as bytes: whoever reads a kind of them knows its layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.messages.columns import EVENT, NO_FACTS, NO_TIME, Columns, Facts


class Delivery(NamedTuple):
    """One shard's part of a poll. Every shard hears of every poll, for the clock."""

    poll: Columns  # without its rows and facts
    rows: NDArray[Any]  # dtype EVENT
    facts: Facts  # of the kind's dtype, or their bytes
    accounts: bool  # this shard books what the poll consumed

    def __reduce__(self) -> tuple[Callable[..., Delivery], tuple[Any, ...]]:
        poll = self.poll
        header = (
            poll.partition,
            poll.partitions,
            poll.clock_ms,
            poll.latest_ms,
            poll.consumed,
            poll.rejected.tobytes() if self.accounts else b"",  # nobody else reads it
            poll.excluded.tobytes() if self.accounts else b"",
            poll.caught_up,
            poll.monotonic_ms,
            poll.offsets if self.accounts else None,
        )
        facts = {kind: _memory(facts) for kind, facts in self.facts.items()}
        return _put_together, (header, _memory(self.rows), facts, self.accounts)


def lag_notice(delivery: Delivery) -> tuple[int, Delivery] | None:
    """For a delivery that leaves its partition lagging: the partition, and word of just that."""
    poll = delivery.poll
    if poll.caught_up:
        return None
    bare = replace(poll, clock_ms=NO_TIME, latest_ms=NO_TIME, consumed=0, rejected=_NO_COUNTS, excluded=_NO_COUNTS)
    return poll.partition, Delivery(bare, np.zeros(0, EVENT), NO_FACTS, False)


_NO_COUNTS = np.zeros(0, np.int64)


def _memory(rows: NDArray[Any]) -> bytearray:
    """A copy of the rows' bytes, which stays writable when it arrives."""
    return bytearray(rows.view(np.uint8).data) if len(rows) else bytearray()


def _put_together(
    header: tuple[int, int, int, int, int, bytes, bytes, bool, int | None, tuple[int, int] | None],
    rows: bytearray,
    facts: dict[str, bytearray],
    accounts: bool,
) -> Delivery:
    partition, partitions, clock_ms, latest_ms, consumed, rejected, excluded, caught_up, monotonic_ms, offsets = header
    poll = Columns(
        partition=partition,
        partitions=partitions,
        rows=np.zeros(0, EVENT),
        clock_ms=clock_ms,
        latest_ms=latest_ms,
        consumed=consumed,
        rejected=np.frombuffer(rejected, np.int64) if rejected else _NO_COUNTS,
        excluded=np.frombuffer(excluded, np.int64) if excluded else _NO_COUNTS,
        caught_up=caught_up,
        monotonic_ms=monotonic_ms,
        offsets=offsets,
    )
    return Delivery(
        poll,
        np.frombuffer(rows, EVENT),
        {kind: np.frombuffer(memory, np.uint8) for kind, memory in facts.items()},
        accounts,
    )
