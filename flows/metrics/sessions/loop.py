"""What events and time do to sessions: the loops of `Sessions`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.messages.columns import NEVER, PAGE, SCREEN, TRACK
from flows.metrics.family import Split, group_of
from flows.metrics.histograms import BOUNDS_S, bucket_of
from flows.metrics.minutes import Page, note
from flows.metrics.sessions.cells import (
    BOUNCED,
    BUCKETS,
    CLOSED,
    DURATION_MS,
    EVENTS,
    FIELDS,
    GAP_MS,
    KEY_ACTIONS,
    RETURNING,
    STARTED,
    VIEWS,
    WITH_KEY_ACTION,
)
from flows.state.deadlines import PASSED, Times, overdue, schedule
from flows.state.queue import Heap, due, pop, push
from flows.state.windows import PANES, Ring, add, move, pane_of

SESSION: Final = np.dtype(
    [
        ("start", "i8"),  # ms; its last event was `timeout` before it closes
        ("gap", "i8"),  # ms from the last event of the user's session before; NO_GAP: there was none
        ("dims", "u8"),  # breakdown codes of its first event
        ("events", "i4"),
        ("views", "i4"),  # page and screen events
        ("key_actions", "i4"),
        ("stays", "u1"),  # a bit for each definition of bounce: the session is none by it
    ]
)
NO_GAP: Final = -1
ENGAGED, TWO_EVENTS, TWO_VIEWS, INTERACTS = 1, 2, 4, 8
STAYS_BY: Final = {
    "engaged": ENGAGED,
    "single_event": TWO_EVENTS,
    "single_view": TWO_VIEWS,
    "no_interaction": INTERACTS,
}
"""What takes a session out of the bounces of each definition; nothing that comes later takes it back in."""
SETTLING_PANES: Final = 40  # of the 60: those older than 5 minutes


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them; a rule that is off has an unreachable bound."""

    timeout: int
    max_duration: int
    longer_than: int
    views: int
    key_actions: int
    stays: int  # the bit of STAYS_BY that decides
    apart: NDArray[np.int64]  # the bits of the definitions that are counted apart
    is_key_action: NDArray[np.bool_]  # by event code
    interacts: NDArray[np.bool_]  # by event code, of a `track` event
    shows_presence: NDArray[np.bool_]  # by event code; no other event opens a session or goes on with it


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype SESSION, by slot
    closes_at: Times  # last event + timeout of the latest session, which is open until that has passed
    ended: Heap  # sessions that max_duration has ended and that have not closed
    cut: NDArray[Any]  # dtype SESSION, (1,): the one of them that closes
    windows: Ring
    bounced_by: Ring  # by group and definition
    settling: Ring
    open: NDArray[np.int64]  # by group
    lifetime: NDArray[np.int64]  # closed since the beginning by duration bucket, the last beyond all; then sum of ms
    page: Page
    minute: int  # column of the page: started; closed and bounced follow


