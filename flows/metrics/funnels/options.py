"""What events and time do to the attempts of a funnel with options: its second loop; the rules are at its head.

    begins --> IN_PROGRESS --an event does the last step------------> OVER     converted
                   | ^    --an event excludes, or breaks the order--> OVER     excluded, dropped
    lapses_at      | |
    has passed     v |  an event of before has come late
                 DROPPED --start + window has passed--> DROPPED, and matured

An attempt that ended counts as matured when its whole window has passed, however early it ended. One that an event has
ended waits for that in the queue, where it belongs to no user any more. One that lapsed waits with its user, as long as
no other attempt begins: nothing but absence has ended it, and an event that comes late can take that back.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.messages.columns import NEVER, PAGE, SCREEN, TRACK
from flows.metrics.family import Split
from flows.metrics.funnels.books import Books, end, enter, mature, reach, stand_at
from flows.metrics.funnels.cells import DROPPED as AS_DROPPED
from flows.metrics.funnels.cells import EXCLUDED as AS_EXCLUDED
from flows.metrics.minutes import note
from flows.state.deadlines import PASSED, Times, overdue, schedule
from flows.state.queue import Heap, due, pop, push

UNKNOWN, IN_PROGRESS, DROPPED, OVER = range(4)
"""States of a user's latest attempt; UNKNOWN: there was none."""

OPTIONAL_ATTEMPT: Final = np.dtype(
    [
        ("dims", "u8"),  # breakdown codes of the entry event
        ("start", "i8"),  # ms
        ("lapses_at", "i8"),  # it is dropped where the next step has not come by then, ms
        ("done", "u4"),  # bit k: step k (from 0)
        ("reached", "u1"),  # how many steps those are
        ("state", "u1"),
    ]
)


class Options(NamedTuple):
    """The config's numbers as the kernel takes them."""

    latest: bool  # re-entry moves the start while only step 1 has been reached
    matches: NDArray[np.uint32]  # by event code: bit k is set when the event is one of step k (from 0)
    any_order: bool  # steps after the first
    within_step: int  # the most time from step to step, ms; at most the window
    once: bool  # only the first attempt of a user
    excludes: NDArray[np.bool_]  # by event code: ends an attempt as excluded
    breaks_in: NDArray[np.bool_]  # by event code: ends an attempt as dropped, if it is of a session and no next step
    holds: bool  # later steps count only with the value of the entry


class OptionalAttempts(NamedTuple):
    """The attempts that the kernel knows of."""

    users: NDArray[Any]  # dtype OPTIONAL_ATTEMPT, by slot
    due_at: Times  # while in progress, `lapses_at`; once dropped, start + window, also when that has passed
    ended: Heap  # start + window, dims, 1 if converted: attempts over whose time is not up
    values: NDArray[np.uint64]  # by slot, where the funnel holds a field: what the entry had there; 0: nothing


