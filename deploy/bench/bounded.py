"""Whether memory stays within what the limits say: 1 million tickets and 10 million orders through two families.

Each family gets the rows of one shard in batches, as it would from Kafka. Tickets are bounded by
`limits.tickets_per_shard`; orders by the users of the shard and by the ids that came within `orders.dedup`. Prints
bytes, and ends with 1 where a bound does not hold.

    python -m deploy.bench.bounded
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.config.limits import Limits
from flows.config.model import Config
from flows.config.tickets import CREATED
from flows.metrics.family import Family
from flows.metrics.minutes import MinuteBook
from flows.metrics.orders import Orders
from flows.metrics.tickets import Tickets
from flows.state.container import containers

START: Final = 1_772_442_000_000  # 2026-03-02T09:00:00Z
BATCH: Final = 8192
TICKETS, TICKETS_KEPT = 1_000_000, 50_000
ORDERS, USERS, APART_MS = 10_000_000, 100_000, 100
DEDUP_MS: Final = 3_600_000
WINDOWS: Final[dict[str, Any]] = {"windows": ["24h", "30d"], "ratio_windows": []}


def main() -> int:
    """Both families, one after the other."""
    return int(not (tickets() and orders()))


def tickets() -> bool:
    """Tickets that nobody ever resolves, one a second."""
    config = Config.model_validate({"tickets": {}, **WINDOWS})
    family = Tickets(config, Limits(tickets_per_shard=TICKETS_KEPT))
    assert family.takes is not None
    most = 0
    for number in batches(TICKETS):
        rows = np.zeros(len(number), family.takes.dtype)
        rows["key"] = number + 1
        rows["what"] = CREATED
        rows["ts"] = rows["used"] = START + number * 1000
        family.advance(rows, 0, int(rows["ts"][-1]) + 1)
        most = max(most, len(family.tickets))
    bounded = most <= TICKETS_KEPT and family.tickets.capacity <= 2 * TICKETS_KEPT
    print(f"tickets: {TICKETS:,} came, {most:,} kept at most, {bytes_of(family):,} bytes, bounded: {bounded}")
    return bounded


def orders() -> bool:
    """Orders of users in turn, each with an id of its own."""
    config = Config.model_validate({"orders": {"dedup": "1h"}, **WINDOWS})
    book = MinuteBook(config)
    family = Orders(config, book)
    assert family.takes is not None
    for container in containers(family).values():
        container.resize(USERS)
    most = 0
    for number in batches(ORDERS):
        rows = np.zeros(len(number), family.takes.dtype)
        rows["order"] = number + 1
        rows["slot"] = number % USERS
        rows["amount"] = 1000
        rows["ts"] = rows["used"] = START + number * APART_MS
        until = int(rows["ts"][-1]) + 1
        book.turn(until)
        family.advance(rows, USERS, until)
        most = max(most, len(family.counted.ids.keys))
    # Of each user the ids within `dedup` before the latest order, in a table at most half full, which then doubles.
    needed = USERS * (1 + DEDUP_MS // (USERS * APART_MS)) + BATCH
    bounded = most <= 8 * needed
    print(f"orders: {ORDERS:,} came, room for {most:,} ids at most, {bytes_of(family):,} bytes, bounded: {bounded}")
    return bounded


def batches(count: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of what comes together."""
    for first in range(0, count, BATCH):
        yield np.arange(first, min(first + BATCH, count))


def bytes_of(family: Family) -> int:
    """Of all arrays that the family keeps."""
    return sum(
        array.nbytes for container in containers(family).values() for array in arrays_in(vars(container).values())
    )


def arrays_in(values: Any) -> Iterator[NDArray[Any]]:
    """Arrays, also in the tuples that kernels take."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple):
            yield from arrays_in(value)


if __name__ == "__main__":
    sys.exit(main())
