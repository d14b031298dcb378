"""What transitions do to tickets: the loop of `Tickets`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.config.tickets import CREATED, ESCALATED, REOPENED, RESOLVED
from flows.metrics.family import Split, group_of
from flows.metrics.histograms import LONG_BOUNDS_S, bucket_of
from flows.metrics.tickets.cells import (
    BUCKETS,
    COUNTERS,
    CREATED_ESCALATED,
    RESOLUTION_MS,
    TIMED,
    UNKNOWN,
)
from flows.state.table import Entries, row_of
from flows.state.windows import Ring, add, move

UNSEEN, OPEN, DONE = range(3)
"""What a ticket is; one that was never seen created is OPEN until it is resolved."""

STATE: Final = np.dtype(
    [
        ("created", "i8"),  # ms; of a ticket that was seen created
        ("last", "i8"),  # the time of its latest transition, ms
        ("dims", "u8"),  # breakdown codes of its creation
        ("stage", "u1"),
        ("known", "u1"),  # it was seen created
        ("escalated", "u1"),
    ]
)
FORGET_MS: Final = 30 * 86_400_000
"""A ticket that was resolved longer ago than this is as one never seen."""


class Ledger(NamedTuple):
    """What the loop writes to."""

    tickets: Entries  # dtype STATE, by the hash of the ticket's id
    windows: Ring
    open: NDArray[np.int64]  # by group


@steady
def use_transitions(rows: NDArray[Any], now: int, unknown: np.uint64, ledger: Ledger, split: Split) -> None:
    """Let `rows` (the fact's dtype, by `used`) happen to their tickets, and stand at `now`.

    `unknown`: the breakdown codes of a ticket that was never seen created. There must be room for new tickets.
    """
    move(ledger.windows, now)
    for i in range(len(rows)):
        row = rows[i]
        ts = row["ts"]
        what = row["what"]
        ticket = ledger.tickets.rows[row_of(ledger.tickets, row["key"])]
        if ticket["stage"] != UNSEEN and ts < ticket["last"]:
            continue  # out of order for its ticket
        if ticket["stage"] == UNSEEN or is_forgotten(ticket, ts):
            ticket["stage"] = OPEN
            ticket["known"] = 0
            ticket["escalated"] = 0
            ticket["dims"] = unknown
        ticket["last"] = ts
        if what == CREATED:
            _create(ticket, ts, row["dims"], ledger, split)
        elif what == ESCALATED:
            _escalate(ticket, ts, ledger, split)
        elif what == RESOLVED and ticket["stage"] == OPEN:
            _resolve(ticket, ts, ledger, split)
        elif what == REOPENED and ticket["stage"] == DONE:
            ticket["stage"] = OPEN
            if ticket["known"]:
                _count(ledger, split, ticket["dims"], ts, REOPENED, 1)
                _stand(ledger, split, ticket["dims"], 1)


@inlined
def is_forgotten(ticket: Any, ts: int) -> bool:
    """Whether nothing is known any more at `ts` of a ticket that was resolved."""
    return bool(ticket["stage"] == DONE and ts - ticket["last"] > FORGET_MS)


@inlined
def _create(ticket: Any, ts: int, dims: Any, ledger: Ledger, split: Split) -> None:
    if ticket["known"] and ticket["stage"] == OPEN:
        return
    if ticket["known"]:
        ticket["escalated"] = 0  # another ticket with the same id
    ticket["known"] = 1
    ticket["stage"] = OPEN
    ticket["created"] = ts
    ticket["dims"] = dims
    _count(ledger, split, dims, ts, CREATED, 1)
    _stand(ledger, split, dims, 1)
    if ticket["escalated"]:
        _count(ledger, split, dims, ts, CREATED_ESCALATED, 1)


@inlined
def _escalate(ticket: Any, ts: int, ledger: Ledger, split: Split) -> None:
    if ticket["escalated"]:
        return
    ticket["escalated"] = 1
    _count(ledger, split, ticket["dims"], ts, ESCALATED, 1)
    if ticket["known"]:
        _count(ledger, split, ticket["dims"], ticket["created"], CREATED_ESCALATED, 1)
    else:
        _count(ledger, split, ticket["dims"], ts, UNKNOWN, 1)


@inlined
def _resolve(ticket: Any, ts: int, ledger: Ledger, split: Split) -> None:
    dims = ticket["dims"]
    ticket["stage"] = DONE
    _count(ledger, split, dims, ts, RESOLVED, 1)
    if not ticket["known"]:
        _count(ledger, split, dims, ts, UNKNOWN, 1)
        return
    _stand(ledger, split, dims, -1)
    needed = ts - ticket["created"]
    _count(ledger, split, dims, ts, TIMED, 1)
    _count(ledger, split, dims, ts, RESOLUTION_MS, needed)
    bucket = bucket_of(LONG_BOUNDS_S, needed)
    if bucket < len(LONG_BOUNDS_S):
        _count(ledger, split, dims, ts, BUCKETS + bucket, 1)


@inlined
def _count(ledger: Ledger, split: Split, dims: Any, ts: int, counter: int, amount: int) -> None:
    for d in range(len(split.base)):
        add(ledger.windows, ts, group_of(split, d, dims) * COUNTERS + counter, amount)


@inlined
def _stand(ledger: Ledger, split: Split, dims: Any, change: int) -> None:
    for d in range(len(split.base)):
        ledger.open[group_of(split, d, dims)] += change
