"""What events and time do to the users of a milestone: the loops of `Milestones`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.messages.columns import NEVER
from flows.metrics.family import Split, group_of
from flows.metrics.histograms import LONG_BOUNDS_S, bucket_of
from flows.metrics.milestones.cells import (
    BUCKETS,
    FIELDS,
    MISSED,
    PENDING,
    REACH_MS,
    REACHED,
    STARTED,
)
from flows.state.deadlines import PASSED, Times, overdue, schedule
from flows.state.queue import Heap, due, pop, push
from flows.state.windows import PANES, Ring, add, move

FROM, TO = 1, 2
"""Bits: the event starts users, the event lets them reach the milestone."""
NOT_STARTED, UNDER_WAY, OVERDUE, ARRIVED = range(4)
"""What has become of a user."""

START: Final = np.dtype(
    [
        ("dims", "u8"),  # breakdown codes of the event that started
        ("stage", "u1"),  # one of the four above; it began at `misses_at - within`
    ]
)
OF_ALL, OF_REACHED = range(2)  # counters of those whose time is up


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them."""

    within: int  # ms
    at_once: bool  # the event that starts a user may be the one that reaches
    matches: NDArray[np.uint8]  # by event code: FROM and TO


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype START, by slot
    misses_at: Times  # start + within while under way; when that has passed, too
    arrived: Heap  # start + within and dims of those who have reached it before their time was up
    windows: Ring
    matured: Ring  # stands `within` behind
    under_way: Ring  # over `within`: who has not reached it
    by_age: Ring  # over `within`: who has, by age


@steady
def use_events(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Let `rows` (HELD) start users and reach the milestone, let those miss it who are due, and stand at `now`."""
    move(ledger.windows, now)
    move(ledger.matured, now - rules.within)
    move(ledger.under_way, now)
    move(ledger.by_age, now)
    for i in range(len(rows)):
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        event = rules.matches[row["code"]]
        if event == 0:
            continue
        slot = row["slot"]
        user = ledger.users[slot]
        reaches = event & TO != 0 and user["stage"] in (UNDER_WAY, OVERDUE)
        if user["stage"] == NOT_STARTED and event & FROM:
            user["dims"] = row["dims"]
            user["stage"] = UNDER_WAY
            schedule(ledger.misses_at, slot, row["ts"] + rules.within)
            _book(ledger.windows, split, user["dims"], row["ts"], STARTED, 1)
            _book(ledger.windows, split, user["dims"], row["ts"], PENDING, 1)
            for d in range(len(split.base)):
                add(ledger.under_way, row["ts"], group_of(split, d, user["dims"]), 1)
            reaches = rules.at_once and event & TO != 0
        if reaches:
            misses_at = ledger.misses_at.at[slot] - (PASSED if user["stage"] == OVERDUE else 0)
            if row["ts"] <= misses_at:
                _reach(user, misses_at, row["ts"], rules, ledger, split)
                ledger.misses_at.at[slot] = NEVER
    for block in range(len(ledger.misses_at.soonest)):
        for i in range(overdue(ledger.misses_at, now, block)):
            slot = ledger.misses_at.due[i]
            user = ledger.users[slot]
            start = ledger.misses_at.at[slot] - rules.within
            user["stage"] = OVERDUE
            _book(ledger.windows, split, user["dims"], start, PENDING, -1)
            _book(ledger.windows, split, user["dims"], start, MISSED, 1)
            _mature(ledger.matured, split, user["dims"], start, OF_ALL)
            ledger.misses_at.at[slot] += PASSED
    while due(ledger.arrived, now):
        pop(ledger.arrived)
        start = ledger.arrived.top[0] - rules.within
        _mature(ledger.matured, split, ledger.arrived.top[1], start, OF_ALL)
        _mature(ledger.matured, split, ledger.arrived.top[1], start, OF_REACHED)


@inlined
def _reach(user: Any, misses_at: int, ts: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book that `user` reaches the milestone at `ts`; one who has missed it by what was known had not."""
    start = misses_at - rules.within
    dims = user["dims"]
    bucket = bucket_of(LONG_BOUNDS_S, ts - start)
    age = min(PANES - 1, ts * PANES // rules.within - start * PANES // rules.within)
    _book(ledger.windows, split, dims, start, REACHED, 1)
    _book(ledger.windows, split, dims, start, MISSED if user["stage"] == OVERDUE else PENDING, -1)
    _book(ledger.windows, split, dims, start, REACH_MS, ts - start)
    if bucket < len(LONG_BOUNDS_S):
        _book(ledger.windows, split, dims, start, BUCKETS + bucket, 1)
    for d in range(len(split.base)):
        group = group_of(split, d, dims)
        add(ledger.under_way, start, group, -1)
        add(ledger.by_age, start, group * PANES + age, 1)
    if user["stage"] == OVERDUE:
        _mature(ledger.matured, split, dims, start, OF_REACHED)
    else:
        place = push(ledger.arrived, misses_at)
        ledger.arrived.rows[place, 1] = np.int64(dims)
    user["stage"] = ARRIVED


@inlined
def _book(ring: Ring, split: Split, dims: int, start: int, field: int, amount: int) -> None:
    for d in range(len(split.base)):
        add(ring, start, group_of(split, d, dims) * FIELDS + field, amount)


@inlined
def _mature(ring: Ring, split: Split, dims: int, start: int, field: int) -> None:
    for d in range(len(split.base)):
        add(ring, start, group_of(split, d, dims) * 2 + field, 1)
