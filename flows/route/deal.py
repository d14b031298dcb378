"""Deals the rows of a poll out to shards by a key's hash, in the order read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.messages.columns import NO_STATES, Columns


def route_states(poll: Columns, shards: int) -> list[NDArray[Any]]:
    """The states of `poll` for each shard, in the order read: shard = customer hash modulo `shards`."""
    if not len(poll.states):
        return [NO_STATES] * shards
    owners = poll.states["customer"] % np.uint64(shards)
    dealt = poll.states[np.argsort(owners, kind="stable")]
    ends = np.cumsum(np.bincount(owners.astype(np.int64), minlength=shards))
    return [dealt[start:end] for start, end in pairwise([0, *ends.tolist()])]


def route(poll: Columns, shards: int) -> list[NDArray[Any]]:
    """The rows of `poll` for each shard, in the order read: shard = user hash modulo `shards`."""
    dealt = np.empty_like(poll.rows)
    ends = np.zeros(shards, np.int64)
    _deal(poll.rows, dealt, ends, np.zeros(shards, np.int64))
    return [dealt[start:end] for start, end in pairwise([0, *ends.tolist()])]


@compiled
def _deal(rows: NDArray[Any], dealt: NDArray[Any], ends: NDArray[np.int64], place: NDArray[np.int64]) -> None:
    """Write `rows` to `dealt` by shard, keeping their order within one (a counting sort); `ends` get each one's end."""
    shards = np.uint64(len(ends))
    for row in rows:
        ends[row["user"] % shards] += 1
    for shard in range(1, len(ends)):
        place[shard] = place[shard - 1] + ends[shard - 1]
    for row in rows:
        shard = row["user"] % shards
        dealt[place[shard]] = row
        place[shard] += 1
    for shard in range(len(ends)):
        ends[shard] = place[shard]
