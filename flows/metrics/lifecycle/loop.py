"""What events and time do to the users' lifecycle: the loops of `Lifecycle`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.metrics.family import Split, group_of
from flows.metrics.lifecycle.cells import LOST, LOST_INSIDE, MOVES, NEW, RESURRECTED
from flows.metrics.minutes import Page, note
from flows.state.deadlines import PASSED, Times, overdue, schedule
from flows.state.windows import Ring, add, move

UNSEEN, ALIVE, CHURNED = range(3)
"""What has become of a user."""

LIFE: Final = np.dtype(
    [
        ("dims", "u8"),  # breakdown codes of the latest event
        ("came", "i8"),  # when the user was last new or resurrected, ms
        ("stage", "u1"),  # one of the three above
    ]
)
FIELDS: Final = len(MOVES)


class Ledger(NamedTuple):
    """What the kernel writes to."""

    churns_at: Times  # last event + churn_after, when that has passed, too
    users: NDArray[Any]  # dtype LIFE, by slot
    since_start: NDArray[np.int64]  # new, resurrected, lost since the beginning
    windows: Ring
    page: Page
    new_users: int  # column


@steady
def use_events(
    rows: NDArray[Any], now: int, churn_after: int, shows_presence: NDArray[np.bool_], ledger: Ledger, split: Split
) -> None:
    """Let `rows` (HELD, in order) bring users and keep them, let those churn who are due, and stand at `now` (ms)."""
    move(ledger.windows, now)
    for i in range(len(rows)):
        prefetch(ledger.churns_at.at, upcoming(rows, i))
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        if not shows_presence[row["code"]]:
            continue
        ts = row["ts"]
        slot = row["slot"]
        user = ledger.users[slot]
        if user["stage"] == CHURNED and ts <= ledger.churns_at.at[slot] - PASSED:
            ledger.churns_at.at[slot] -= PASSED
            _churn(ledger, split, slot, -1)
            user["stage"] = ALIVE
        if user["stage"] == ALIVE and ts > ledger.churns_at.at[slot]:
            _churn(ledger, split, slot, 1)
            user["stage"] = CHURNED
        user["dims"] = row["dims"]
        if user["stage"] != ALIVE:
            transition = NEW if user["stage"] == UNSEEN else RESURRECTED
            user["stage"] = ALIVE
            user["came"] = ts
            ledger.since_start[transition] += 1
            _book(ledger.windows, split, user["dims"], ts, transition, 1)
            if transition == NEW:
                note(ledger.page, ts, ledger.new_users, 1)
        schedule(ledger.churns_at, slot, ts + churn_after)
    for block in range(len(ledger.churns_at.soonest)):
        for i in range(overdue(ledger.churns_at, now, block)):
            slot = ledger.churns_at.due[i]
            _churn(ledger, split, slot, 1)
            ledger.users[slot]["stage"] = CHURNED
            ledger.churns_at.at[slot] += PASSED


@inlined
def _churn(ledger: Ledger, split: Split, slot: int, amount: int) -> None:
    """Book that a user churns (amount 1), or take it back (-1), as a late event shows that it was not so."""
    user = ledger.users[slot]
    ledger.since_start[LOST] += amount
    _book(ledger.windows, split, user["dims"], ledger.churns_at.at[slot], LOST, amount)
    _book(ledger.windows, split, user["dims"], user["came"], LOST_INSIDE, amount)


@inlined
def _book(ring: Ring, split: Split, dims: int, at: int, field: int, amount: int) -> None:
    for d in range(len(split.base)):
        add(ring, at, group_of(split, d, dims) * FIELDS + field, amount)
