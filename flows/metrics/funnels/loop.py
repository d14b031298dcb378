"""What events and time do to the attempts of a funnel without options: the loop of `Funnel`; the rules are at its head.

A user takes 9 bytes and a deadline. Funnels with options have a loop of their own (`options.py`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.messages.columns import NEVER
from flows.metrics.family import Split
from flows.metrics.funnels.books import Books, end, enter, mature, reach, stand_at
from flows.metrics.funnels.cells import DROPPED
from flows.metrics.minutes import note
from flows.state.deadlines import PASSED, Times, overdue, schedule
from flows.state.queue import Heap, due, pop, push

ATTEMPT: Final = np.dtype(
    [
        ("dims", "u8"),  # breakdown codes of the entry event
        ("reached", "u1"),  # steps reached; it began at `drops_at - window`
    ]
)


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them."""

    latest: bool  # re-entry moves the start while only step 1 has been reached
    matches: NDArray[np.uint32]  # by event code: bit k is set when the event is one of step k (from 0)


class Attempts(NamedTuple):
    """The attempts that the kernel knows of."""

    users: NDArray[Any]  # dtype ATTEMPT, by slot
    drops_at: Times  # start + window of the latest attempt, unless it has converted; in progress until that has passed
    converted: Heap  # start + window, dims of converted attempts whose time is not up


@steady
def use_events(rows: NDArray[Any], now: int, rules: Rules, attempts: Attempts, books: Books, split: Split) -> None:
    """Let `rows` (HELD, in order) begin, advance and convert attempts, drop those that are due, and stand at `now`."""
    stand_at(books, now)
    for i in range(len(rows)):
        prefetch(attempts.drops_at.at, upcoming(rows, i))
        prefetch(attempts.users, upcoming(rows, i))
        row = rows[i]
        steps = rules.matches[row["code"]]
        if steps == 0:
            continue
        ts = row["ts"]
        slot = row["slot"]
        attempt = attempts.users[slot]
        drops_at = attempts.drops_at.at[slot]
        if drops_at >= PASSED and ts <= drops_at - PASSED:
            drops_at -= PASSED
            _drop(attempt, drops_at, -1, books, split)
            schedule(attempts.drops_at, slot, drops_at)
        if drops_at < NEVER and ts > drops_at:
            _drop(attempt, drops_at, 1, books, split)
            drops_at += PASSED
            attempts.drops_at.at[slot] = drops_at
        if drops_at >= NEVER:
            if steps & 1:
                attempt["reached"] = 1
                attempt["dims"] = row["dims"]
                schedule(attempts.drops_at, slot, ts + books.window)
                enter(attempt["dims"], ts, 1, books, split)
                note(books.page, ts, books.page_column, 1)
        elif (steps >> attempt["reached"]) & 1:
            attempt["reached"] += 1
            reach(attempt["dims"], attempt["reached"], drops_at - books.window, ts, books, split)
            if attempt["reached"] == books.steps:
                attempts.drops_at.at[slot] = NEVER
                note(books.page, ts, books.page_column + 1, 1)
                place = push(attempts.converted, drops_at)
                attempts.converted.rows[place, 1] = np.int64(attempt["dims"])
        elif rules.latest and steps & 1 and attempt["reached"] == 1:
            enter(attempt["dims"], drops_at - books.window, -1, books, split)
            attempt["dims"] = row["dims"]
            schedule(attempts.drops_at, slot, ts + books.window)
            enter(attempt["dims"], ts, 1, books, split)

    for block in range(len(attempts.drops_at.soonest)):
        for i in range(overdue(attempts.drops_at, now, block)):
            slot = attempts.drops_at.due[i]
            _drop(attempts.users[slot], attempts.drops_at.at[slot], 1, books, split)
            attempts.drops_at.at[slot] += PASSED
    while due(attempts.converted, now):
        pop(attempts.converted)
        mature(attempts.converted.top[1], attempts.converted.top[0] - books.window, 1, 1, books, split)


@inlined
def _drop(attempt: Any, drops_at: int, amount: int, books: Books, split: Split) -> None:
    """Book the end of an attempt that ran out of time (amount 1), or take it back (-1)."""
    start = drops_at - books.window
    end(attempt["dims"], start, DROPPED, amount, books, split)
    mature(attempt["dims"], start, 0, amount, books, split)
