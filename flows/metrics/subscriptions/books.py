"""What a state of a subscription does to the books: the loops of `Subscriptions`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined, steady
from flows.metrics.subscriptions.cells import CHURNED, CONTRACTION, EXPANSION, KINDS, NEW, REACTIVATED
from flows.metrics.subscriptions.fact import SEQUENCE
from flows.metrics.subscriptions.terms import STATUSES
from flows.state.agenda import Plan, falls_due, put, take
from flows.state.table import Entries, known_row, row_of
from flows.state.windows import Ring, add, move

NOT_COUNTED: Final = -1
COUNTER_OF: Final = np.array([5, NOT_COUNTED, NOT_COUNTED, 6, 7], np.int64)
"""By movement: the counter of its customers."""

ACTIVE_STATUS, PAST_DUE = STATUSES.index("active"), STATUSES.index("past_due")
ENDED: Final = STATUSES.index("cancelled")
"""This status and those after it have ended."""

CUSTOMER: Final = np.dtype([("mrr", "i8"), ("paid", "u1"), ("moved_last", "i4")])
"""One customer: minor units a month, whether that has ever been above 0, and 1 + the row of the subscription that
changed it last (0: it cannot be taken back)."""

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

AFTER_ALL: Final = SEQUENCE + 1
"""The sequence of the end that a successor brings: no state of the same `effective` comes after it."""

PLAN_BITS: Final = np.uint64(8)


class Places(NamedTuple):
    """Where the counters of a window stand: movements of everybody, of each plan, what moved, what was requested."""

    plans: int
    moved_in: int  # of plan 0
    moved_out: int
    requested: int
    pairs: NDArray[np.int64]  # (plans, plans): the counter of a pair, -1 when it is not told apart


class Books(NamedTuple):
    """What the kernel reads and writes."""

    customers: Entries
    on_plan: Entries
    subscriptions: Entries
    agenda: Plan
    windows: Ring
    since_start: NDArray[np.int64]
    present: NDArray[np.int64]  # ACTIVE, PENDING, STALE, REFUSED, CUSTOMERS, MRR
    by_plan: NDArray[np.int64]  # (plans, 2): customers paying for it, and what they pay
    places: Places


@steady
def pass_time(ring: Ring, now: int) -> None:
    """No state takes its turn."""
    move(ring, now)


@compiled
def use_states(states: NDArray[Any], now: int, most: int, books: Books) -> None:
    """Let `states` (in order of their turn) and the pending ones take their turn, and stand at `now` (ms); at most
    `most` subscriptions are known.
    """
    move(books.windows, now)
    for state in states:
        _apply_pending(books, state["used"])
        slot = _slot_of(books, state["subscription"], state["key"], most)
        if slot < 0:
            books.present[REFUSED] += 1
            continue
        subscription = books.subscriptions.rows[slot]
        if state["effective"] > state["used"]:
            _schedule(books, subscription, slot, state, most)
            continue
        newer = not (subscription["applied"] and _not_newer(state, subscription))
        if newer and subscription["effective"] == state["effective"] and subscription["sequence"] < state["sequence"]:
            _take_back(books, slot, state["effective"])  # a loss of no duration, as it was superseded at that moment
        if state["replaces"] != np.uint64(0):
            _replace(
                books,
                slot,
                newer,
                state["replaces"],
                state["plan"],
                state["effective"],
                state["ts"],
                state["partition"],
                state["offset"],
                most,
            )
        if not newer:
            books.present[STALE] += 1
            continue
        if state["status"] >= ENDED and _pending_issued_before(
            subscription, state["ts"], state["partition"], state["offset"]
        ):
            subscription["pending"] = 0
            books.present[PENDING] -= 1
        _apply(
            books,
            slot,
            state["plan"],
            state["status"],
            state["cancelling"],
            state["mrr"],
            state["effective"],
        )
        subscription["sequence"] = state["sequence"]
        subscription["ts"] = state["ts"]
        subscription["partition"] = state["partition"]
        subscription["offset"] = state["offset"]
    _apply_pending(books, now - 1)


@inlined
def _slot_of(books: Books, subscription: np.uint64, customer: np.uint64, most: Number) -> Number:
    """The row of the subscription, a new one when it is not known; -1 when there would be more than `most`."""
    slot = known_row(books.subscriptions, subscription)
    if slot < 0 and books.subscriptions.used[0] < most:
        slot = row_of(books.subscriptions, subscription)
        books.subscriptions.rows[slot]["customer"] = row_of(books.customers, customer)
    return slot


@inlined
def _before(
    ts: Number, partition: Number, offset: Number, other_ts: Number, other_partition: Number, other_offset: Number
) -> bool:
    """Whether the first event was issued before the other one."""
    if ts != other_ts:
        return bool(ts < other_ts)
    if partition != other_partition:
        return bool(partition < other_partition)
    return bool(offset < other_offset)


@inlined
def _pending_issued_before(subscription: Any, ts: Number, partition: Number, offset: Number) -> bool:
    """Whether a state is pending that was issued before that."""
    return bool(
        subscription["pending"]
        and _before(
            subscription["next_ts"], subscription["next_partition"], subscription["next_offset"], ts, partition, offset
        )
    )


@inlined
def _not_newer(state: Any, subscription: Any) -> bool:
    """Whether the state last applied is as new as `state`, or newer."""
    if subscription["effective"] != state["effective"]:
        return bool(subscription["effective"] > state["effective"])
    if subscription["sequence"] != state["sequence"]:
        return bool(subscription["sequence"] > state["sequence"])
    return not _before(
        subscription["ts"],
        subscription["partition"],
        subscription["offset"],
        state["ts"],
        state["partition"],
        state["offset"],
    )


@inlined
def _pending_is_newer(subscription: Any, state: Any) -> bool:
    """Whether a state is pending that `state`, which is ahead, does not take the place of."""
    if not subscription["pending"]:
        return False
    if subscription["next_effective"] == state["effective"] and subscription["next_sequence"] != state["sequence"]:
        return bool(subscription["next_sequence"] > state["sequence"])
    return not _pending_issued_before(subscription, state["ts"], state["partition"], state["offset"])


@inlined
def _schedule(books: Books, subscription: Any, slot: Number, state: Any, most: Number) -> None:
    """Make `state` the pending one of its subscription, unless it is stale."""
    stale = _pending_is_newer(subscription, state)
    if subscription["applied"] and subscription["status"] >= ENDED:
        stale |= not _before(
            subscription["ts"],
            subscription["partition"],
            subscription["offset"],
            state["ts"],
            state["partition"],
            state["offset"],
        )
    if stale:
        books.present[STALE] += 1
        return
    if not subscription["pending"]:
        books.present[PENDING] += 1
    if state["replaces"] != np.uint64(0):  # there is room for its row now
        _slot_of(books, state["replaces"], state["key"], most)
    subscription["pending"] = 1
    subscription["next_plan"] = state["plan"]
    subscription["next_status"] = state["status"]
    subscription["next_cancelling"] = state["cancelling"]
    subscription["next_mrr"] = state["mrr"]
    subscription["next_effective"] = state["effective"]
    subscription["next_sequence"] = state["sequence"]
    subscription["next_replaces"] = state["replaces"]
    subscription["next_ts"] = state["ts"]
    subscription["next_partition"] = state["partition"]
    subscription["next_offset"] = state["offset"]
    books.agenda.top[0] = state["effective"]
    books.agenda.top[1] = state["ts"]
    books.agenda.top[2] = state["partition"]
    books.agenda.top[3] = state["offset"]
    books.agenda.top[4] = slot
    put(books.agenda)


@inlined
def _apply_pending(books: Books, until: Number) -> None:
    """Apply the pending states that fall due at `until` (ms) or before; entries of replaced ones are passed over."""
    while falls_due(books.agenda, until):
        take(books.agenda)
        subscription = books.subscriptions.rows[books.agenda.top[4]]
        if not (
            subscription["pending"]
            and subscription["next_effective"] == books.agenda.top[0]
            and subscription["next_ts"] == books.agenda.top[1]
            and subscription["next_partition"] == books.agenda.top[2]
            and subscription["next_offset"] == books.agenda.top[3]
        ):
            continue
        subscription["pending"] = 0
        books.present[PENDING] -= 1
        if subscription["next_replaces"] != np.uint64(0):
            _replace(
                books,
                books.agenda.top[4],
                True,
                subscription["next_replaces"],
                subscription["next_plan"],
                subscription["next_effective"],
                subscription["next_ts"],
                subscription["next_partition"],
                subscription["next_offset"],
                0,
            )
        _apply(
            books,
            books.agenda.top[4],
            subscription["next_plan"],
            subscription["next_status"],
            subscription["next_cancelling"],
            subscription["next_mrr"],
            subscription["next_effective"],
        )
        subscription["sequence"] = subscription["next_sequence"]
        subscription["ts"] = subscription["next_ts"]
        subscription["partition"] = subscription["next_partition"]
        subscription["offset"] = subscription["next_offset"]


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


@compiled
def _replace(
    books: Books,
    slot: Number,
    newer: Number,
    replaces: Number,
    plan: Number,
    effective: Number,
    ts: Number,
    partition: Number,
    offset: Number,
    most: Number,
) -> None:
    """End the subscription `replaces` at `effective`, unless something newer is known of it.

    It is the state of `slot` with this plan and issue that says so. If that will apply (`newer`) and `slot` pays
    nothing, what the old one paid is handed over to it. An old one that is not known gets a row, if there are fewer
    than `most`.
    """
    successor = books.subscriptions.rows[slot]
    old_slot = _slot_of(books, replaces, books.customers.keys[successor["customer"]], most)
    if old_slot < 0:
        books.present[REFUSED] += 1
        return
    old = books.subscriptions.rows[old_slot]
    if old["applied"]:
        if old["effective"] > effective:
            return
        if (
            old["effective"] == effective
            and old["sequence"] == AFTER_ALL
            and not _before(old["ts"], old["partition"], old["offset"], ts, partition, offset)
        ):
            return
    if old["pending"] and (old["next_effective"] <= effective or _pending_issued_before(old, ts, partition, offset)):
        old["pending"] = 0
        books.present[PENDING] -= 1
    _take_back(books, old_slot, effective)
    if newer and successor["mrr"] == 0:
        successor["mrr"] = old["mrr"]
        successor["plan"] = old["plan"] if old["mrr"] > 0 else successor["plan"]
        old["mrr"] = 0
    _apply(books, old_slot, old["plan"] if old["applied"] else plan, ENDED, 0, 0, effective)
    old["sequence"] = AFTER_ALL
    old["ts"] = ts
    old["partition"] = partition
    old["offset"] = offset


@inlined
def _take_back(books: Books, slot: Number, effective: Number) -> None:
    """Undo the loss of this subscription at `effective` (ms), if it is the last movement of its customer."""
    subscription = books.subscriptions.rows[slot]
    number = np.int64(subscription["customer"])
    customer = books.customers.rows[number]
    amount = subscription["lost"]
    if amount == 0 or subscription["effective"] != effective or customer["moved_last"] != slot + 1:
        return
    plan = np.int64(subscription["lost_plan"])
    movement = CHURNED if customer["mrr"] == 0 else CONTRACTION
    _book_movement(books, effective, movement, plan, -amount, -1)
    books.present[CUSTOMERS] += np.int64(customer["mrr"] == 0)
    books.present[MRR] += amount
    customer["mrr"] += amount
    customer["moved_last"] = 0
    _pays(books, number, plan, 1, amount)
    subscription["mrr"] = amount
    subscription["plan"] = plan
    subscription["lost"] = 0


@inlined
def _book_movement(books: Books, at: Number, movement: Number, plan: Number, amount: Number, customers: Number) -> None:
    """Book it in total and for its plan."""
    counted = COUNTER_OF[movement]
    for group in range(2):
        base = KINDS * (1 + plan) * group
        _book(books, at, base + movement, amount)
        if counted >= 0:
            _book(books, at, base + counted, customers)


@compiled
def _apply(
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
        _book_movement(books, effective, movement, owner, abs(after - before), 1)
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
