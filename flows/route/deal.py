"""Deals the rows of a poll, and the facts that some of its events carry, out to the shards."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.messages.columns import Columns
from flows.messages.delivery import Delivery


def deliveries(poll: Columns, shards: int) -> list[Delivery]:
    """What each shard gets of a poll; one of them books what the poll consumed, by the poll's partition."""
    header = poll.without_rows()
    rows = deal(poll.rows, "user", shards)
    facts: list[dict[str, NDArray[Any]]] = [{} for _ in range(shards)]
    for kind, carried in poll.facts.items():
        for shard, part in enumerate(deal(carried, "key", shards)):
            if len(part):
                facts[shard][kind] = part
    own = poll.partition % shards
    return [Delivery(header, rows[shard], facts[shard], shard == own) for shard in range(shards)]


def deal(rows: NDArray[Any], key: str, shards: int) -> list[NDArray[Any]]:
    """`rows` (of any record dtype) for each shard, in the order given: shard = the u64 field `key` modulo `shards`."""
    dealt = np.empty_like(rows)
    ends = np.zeros(shards, np.int64)
    _deal(rows, rows[key], dealt, np.empty(len(rows), np.uint8), ends, np.zeros(shards, np.int64))
    return [dealt[start:end] for start, end in pairwise([0, *ends.tolist()])]


@compiled
def _deal(
    rows: NDArray[Any],
    keys: NDArray[np.uint64],
    dealt: NDArray[Any],
    owners: NDArray[np.uint8],
    ends: NDArray[np.int64],
    place: NDArray[np.int64],
) -> None:
    """Write `rows` to `dealt` by shard, keeping their order within one (a counting sort); `ends` get each one's end."""
    shards = np.uint64(len(ends))
    for i in range(len(keys)):
        owner = keys[i] % shards
        owners[i] = owner
        ends[owner] += 1
    for shard in range(1, len(ends)):
        place[shard] = place[shard - 1] + ends[shard - 1]
    for i in range(len(keys)):
        shard = owners[i]
        dealt[place[shard]] = rows[i]
        place[shard] += 1
    for shard in range(len(ends)):
        ends[shard] = place[shard]
