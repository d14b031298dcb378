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
    rows = deal(poll.rows, shards)
    facts: list[dict[str, NDArray[Any]]] = [{} for _ in range(shards)]
    for kind, carried in poll.facts.items():
        for shard, part in enumerate(deal_facts(carried, shards)):
            if len(part):
                facts[shard][kind] = part
    own = poll.partition % shards
    return [Delivery(header, rows[shard], facts[shard], shard == own) for shard in range(shards)]


def deal(rows: NDArray[Any], shards: int) -> list[NDArray[Any]]:
    """`rows` (dtype EVENT) for each shard, in the order given: shard = user modulo `shards`."""
    dealt = np.empty_like(rows)
    ends = np.zeros(shards, np.int64)
    _deal(rows, dealt, np.empty(len(rows), np.uint8), ends, np.zeros(shards, np.int64))
    return [dealt[start:end] for start, end in pairwise([0, *ends.tolist()])]


def deal_facts(facts: NDArray[Any], shards: int) -> list[NDArray[Any]]:
    """The same for facts of any kind, by their field `key`; they are few, and a loop for each kind takes a while to
    compile.
    """
    owners = (facts["key"] % np.uint64(shards)).astype(np.uint8)
    dealt = facts.take(np.argsort(owners, kind="stable"))
    ends = np.cumsum(np.bincount(owners, minlength=shards))
    return [dealt[start:end] for start, end in pairwise([0, *ends.tolist()])]


@compiled
def _deal(
    rows: NDArray[Any],
    dealt: NDArray[Any],
    owners: NDArray[np.uint8],
    ends: NDArray[np.int64],
    place: NDArray[np.int64],
) -> None:
    """Write `rows` to `dealt` by shard, keeping their order within one (a counting sort); `ends` get each one's end."""
    shards = np.uint64(len(ends))
    for i in range(len(rows)):
        owner = rows[i]["user"] % shards
        owners[i] = owner
        ends[owner] += 1
    for shard in range(1, len(ends)):
        place[shard] = place[shard - 1] + ends[shard - 1]
    for i in range(len(rows)):
        shard = owners[i]
        dealt[place[shard]] = rows[i]
        place[shard] += 1
    for shard in range(len(ends)):
        ends[shard] = place[shard]