@steady
def use_events(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Let `rows` (HELD, in order) begin, continue and engage sessions, close those that are due, and stand at `now`."""
    move(ledger.windows, now)
    move(ledger.bounced_by, now)
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
        before = ledger.closes_at.at[slot]
        closes_at = before
        user = ledger.users[slot]
        if closes_at >= PASSED and ts <= closes_at - PASSED and ts - user["start"] <= rules.max_duration:
            closes_at -= PASSED
            _close(user, closes_at, -1, rules, ledger, split)
        if closes_at < NEVER and (ts > closes_at or ts - user["start"] > rules.max_duration):
            if closes_at < now:
                _close(user, closes_at, 1, rules, ledger, split)
            else:
                _end_early(user, closes_at, ledger)
            closes_at = NEVER
        if closes_at >= NEVER:
            _start(user, row, before, rules, ledger, split)
        user["events"] += 1
        if kind != TRACK:
            user["views"] += 1
        if rules.is_key_action[row["code"]]:
            user["key_actions"] += 1
        stays = _stays(user, ts, kind == TRACK and rules.interacts[row["code"]], rules)
        if stays & rules.stays and not user["stays"] & rules.stays:
            for d in range(len(split.base)):
                add(ledger.settling, user["start"], group_of(split, d, user["dims"]) * 2 + 1, 1)
        user["stays"] = stays
        schedule(ledger.closes_at, slot, ts + rules.timeout)

    for block in range(len(ledger.closes_at.soonest)):
        for i in range(overdue(ledger.closes_at, now, block)):
            slot = ledger.closes_at.due[i]
            _close(ledger.users[slot], ledger.closes_at.at[slot], 1, rules, ledger, split)
            ledger.closes_at.at[slot] += PASSED
    while due(ledger.ended, now):
        pop(ledger.ended)
        ended = ledger.ended.top
        cut = ledger.cut[0]
        cut["start"] = ended[1]
        cut["dims"] = np.uint64(ended[2])
        cut["events"] = ended[4]
        cut["views"] = ended[5]
        cut["key_actions"] = ended[6]
        cut["stays"] = ended[7]
        _close(cut, ended[0], 1, rules, ledger, split)


@steady
def read_settled(panes: NDArray[np.int64], head: int, values: NDArray[np.int64]) -> None:
    """The sums over the panes of those begun 5 to 15 minutes ago; `values` are 0."""
    for age in range(PANES - SETTLING_PANES, PANES):
        pane = (head - age) % PANES
        for k in range(panes.shape[1]):
            values[k] += panes[pane, k]


@inlined
def _start(user: Any, row: Any, before: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Begin a session with `row`; `before`: when the user's session before it closes (PASSED + ms: when it did)."""
    ts = row["ts"]
    user["start"] = ts
    user["gap"] = NO_GAP if before == NEVER else ts + rules.timeout - (before - PASSED if before >= PASSED else before)
    user["dims"] = row["dims"]
    user["events"] = 0
    user["views"] = 0
    user["key_actions"] = 0
    user["stays"] = 0
    note(ledger.page, ts, ledger.minute, 1)
    for d in range(len(split.base)):
        group = group_of(split, d, row["dims"])
        ledger.open[group] += 1
        add(ledger.windows, ts, group * FIELDS + STARTED, 1)
        if user["gap"] != NO_GAP:
            add(ledger.windows, ts, group * FIELDS + RETURNING, 1)
            add(ledger.windows, ts, group * FIELDS + GAP_MS, user["gap"])
        add(ledger.settling, ts, group * 2, 1)


@inlined
def _stays(user: Any, ts: int, interacts: bool, rules: Rules) -> Any:
    """The bits of a session with an event at `ts`, which has been counted."""
    stays = user["stays"]
    if (
        ts - user["start"] > rules.longer_than
        or user["views"] >= rules.views
        or user["key_actions"] >= rules.key_actions
    ):
        stays |= ENGAGED
    if user["events"] > 1:
        stays |= TWO_EVENTS
    if user["views"] > 1:
        stays |= TWO_VIEWS | INTERACTS
    if interacts:
        stays |= INTERACTS
    return stays


@compiled
def _close(session: Any, closes_at: int, amount: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book one session at the time it closes (amount 1), or take that back (-1)."""
    duration = closes_at - rules.timeout - session["start"]
    bounced = 0 if session["stays"] & rules.stays else amount
    bucket = bucket_of(BOUNDS_S, duration)
    ledger.lifetime[bucket] += amount
    ledger.lifetime[len(BOUNDS_S) + 1] += amount * duration
    note(ledger.page, closes_at, ledger.minute + 1, amount)
    note(ledger.page, closes_at, ledger.minute + 2, bounced)
    for d in range(len(split.base)):
        group = group_of(split, d, session["dims"])
        ledger.open[group] -= amount
        for place in range(len(rules.apart)):
            if not session["stays"] & rules.apart[place]:
                add(ledger.bounced_by, closes_at, group * len(rules.apart) + place, amount)
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, closes_at)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, session["dims"]) * FIELDS
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + CLOSED] += amount
                counts[first + BOUNCED] += bounced
                counts[first + DURATION_MS] += amount * duration
                counts[first + EVENTS] += amount * session["events"]
                counts[first + VIEWS] += amount * session["views"]
                counts[first + KEY_ACTIONS] += amount * session["key_actions"]
                if session["key_actions"]:
                    counts[first + WITH_KEY_ACTION] += amount
                if bucket < len(BOUNDS_S):
                    counts[first + BUCKETS + bucket] += amount


@inlined
def _end_early(user: Any, closes_at: int, ledger: Ledger) -> None:
    """Put a session that max_duration has cut aside until it closes."""
    place = push(ledger.ended, closes_at)
    ledger.ended.rows[place, 1] = user["start"]
    ledger.ended.rows[place, 2] = np.int64(user["dims"])
    ledger.ended.rows[place, 3] = user["gap"]
    ledger.ended.rows[place, 4] = user["events"]
    ledger.ended.rows[place, 5] = user["views"]
    ledger.ended.rows[place, 6] = user["key_actions"]
    ledger.ended.rows[place, 7] = user["stays"]
