"""What events and time do to who has started: the loops of `Retained`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.messages.columns import NEVER
from flows.metrics.family import Split, group_of
from flows.metrics.local_calendar import DAY_MS, day_at
from flows.metrics.minutes import Page, open_from
from flows.metrics.retention.cells import COHORT, FIELDS, RETURNED, RETURNED_LATER
from flows.state.days import Sheet, add_on, turn_to
from flows.state.deadlines import Times, overdue, schedule
from flows.state.windows import Ring, add_in, move

START, RETURN = 1, 2
"""Bits: the event starts users, the event is a return."""

STARTED: Final = np.dtype(
    [
        ("start", "i8"),  # ms
        ("dims", "u8"),  # breakdown codes of the event that started
        ("returned", "u2"),  # bit j: on the j-th of the days
        ("started", "u1"),
        ("furthest", "u1"),  # the last day of a return, at most FARTHEST
        ("over", "u1"),  # of the days, so many are over and booked
    ]
)
FARTHEST: Final = 255


class Rules(NamedTuple):
    """The config as the loop takes it."""

    days: NDArray[np.int64]  # N, ascending
    by_date: bool
    begins: NDArray[np.int64]  # of local days (ms)
    matches: NDArray[np.uint8]  # by event code: START and RETURN
    groups: int
    widths: int  # windows of each day


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype STARTED, by slot
    over_at: Times  # when the next of the days is over
    windows: Ring  # by day and width; stands (N + 1) x 24 h behind
    dates: Sheet  # by date of the start: day, group, counter
    page: Page
    column: int  # of the days: who started on a date, for the first of the days; returned follows, then the next day's


@steady
def use_events(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Let `rows` (HELD, the rows of a user in order) start users and return, book the days that are over, and stand at
    `now` (ms).
    """
    if rules.by_date:
        turn_to(ledger.dates, day_at(rules.begins, now))
    else:
        move(ledger.windows, now)
    for i in range(len(rows)):
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        event = rules.matches[row["code"]]
        if event == 0:
            continue
        user = ledger.users[row["slot"]]
        if user["started"] == 0:
            if event & START:
                user["started"] = 1
                user["start"] = row["ts"]
                user["dims"] = row["dims"]
                schedule(ledger.over_at, row["slot"], _over_at(user["start"], 0, rules))
                for j in range(len(rules.days)):
                    _note_on_date(user["start"], j, COHORT, rules, ledger)
        elif event & RETURN:
            _return(user, row["ts"], rules, ledger, split)
    for block in range(len(ledger.over_at.soonest)):
        for i in range(overdue(ledger.over_at, now, block)):
            slot = ledger.over_at.due[i]
            user = ledger.users[slot]
            at = ledger.over_at.at[slot]
            while at < now:
                _end_day(user, rules, ledger, split)
                at = _over_at(user["start"], user["over"], rules) if user["over"] < len(rules.days) else NEVER
            schedule(ledger.over_at, slot, at)


@inlined
def _over_at(start: int, number: int, rules: Rules) -> Any:
    """The last ms at which the day of that number is not over for who started at `start`."""
    day = rules.days[number]
    if rules.by_date:
        return rules.begins[day_at(rules.begins, start) + day + 1] - 1
    return start + (day + 1) * DAY_MS


@inlined
def _note_on_date(start: int, j: int, field: int, rules: Rules, ledger: Ledger) -> None:
    """Count who started then on that date, for the j-th of the days, unless that is over for all who did."""
    date = day_at(rules.begins, start)
    if rules.by_date:
        over = rules.begins[date + rules.days[j] + 1]
    else:
        over = rules.begins[date + 1] + (rules.days[j] + 1) * DAY_MS
    if over > open_from(ledger.page):
        add_on(ledger.page.days.sheet, date, ledger.column + 2 * j + field, 1)


@inlined
def _return(user: Any, ts: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Keep that the user returned; what is booked already of days that are over grows by it."""
    if rules.by_date:
        index = day_at(rules.begins, ts) - day_at(rules.begins, user["start"])
    else:
        index = (ts - user["start"]) // DAY_MS
    furthest = user["furthest"]
    for j in range(len(rules.days)):
        over = j < user["over"]
        if rules.days[j] == index and not (user["returned"] >> j) & 1:
            user["returned"] |= 1 << j
            _note_on_date(user["start"], j, RETURNED, rules, ledger)
            if over:  # it came late
                _book(user, j, RETURNED, rules, ledger, split)
        if over and furthest < rules.days[j] <= index:
            _book(user, j, RETURNED_LATER, rules, ledger, split)
    user["furthest"] = max(furthest, min(index, FARTHEST))


@inlined
def _end_day(user: Any, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the next of the days, which is over."""
    j = user["over"]
    _book(user, j, COHORT, rules, ledger, split)
    if (user["returned"] >> j) & 1:
        _book(user, j, RETURNED, rules, ledger, split)
    if user["furthest"] >= rules.days[j]:
        _book(user, j, RETURNED_LATER, rules, ledger, split)
    user["over"] = j + 1


@inlined
def _book(user: Any, j: int, field: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    for d in range(len(split.base)):
        group = group_of(split, d, user["dims"])
        if rules.by_date:
            place = (j * rules.groups + group) * FIELDS + field
            add_on(ledger.dates, day_at(rules.begins, user["start"]), place, 1)
        else:
            first = j * rules.widths
            add_in(ledger.windows, first, first + rules.widths, user["start"], group * FIELDS + field, 1)
