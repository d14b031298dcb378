"""What is booked once a state applies: movements of MRR, who pays for what, and a loss that is taken back."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.metrics.subscriptions.cells import (
    CHURNED,
    CHURNED_INSIDE,
    CONTRACTION,
    EXPANSION,
    KINDS,
    NEW,
    REACTIVATED,
)
from flows.metrics.subscriptions.terms import STATUSES
from flows.state.agenda import Plan
from flows.state.table import Entries, known_row, row_of
from flows.state.windows import Ring, add

NOT_COUNTED: Final = -1
COUNTER_OF: Final = np.array([5, NOT_COUNTED, NOT_COUNTED, 6, 7], np.int64)
"""By movement: the counter of its customers."""

ACTIVE_STATUS, PAST_DUE = STATUSES.index("active"), STATUSES.index("past_due")
ENDED: Final = STATUSES.index("cancelled")
"""This status and those after it have ended."""

CUSTOMER: Final = np.dtype([("mrr", "i8"), ("paid", "u1"), ("moved_last", "i4"), ("came", "i8")])
"""One customer: minor units a month, whether that has ever been above 0, 1 + the row of the subscription that changed
it last (0: it cannot be taken back), and when it was last new or reactivated (ms)."""

LAST_MOVE: Final = np.dtype([("at", "i8"), ("before", "u1"), ("after", "u1"), ("known", "u1"), ("lost", "u1")])
"""The last change of plan of one customer: when (ms), from and to which plan; and 1 while a churn counts after it."""

ON_PLAN: Final = np.dtype([("paying", "i4")])
"""One customer on one plan: its subscriptions with MRR > 0."""

SUBSCRIPTION: Final = np.dtype(
    [
        ("customer", "i4"),  # row
        ("lost_plan", "u1"),
        ("lost", "i8"),  # what it paid, on that plan, before the state that has ended that; 0: something came after it
        ("applied", "u1"),  # a state has applied, and the fields down to `offset` are of that state
        ("plan", "u1"),
        ("status", "u1"),
        ("cancelling", "u1"),
        ("mrr", "i8"),
        ("effective", "i8"),
        ("sequence", "i8"),
        ("ts", "i8"),
        ("partition", "i8"),
        ("offset", "i8"),
        ("pending", "u1"),  # a state is pending, and the fields below are its own
        ("next_plan", "u1"),
        ("next_status", "u1"),
        ("next_cancelling", "u1"),
        ("next_mrr", "i8"),
        ("next_effective", "i8"),
        ("next_sequence", "i8"),
        ("next_replaces", "u8"),
        ("next_ts", "i8"),
        ("next_partition", "i8"),
        ("next_offset", "i8"),
    ]
)

ACTIVE, PENDING, STALE, REFUSED, CUSTOMERS, MRR = range(6)
"""What is counted without a window: subscriptions active and pending, states stale and refused, customers who pay and
what they pay (minor units a month)."""

PLAN_BITS: Final = np.uint64(8)


class Places(NamedTuple):
    """Where the counters of a window stand: movements of everybody, of each plan, what moved, what was requested."""

    plans: int
    moved_in: int  # of plan 0
    moved_out: int
    requested: int
    pairs: NDArray[np.int64]  # (plans, plans): the counter of a pair, -1 when it is not told apart
    told_apart: int  # how many pairs are; as many counters follow, of customers who churn after such a change
    horizon: int  # how long after a change a churn still counts, ms


class Books(NamedTuple):
    """What the kernel reads and writes."""

    customers: Entries
    on_plan: Entries
    subscriptions: Entries
    moves: Entries  # dtype LAST_MOVE, by customer
    agenda: Plan
    windows: Ring
    since_start: NDArray[np.int64]
    present: NDArray[np.int64]  # ACTIVE, PENDING, STALE, REFUSED, CUSTOMERS, MRR
    by_plan: NDArray[np.int64]  # (plans, 2): customers paying for it, and what they pay
    places: Places


@inlined
def _book(books: Books, at: Number, counter: Number, amount: Number) -> None:
    books.since_start[counter] += amount
    add(books.windows, at, counter, amount)


@inlined
def _pays(books: Books, customer: Number, plan: Number, change: Number, amount: Number) -> None:
    """The customer has `change` more paying subscriptions on `plan`, which pay `amount` more."""
    books.by_plan[plan, 1] += amount
    if change != 0:
        row = row_of(books.on_plan, (np.uint64(customer) << PLAN_BITS) | np.uint64(plan))
        before = books.on_plan.rows[row]["paying"]
        books.on_plan.rows[row]["paying"] = before + change
        books.by_plan[plan, 0] += np.int64(before + change > 0) - np.int64(before > 0)


@inlined
def take_back(books: Books, slot: Number, effective: Number) -> None:
    """Undo the loss of this subscription at `effective` (ms), if it is the last movement of its customer."""
    subscription = books.subscriptions.rows[slot]
    number = np.int64(subscription["customer"])
    customer = books.customers.rows[number]
    amount = subscription["lost"]
    if amount == 0 or subscription["effective"] != effective or customer["moved_last"] != slot + 1:
        return
    plan = np.int64(subscription["lost_plan"])
    movement = CHURNED if customer["mrr"] == 0 else CONTRACTION
    _book_movement(books, effective, movement, plan, -amount, -1, customer["came"])
    if movement == CHURNED:
        _take_back_after_move(books, number, effective)
    books.present[CUSTOMERS] += np.int64(customer["mrr"] == 0)
    books.present[MRR] += amount
    customer["mrr"] += amount
    customer["moved_last"] = 0
    _pays(books, number, plan, 1, amount)
    subscription["mrr"] = amount
    subscription["plan"] = plan
    subscription["lost"] = 0


@inlined
def _book_movement(
    books: Books, at: Number, movement: Number, plan: Number, amount: Number, customers: Number, came: Number
) -> None:
    """Book it in total and for its plan; a churn also as one of the window in which its customer `came`."""
    counted = COUNTER_OF[movement]
    for group in range(2):
        base = KINDS * (1 + plan) * group
        _book(books, at, base + movement, amount)
        if counted >= 0:
            _book(books, at, base + counted, customers)
        if movement == CHURNED:
            _book(books, min(at, came), base + CHURNED_INSIDE, customers)


@inlined
def _key_of(books: Books, customer: Number) -> Any:
    return books.customers.keys[customer]


@inlined
def _remember_move(books: Books, customer: Number, before: Number, after: Number, at: Number) -> None:
    """The customer goes from one plan to another at `at` (ms), unless a later change is known."""
    move = books.moves.rows[row_of(books.moves, _key_of(books, customer))]
    if move["known"] == 0 or at >= move["at"]:
        move["known"] = 1
        move["at"] = at
        move["before"] = before
        move["after"] = after
        move["lost"] = 0


@inlined
def _churn_after_move(books: Books, customer: Number, at: Number) -> None:
    """Count a churn at `at` (ms) by the last change of plan, if it comes soon after that."""
    row = known_row(books.moves, _key_of(books, customer))
    if row < 0:
        return
    move = books.moves.rows[row]
    pair = books.places.pairs[move["before"], move["after"]]
    move["lost"] = pair >= 0 and 0 <= at - move["at"] <= books.places.horizon
    if move["lost"]:
        _book(books, at, pair + books.places.told_apart, 1)


@inlined
def _take_back_after_move(books: Books, customer: Number, at: Number) -> None:
    row = known_row(books.moves, _key_of(books, customer))
    if row >= 0 and books.moves.rows[row]["lost"]:
        move = books.moves.rows[row]
        move["lost"] = 0
        _book(books, at, books.places.pairs[move["before"], move["after"]] + books.places.told_apart, -1)


@compiled
def apply(
    books: Books,
    slot: Number,
    plan: Number,
    status: Number,
    cancelling: Number,
    mrr: Number,
    effective: Number,
) -> None:
    """Let the subscription be as given from `effective` (ms) on, and book what comes of it."""
    subscription = books.subscriptions.rows[slot]
    places = books.places
    applied = subscription["applied"] != 0
    old_mrr = subscription["mrr"]
    old_plan = np.int64(subscription["plan"]) if applied or old_mrr > 0 else np.int64(plan)  # it may have taken over
    requested = cancelling != 0 and status < ENDED and not (applied and subscription["cancelling"] != 0)
    if requested:
        _book(books, effective, places.requested, 1)
    was_active = applied and subscription["status"] in (ACTIVE_STATUS, PAST_DUE)
    active = status in (ACTIVE_STATUS, PAST_DUE)
    books.present[ACTIVE] += np.int64(active) - np.int64(was_active)

    number = np.int64(subscription["customer"])
    customer = books.customers.rows[number]
    before = customer["mrr"]
    after = before - old_mrr + mrr
    customer["mrr"] = after
    books.present[MRR] += after - before
    books.present[CUSTOMERS] += np.int64(after > 0) - np.int64(before > 0)
    if old_mrr > 0 and mrr > 0 and old_plan != plan:
        _book(books, effective, places.moved_out + old_plan, old_mrr)
        _book(books, effective, places.moved_in + plan, old_mrr)
        pair = places.pairs[old_plan, plan]
        if pair >= 0:
            _book(books, effective, pair, old_mrr)
        if places.told_apart:
            _remember_move(books, number, old_plan, np.int64(plan), effective)
    if after != before:
        if before == 0:
            movement = REACTIVATED if customer["paid"] != 0 else NEW
        elif after == 0:
            movement = CHURNED
        elif after > before:
            movement = EXPANSION
        else:
            movement = CONTRACTION
        owner = old_plan if mrr == 0 else np.int64(plan)
        if before == 0:
            customer["came"] = effective
        _book_movement(books, effective, movement, owner, abs(after - before), 1, customer["came"])
        if movement == CHURNED:
            _churn_after_move(books, number, effective)
        customer["moved_last"] = slot + 1
    if after > 0:
        customer["paid"] = 1
    if old_plan == plan:
        _pays(books, number, np.int64(plan), np.int64(mrr > 0) - np.int64(old_mrr > 0), mrr - old_mrr)
    else:
        _pays(books, number, old_plan, -np.int64(old_mrr > 0), -old_mrr)
        _pays(books, number, np.int64(plan), np.int64(mrr > 0), mrr)

    if old_mrr > 0 and mrr == 0:
        subscription["lost"] = old_mrr
        subscription["lost_plan"] = old_plan
    elif mrr > 0 or subscription["effective"] != effective:
        subscription["lost"] = 0
    subscription["applied"] = 1
    subscription["plan"] = plan
    subscription["status"] = status
    subscription["cancelling"] = cancelling
    subscription["mrr"] = mrr
    subscription["effective"] = effective