@steady
def use_events_with_options(
    rows: NDArray[Any],
    values: NDArray[np.uint64],
    now: int,
    options: Options,
    attempts: OptionalAttempts,
    books: Books,
    split: Split,
) -> None:
    """Let `rows` (HELD, in order) begin, advance and end attempts, drop those that are due, and stand at `now`.

    `values`, where the funnel holds a field: what each row has there, 0: nothing.
    """
    stand_at(books, now)
    for i in range(len(rows)):
        prefetch(attempts.due_at.at, upcoming(rows, i))
        prefetch(attempts.users, upcoming(rows, i))
        row = rows[i]
        code = row["code"]
        kind = row["kind"]
        steps = np.int64(options.matches[code])
        breaks_in = options.breaks_in[code] and kind in (TRACK, PAGE, SCREEN)
        if steps == 0 and not options.excludes[code] and not breaks_in:
            continue
        ts = row["ts"]
        slot = row["slot"]
        attempt = attempts.users[slot]
        value = values[i] if options.holds else np.uint64(0)
        if attempt["state"] == DROPPED and ts <= attempt["lapses_at"]:
            _take_back_drop(attempt, slot, attempts, books, split)
        if attempt["state"] == IN_PROGRESS and ts > attempt["lapses_at"]:
            _lapse(attempt, slot, attempts, books, split)
        if attempt["state"] == IN_PROGRESS:
            done = np.int64(attempt["done"])
            fits = steps & ~done if options.any_order else steps & (done + 1)
            if options.holds and (value == np.uint64(0) or value != attempts.values[slot]):
                fits = np.int64(0)
            if options.excludes[code]:
                end(attempt["dims"], attempt["start"], AS_EXCLUDED, 1, books, split)
                _finish(attempt, slot, 0, attempts, books)
            elif fits:
                attempt["done"] = done | (fits & -fits)
                attempt["reached"] += 1
                reach(attempt["dims"], attempt["reached"], attempt["start"], ts, books, split)
                if attempt["reached"] == books.steps:
                    note(books.page, ts, books.page_column + 1, 1)
                    _finish(attempt, slot, 1, attempts, books)
                else:
                    _await(attempt, slot, ts, options, attempts, books)
                continue
            elif options.latest and steps & 1 and attempt["reached"] == 1:
                enter(attempt["dims"], attempt["start"], -1, books, split)
                _begin(attempt, slot, row, value, options, attempts, books, split)
                continue
            elif breaks_in:
                end(attempt["dims"], attempt["start"], AS_DROPPED, 1, books, split)
                _finish(attempt, slot, 0, attempts, books)
        if steps & 1 and attempt["state"] != IN_PROGRESS and not (options.once and attempt["state"] != UNKNOWN):
            if attempt["state"] == DROPPED and attempts.due_at.at[slot] < NEVER:
                _set_aside(attempt, 0, attempts, books)
            _begin(attempt, slot, row, value, options, attempts, books, split)
            note(books.page, ts, books.page_column, 1)

    for block in range(len(attempts.due_at.soonest)):
        for i in range(overdue(attempts.due_at, now, block)):
            slot = attempts.due_at.due[i]
            attempt = attempts.users[slot]
            if attempt["state"] == IN_PROGRESS:
                _lapse(attempt, slot, attempts, books, split)
            if attempts.due_at.at[slot] < now:
                mature(attempt["dims"], attempt["start"], 0, 1, books, split)
                attempts.due_at.at[slot] += PASSED
    while due(attempts.ended, now):
        pop(attempts.ended)
        ended = attempts.ended.top
        mature(ended[1], ended[0] - books.window, ended[2], 1, books, split)


@inlined
def _begin(
    attempt: Any,
    slot: int,
    row: Any,
    value: np.uint64,
    options: Options,
    attempts: OptionalAttempts,
    books: Books,
    split: Split,
) -> None:
    """Begin an attempt with the event `row`, which has `value` in the held field, or begin it again."""
    if options.holds:
        attempts.values[slot] = value
    attempt["state"] = IN_PROGRESS
    attempt["dims"] = row["dims"]
    attempt["start"] = row["ts"]
    attempt["done"] = 1
    attempt["reached"] = 1
    enter(attempt["dims"], row["ts"], 1, books, split)
    _await(attempt, slot, row["ts"], options, attempts, books)


@inlined
def _await(attempt: Any, slot: int, ts: int, options: Options, attempts: OptionalAttempts, books: Books) -> None:
    """Wait for the step after the one done at `ts`."""
    attempt["lapses_at"] = min(ts + options.within_step, attempt["start"] + books.window)
    schedule(attempts.due_at, slot, attempt["lapses_at"])


@inlined
def _lapse(attempt: Any, slot: int, attempts: OptionalAttempts, books: Books, split: Split) -> None:
    """Drop an attempt whose next step has not come in time. It matures when its whole window has passed."""
    end(attempt["dims"], attempt["start"], AS_DROPPED, 1, books, split)
    attempt["state"] = DROPPED
    schedule(attempts.due_at, slot, attempt["start"] + books.window)


@inlined
def _take_back_drop(attempt: Any, slot: int, attempts: OptionalAttempts, books: Books, split: Split) -> None:
    """An event of its time has come late: the attempt did not lapse before it."""
    if attempts.due_at.at[slot] >= PASSED:
        mature(attempt["dims"], attempt["start"], 0, -1, books, split)
    end(attempt["dims"], attempt["start"], AS_DROPPED, -1, books, split)
    attempt["state"] = IN_PROGRESS
    schedule(attempts.due_at, slot, attempt["lapses_at"])


@inlined
def _finish(attempt: Any, slot: int, converted: int, attempts: OptionalAttempts, books: Books) -> None:
    """An event has ended the attempt for good."""
    attempt["state"] = OVER
    attempts.due_at.at[slot] = NEVER
    _set_aside(attempt, converted, attempts, books)


@inlined
def _set_aside(attempt: Any, converted: int, attempts: OptionalAttempts, books: Books) -> None:
    """Let an ended attempt wait by itself until its whole window has passed."""
    place = push(attempts.ended, attempt["start"] + books.window)
    attempts.ended.rows[place, 1] = np.int64(attempt["dims"])
    attempts.ended.rows[place, 2] = converted
