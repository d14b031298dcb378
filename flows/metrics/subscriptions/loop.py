"""When states of subscriptions are used, and which apply: the loops of `Subscriptions`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined, steady
from flows.metrics.subscriptions.books import ENDED, PENDING, REFUSED, STALE, Books, apply, take_back
from flows.metrics.subscriptions.fact import SEQUENCE
from flows.state.agenda import falls_due, put, take
from flows.state.table import known_row, row_of
from flows.state.windows import Ring, move

AFTER_ALL: Final = SEQUENCE + 1
"""The sequence of the end that a successor brings: no state of the same `effective` comes after it."""


@steady
def pass_time(ring: Ring, now: int) -> None:
    """No state takes its turn."""
    move(ring, now)


@steady
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
            take_back(books, slot, state["effective"])  # a loss of no duration, as it was superseded at that moment
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
        apply(
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
        apply(
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
    take_back(books, old_slot, effective)
    if newer and successor["mrr"] == 0:
        successor["mrr"] = old["mrr"]
        successor["plan"] = old["plan"] if old["mrr"] > 0 else successor["plan"]
        old["mrr"] = 0
    apply(books, old_slot, old["plan"] if old["applied"] else plan, ENDED, 0, 0, effective)
    old["sequence"] = AFTER_ALL
    old["ts"] = ts
    old["partition"] = partition
    old["offset"] = offset
