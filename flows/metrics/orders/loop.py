"""How orders are counted, and when customers lapse: the loops of the families; the rules are at the package's head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined, steady
from flows.messages.columns import NEVER, NO_TIME
from flows.metrics.days import Calendar, note_on_day
from flows.metrics.family import Split, group_of
from flows.state.deadlines import PASSED, Times, overdue, schedule
from flows.state.pairs import TIME, Latest, position
from flows.state.remembered import Ids, is_copy
from flows.state.windows import Ring, add, move

COMPLETED, REVENUE, FIRST, REPEAT, BUYERS = range(5)
"""Counters of a group."""
FIELDS: Final = 5
LAPSED, RESUMED = range(2)
"""Counters of customers who lapse, and who order again after that."""
LAPSES: Final = 2
RETURNED, RETURNED_AMOUNT = range(2)
RETURN_FIELDS: Final = 2


class Ledger(NamedTuple):
    """What the loop of orders writes to."""

    counted: Ids
    lapses_at: Times  # latest order + lapse_after, when that has passed, too; NEVER: no order yet
    ordered: Latest  # when users last ordered, by the group that the order was in
    windows: Ring
    since_start: NDArray[np.int64]  # (groups x FIELDS,)
    lapsed: Ring
    active: NDArray[np.int64]  # (1,) customers who have not lapsed
    days: Calendar
    day: int  # column of the days: orders; revenue follows


@steady
def use_orders(rows: NDArray[Any], now: int, dedup: int, lapse_after: int, ledger: Ledger, split: Split) -> None:
    """Count `rows` (each user's in order of time), and stand at `now` (ms)."""
    move(ledger.windows, now)
    move(ledger.lapsed, now)
    for row in rows:
        slot, ts = row["slot"], row["ts"]
        if is_copy(ledger.counted, row["order"], slot, ts, dedup):
            continue
        kind = FIRST if ledger.lapses_at.at[slot] == NEVER else REPEAT
        _stay(ledger, slot, ts)
        schedule(ledger.lapses_at, slot, ts + lapse_after)
        note_on_day(ledger.days, ts, row["clock"], ledger.day, 1)
        note_on_day(ledger.days, ts, row["clock"], ledger.day + 1, row["amount"])
        for d in range(len(split.base)):
            group = group_of(split, d, row["dims"])
            _book(ledger, group, COMPLETED, ts, 1)
            _book(ledger, group, REVENUE, ts, row["amount"])
            _book(ledger, group, kind, ts, 1)
            at = position(ledger.ordered, slot, group)
            before = ledger.ordered.entries[at, TIME]
            if before == NO_TIME:
                ledger.since_start[group * FIELDS + BUYERS] += 1
            else:
                add(ledger.windows, before, group * FIELDS + BUYERS, -1)
            add(ledger.windows, ts, group * FIELDS + BUYERS, 1)
            ledger.ordered.entries[at, TIME] = ts
    for block in range(len(ledger.lapses_at.soonest)):
        for i in range(overdue(ledger.lapses_at, now, block)):
            _lapse(ledger, ledger.lapses_at.due[i])


@inlined
def _book(ledger: Ledger, group: int, field: int, ts: int, amount: int) -> None:
    add(ledger.windows, ts, group * FIELDS + field, amount)
    ledger.since_start[group * FIELDS + field] += amount


@inlined
def _stay(ledger: Ledger, slot: int, ts: int) -> None:
    """The user of `slot` is an active customer from an order at `ts` on; a lapse after that is taken back."""
    at = ledger.lapses_at.at[slot]
    if at >= PASSED and ts <= at - PASSED:
        add(ledger.lapsed, at - PASSED, LAPSED, -1)
    elif at != NEVER and ts > at % PASSED:
        if at < NEVER:
            _lapse(ledger, slot)
        add(ledger.lapsed, ts, RESUMED, 1)
    if ledger.lapses_at.at[slot] >= NEVER:
        ledger.active[0] += 1


@inlined
def _lapse(ledger: Ledger, slot: int) -> None:
    ledger.active[0] -= 1
    add(ledger.lapsed, ledger.lapses_at.at[slot], LAPSED, 1)
    ledger.lapses_at.at[slot] += PASSED


@compiled
def use_returns(
    rows: NDArray[Any],
    ids: NDArray[np.uint64],
    amounts: NDArray[np.int64],
    now: int,
    dedup: int,
    counted: Ids,
    windows: Ring,
    since_start: NDArray[np.int64],
    split: Split,
) -> None:
    """Count refunds or cancellations, each with the id that makes it a copy of another, and stand at `now` (ms)."""
    move(windows, now)
    for i in range(len(rows)):
        row = rows[i]
        if is_copy(counted, ids[i], row["slot"], row["ts"], dedup):
            continue
        for d in range(len(split.base)):
            at = group_of(split, d, row["dims"]) * RETURN_FIELDS
            add(windows, row["ts"], at + RETURNED, 1)
            add(windows, row["ts"], at + RETURNED_AMOUNT, amounts[i])
            since_start[at + RETURNED] += 1
            since_start[at + RETURNED_AMOUNT] += amounts[i]
