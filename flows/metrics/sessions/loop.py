"""What events and time do to sessions: the loops of `Sessions`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.messages.columns import PAGE, SCREEN, TRACK
from flows.metrics.family import Split, group_of
from flows.metrics.histograms import BOUNDS_S, bucket_of
from flows.metrics.minutes import Page, note
from flows.metrics.sessions.cells import BOUNCED, BUCKETS, CLOSED, DURATION_MS, EVENTS, FIELDS, KEY_ACTIONS, STARTED
from flows.state.deadlines import NEVER, PASSED, Times, overdue, schedule
from flows.state.queue import Heap, due, pop, push
from flows.state.windows import PANES, Ring, add, move, pane_of

SESSION: Final = np.dtype(
    [
        ("start", "i8"),  # ms; its last event was `timeout` before it closes
        ("dims", "u8"),  # breakdown codes of its first event
        ("events", "i4"),
        ("views", "i4"),  # page and screen events
        ("key_actions", "i4"),
        ("engaged", "u1"),
    ]
)
SETTLING_PANES: Final = 40  # of the 60: those older than 5 minutes


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them; a rule that is off has an unreachable bound."""

    timeout: int
    max_duration: int
    longer_than: int
    views: int
    key_actions: int
    single_event: bool  # bounced: exactly one event
    is_key_action: NDArray[np.bool_]  # by event code
    shows_presence: NDArray[np.bool_]  # by event code; no other event opens a session or goes on with it


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype SESSION, by slot
    closes_at: Times  # last event + timeout of the latest session, which is open until that has passed
    ended: Heap  # sessions that max_duration has ended and that have not closed
    windows: Ring
    settling: Ring
    open: NDArray[np.int64]  # by group
    lifetime: NDArray[np.int64]  # closed since the beginning by duration bucket, the last beyond all; then sum of ms
    page: Page
    minute: int  # column of the page: started; closed and bounced follow


@steady
def use_events(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Let `rows` (HELD, in order) begin, continue and engage sessions, close those that are due, and stand at `now`."""
    move(ledger.windows, now)
    move(ledger.settling, now)
    for i in range(len(rows)):
        prefetch(ledger.closes_at.at, upcoming(rows, i))
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        kind = row["kind"]
        if (kind != TRACK and kind != PAGE and kind != SCREEN) or not rules.shows_presence[row["code"]]:
            continue
        ts = row["ts"]
        slot = row["slot"]
        closes_at = ledger.closes_at.at[slot]
        user = ledger.users[slot]
        if closes_at >= PASSED and ts <= closes_at - PASSED and ts - user["start"] <= rules.max_duration:
            closes_at -= PASSED
            _close_session(user, closes_at, -1, rules, ledger, split)
        if closes_at < NEVER and (ts > closes_at or ts - user["start"] > rules.max_duration):
            if closes_at < now:
                _close_session(user, closes_at, 1, rules, ledger, split)
            else:
                _end_early(user, closes_at, ledger)
            closes_at = NEVER
        if closes_at >= NEVER:
            user["start"] = ts
            user["dims"] = row["dims"]
            user["events"] = 0
            user["views"] = 0
            user["key_actions"] = 0
            user["engaged"] = 0
            note(ledger.page, ts, ledger.minute, 1)
            for d in range(len(split.base)):
                group = group_of(split, d, user["dims"])
                ledger.open[group] += 1
                add(ledger.windows, ts, group * FIELDS + STARTED, 1)
                add(ledger.settling, ts, group * 2, 1)
        user["events"] += 1
        if kind != TRACK:
            user["views"] += 1
        if rules.is_key_action[row["code"]]:
            user["key_actions"] += 1
        if not user["engaged"] and _engages(user, ts, rules):
            user["engaged"] = 1
            for d in range(len(split.base)):
                add(ledger.settling, user["start"], group_of(split, d, user["dims"]) * 2 + 1, 1)
        schedule(ledger.closes_at, slot, ts + rules.timeout)

    for block in range(len(ledger.closes_at.soonest)):
        for i in range(overdue(ledger.closes_at, now, block)):
            slot = ledger.closes_at.due[i]
            _close_session(ledger.users[slot], ledger.closes_at.at[slot], 1, rules, ledger, split)
            ledger.closes_at.at[slot] += PASSED
    while due(ledger.ended, now):
        pop(ledger.ended)
        ended = ledger.ended.top
        _close(ended[1], ended[0], ended[2], ended[3], ended[4], ended[5], 1, rules, ledger, split)


@steady
def read_settled(panes: NDArray[np.int64], head: int, values: NDArray[np.int64]) -> None:
    """The sums over the panes of those begun 5 to 15 minutes ago; `values` are 0."""
    for age in range(PANES - SETTLING_PANES, PANES):
        pane = (head - age) % PANES
        for k in range(panes.shape[1]):
            values[k] += panes[pane, k]


@inlined
def _engages(user: Any, ts: int, rules: Rules) -> bool:
    if rules.single_event:
        return bool(user["events"] > 1)
    return bool(
        ts - user["start"] > rules.longer_than
        or user["views"] >= rules.views
        or user["key_actions"] >= rules.key_actions
    )


@compiled
def _close(
    start: int,
    closes_at: int,
    dims: int,
    events: int,
    key_actions: int,
    engaged: int,
    amount: int,
    rules: Rules,
    ledger: Ledger,
    split: Split,
) -> None:
    """Book one session at the time it closes (amount 1), or take that back (-1)."""
    duration = closes_at - rules.timeout - start
    bucket = bucket_of(BOUNDS_S, duration)
    if amount > 0:  # a counter of Prometheus does not fall: a session that ends twice counts twice there
        ledger.lifetime[bucket] += 1
        ledger.lifetime[len(BOUNDS_S) + 1] += duration
    note(ledger.page, closes_at, ledger.minute + 1, amount)
    if not engaged:
        note(ledger.page, closes_at, ledger.minute + 2, amount)
    for d in range(len(split.base)):
        ledger.open[group_of(split, d, dims)] -= amount
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, closes_at)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, dims) * FIELDS
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + CLOSED] += amount
                if not engaged:
                    counts[first + BOUNCED] += amount
                counts[first + DURATION_MS] += amount * duration
                counts[first + EVENTS] += amount * events
                counts[first + KEY_ACTIONS] += amount * key_actions
                if bucket < len(BOUNDS_S):
                    counts[first + BUCKETS + bucket] += amount


@inlined
def _close_session(user: Any, closes_at: int, amount: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    _close(
        user["start"],
        closes_at,
        user["dims"],
        user["events"],
        user["key_actions"],
        user["engaged"],
        amount,
        rules,
        ledger,
        split,
    )


@inlined
def _end_early(user: Any, closes_at: int, ledger: Ledger) -> None:
    """Put a session that max_duration has cut aside until it closes."""
    place = push(ledger.ended, closes_at)
    ledger.ended.rows[place, 1] = user["start"]
    ledger.ended.rows[place, 2] = np.int64(user["dims"])
    ledger.ended.rows[place, 3] = user["events"]
    ledger.ended.rows[place, 4] = user["key_actions"]
    ledger.ended.rows[place, 5] = user["engaged"]
