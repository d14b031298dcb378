"""What events and time do to the attempts of a funnel: the loops of `Funnel`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.metrics.family import Split, group_of
from flows.metrics.funnels.cells import (
    BUCKETS,
    COMPLETED,
    CONVERT_MS,
    CONVERTED,
    DROPPED,
    ENTERED,
    IN_PROGRESS,
    OUTCOMES,
)
from flows.metrics.histograms import BOUNDS_S, bucket_of
from flows.metrics.minutes import Page, note
from flows.state.deadlines import NEVER, PASSED, Times, overdue, schedule
from flows.state.queue import Heap, due, pop, push
from flows.state.windows import PANES, Ring, add, move, pane_of

ATTEMPT: Final = np.dtype(
    [
        ("dims", "u8"),  # breakdown codes of the entry event
        ("reached", "u1"),  # steps reached; it began at `drops_at - window`
    ]
)


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them."""

    window: int  # ms
    steps: int
    latest: bool  # re-entry moves the start while only step 1 has been reached
    matches: NDArray[np.uint32]  # by event code: bit k is set when the event is one of step k (from 0)
    page_column: int  # of `entered` in the minute book; `converted` is the next


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype ATTEMPT, by slot
    drops_at: Times  # start + window of the latest attempt, unless it has converted; in progress until that has passed
    converted: Heap  # converted attempts whose time is not up
    windows: Ring
    matured: Ring  # stands a funnel window behind
    under_way: Ring  # over the funnel window: attempts in progress
    by_age: Ring  # over the funnel window: conversions by age
    page: Page


@steady
def use_events(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Let `rows` (HELD, in order) begin, advance and convert attempts, drop those that are due, and stand at `now`."""
    move(ledger.windows, now)
    move(ledger.matured, now - rules.window)
    move(ledger.under_way, now)
    move(ledger.by_age, now)
    for i in range(len(rows)):
        prefetch(ledger.drops_at.at, upcoming(rows, i))
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        steps = rules.matches[row["code"]]
        if steps == 0:
            continue
        ts = row["ts"]
        slot = row["slot"]
        attempt = ledger.users[slot]
        drops_at = ledger.drops_at.at[slot]
        if drops_at >= PASSED and ts <= drops_at - PASSED:
            drops_at -= PASSED
            _drop(attempt, drops_at, -1, rules, ledger, split)
            schedule(ledger.drops_at, slot, drops_at)
        if drops_at < NEVER and ts > drops_at:
            _drop(attempt, drops_at, 1, rules, ledger, split)
            drops_at = NEVER
            ledger.drops_at.at[slot] = NEVER
        if drops_at >= NEVER:
            if steps & 1:
                attempt["reached"] = 1
                attempt["dims"] = row["dims"]
                schedule(ledger.drops_at, slot, ts + rules.window)
                _enter(attempt["dims"], ts, 1, rules, ledger, split)
                note(ledger.page, ts, rules.page_column, 1)
        elif (steps >> attempt["reached"]) & 1:
            attempt["reached"] += 1
            _reach(attempt, drops_at - rules.window, ts, rules, ledger, split)
            if attempt["reached"] == rules.steps:
                ledger.drops_at.at[slot] = NEVER
                note(ledger.page, ts, rules.page_column + 1, 1)
                place = push(ledger.converted, drops_at)
                ledger.converted.rows[place, 1] = np.int64(attempt["dims"])
        elif rules.latest and steps & 1 and attempt["reached"] == 1:
            _enter(attempt["dims"], drops_at - rules.window, -1, rules, ledger, split)
            attempt["dims"] = row["dims"]
            schedule(ledger.drops_at, slot, ts + rules.window)
            _enter(attempt["dims"], ts, 1, rules, ledger, split)

    for block in range(len(ledger.drops_at.soonest)):
        for i in range(overdue(ledger.drops_at, now, block)):
            slot = ledger.drops_at.due[i]
            _drop(ledger.users[slot], ledger.drops_at.at[slot], 1, rules, ledger, split)
            ledger.drops_at.at[slot] += PASSED
    while due(ledger.converted, now):
        pop(ledger.converted)
        start = ledger.converted.top[0] - rules.window
        for d in range(len(split.base)):
            group = group_of(split, d, ledger.converted.top[1])
            add(ledger.matured, start, group * 2 + ENTERED, 1)
            add(ledger.matured, start, group * 2 + COMPLETED, 1)


@inlined
def _count(
    dims: int, start: int, field: int, amount: int, in_progress: int, rules: Rules, ledger: Ledger, split: Split
) -> None:
    """Count `amount` in `field` of all windows that hold `start`, and so many in progress."""
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, dims) * (rules.steps + OUTCOMES)
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + field] += amount
                counts[first + rules.steps + IN_PROGRESS] += in_progress


@inlined
def _enter(dims: int, start: int, amount: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book an attempt that begins at `start` (amount 1), or take it back (-1)."""
    _count(dims, start, 0, amount, amount, rules, ledger, split)
    for d in range(len(split.base)):
        add(ledger.under_way, start, group_of(split, d, dims), amount)


@inlined
def _reach(attempt: Any, start: int, ts: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the step that `attempt` has just reached, and the conversion when it is the last."""
    age = ts * PANES // rules.window - start * PANES // rules.window
    bucket = bucket_of(BOUNDS_S, ts - start)
    reached = attempt["reached"]
    converts = reached == rules.steps
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, attempt["dims"]) * (rules.steps + OUTCOMES)
            outcome = first + rules.steps
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + reached - 1] += 1
                if converts:
                    counts[outcome + CONVERTED] += 1
                    counts[outcome + IN_PROGRESS] -= 1
                    counts[outcome + CONVERT_MS] += ts - start
                    if bucket < len(BOUNDS_S):
                        counts[outcome + BUCKETS + bucket] += 1
    if converts:
        for d in range(len(split.base)):
            group = group_of(split, d, attempt["dims"])
            add(ledger.under_way, start, group, -1)
            add(ledger.by_age, start, group * PANES + min(age, PANES - 1), 1)


@inlined
def _drop(attempt: Any, drops_at: int, amount: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the end of an attempt that ran out of time (amount 1), or take it back (-1)."""
    start = drops_at - rules.window
    _count(attempt["dims"], start, rules.steps + DROPPED, amount, -amount, rules, ledger, split)
    for d in range(len(split.base)):
        add(ledger.matured, start, group_of(split, d, attempt["dims"]) * 2 + ENTERED, amount)
