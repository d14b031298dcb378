"""The loop of top lists: which values have a slot, and how often each counts.

Rows come in the order of their turns, `used`. A row whose value has a slot, or finds one free, counts there; any other
counts in `other`. A slot is free once its value's latest event has left the 24 h that stand at `used`. Where users are
counted, pairs of value and user come and go in the same way.

What is known before the watermark is only foreseen: rows are used as if their turn had come, the result is read, and
`take_back` undoes it by a log. So slots are given out in one order, whatever the polls, and lists are current all the
same.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined, steady
from flows.messages.columns import NO_TIME
from flows.state.table import MIX, Entries, forget_newest, known_row, row_of
from flows.state.windows import PANES, Ring, add

KNOWN: Final = np.dtype([("last", "i8")])
"""Of a value, or of a value and a user: the latest event, ms."""
STEP: Final = np.dtype(
    [
        ("counter", "i8"),  # where 1 was counted at the row's time; NONE: nowhere
        ("value", "i8"),  # its row; NONE: it found no slot
        ("value_last", "i8"),  # as it was before; NO_TIME: it is new
        ("pair", "i8"),  # the same of value and user
        ("pair_last", "i8"),
    ]
)
"""What one row has changed."""

OTHER: Final = 0
"""The counter of what finds no room; that of the value in row v is v + 1."""
NONE: Final = -1
DAY_MS: Final = 86_400_000
VALUES, PAIRS = range(2)


class Books(NamedTuple):
    """Everything that a list knows, as the loop takes it."""

    values: Entries  # KNOWN by key
    pairs: Entries  # KNOWN by key and user
    ring: Ring
    limits: NDArray[np.int64]  # (2,) how many values, and pairs, may be there at once
    live: NDArray[np.int64]  # (2,) how many are
    at: NDArray[np.int64]  # (3,) the row to go on with; the pane that `live` is of; how many found no room


ROW, PANE, REFUSED = range(3)


@inlined
def _pane(time: Number) -> Number:
    return time * PANES // DAY_MS


@inlined
def _recount(books: Books, pane: int) -> None:
    """Count what is in the 24 h that end with `pane`."""
    books.at[PANE] = pane
    books.live[VALUES] = 0
    for row in range(books.values.used[0]):
        books.live[VALUES] += _pane(books.values.rows[row]["last"]) > pane - PANES
    books.live[PAIRS] = 0
    for row in range(books.pairs.used[0]):
        books.live[PAIRS] += _pane(books.pairs.rows[row]["last"]) > pane - PANES


@inlined
def _admitted(known: Entries, key: np.uint64, pane: int, in_turn: bool, which: int, books: Books) -> Number:
    """The row of a key that has a place, or finds one; else NONE. `in_turn`: what has left the 24 h has none."""
    row = known_row(known, key)
    if row < 0 or (in_turn and _pane(known.rows[row]["last"]) <= pane - PANES):
        if books.live[which] >= books.limits[which]:
            return NONE
        books.live[which] += 1
    if row < 0:
        row = row_of(known, key)
        known.rows[row]["last"] = NO_TIME
    return row


@steady
def use(books: Books, rows: NDArray[Any], log: NDArray[Any], by_user: bool, in_turn: bool) -> None:
    """Use `rows` (dtype VALUE) from `books.at[ROW]` on, by their turns, and write to `log` (dtype STEP) what changes.

    Stops where tables or ring are full. Not `in_turn`, rows come in any order, and nothing makes room: where none is
    refused, the order has made no difference.
    """
    for i in range(books.at[ROW], len(rows)):
        books.at[ROW] = i
        full = books.values.used[0] == len(books.values.rows) or books.pairs.used[0] == len(books.pairs.rows)
        if full or books.values.used[0] + 1 >= books.ring.totals.shape[1]:
            return
        row, step = rows[i], log[i]
        step["counter"], step["value"], step["pair"] = NONE, NONE, NONE
        ts = row["ts"]
        pane = _pane(row["used"])
        if in_turn and pane != books.at[PANE]:
            _recount(books, pane)
        if _pane(ts) <= pane - PANES:
            continue  # older than all windows
        counter = OTHER
        value = _admitted(books.values, row["key"], pane, in_turn, VALUES, books)
        if value == NONE:
            books.at[REFUSED] += 1
        else:
            counter = value + 1
            step["value"], step["value_last"] = value, books.values.rows[value]["last"]
            books.values.rows[value]["last"] = max(step["value_last"], ts)
        if by_user:
            about = np.uint64(OTHER) if value == NONE else row["key"]
            pair = _admitted(books.pairs, (about ^ row["user"] * MIX) * MIX, pane, in_turn, PAIRS, books)
            if pair == NONE:
                books.at[REFUSED] += 1
                counter = OTHER
            else:
                before: Number = books.pairs.rows[pair]["last"]
                step["pair"], step["pair_last"] = pair, before
                if ts <= before:
                    continue
                books.pairs.rows[pair]["last"] = ts
                if before != NO_TIME:
                    add(books.ring, before, counter, -1)
        step["counter"] = counter
        add(books.ring, ts, counter, 1)
    books.at[ROW] = len(rows)


@steady
def take_back(books: Books, rows: NDArray[Any], log: NDArray[Any], count: int) -> None:
    """Undo what the first `count` of `rows` have changed, the last first; the ring has not moved since."""
    for i in range(count - 1, -1, -1):
        step = log[i]
        if step["counter"] != NONE:
            add(books.ring, rows[i]["ts"], step["counter"], -1)
            before: Number = step["pair_last"]
            if step["pair"] != NONE and before != NO_TIME:
                add(books.ring, before, step["counter"], 1)
        if step["pair"] != NONE:
            _restore(books.pairs, step["pair"], step["pair_last"])
        if step["value"] != NONE:
            _restore(books.values, step["value"], step["value_last"])


@inlined
def _restore(known: Entries, row: Number, last: Number) -> None:
    """Let a row say what it said before; it goes where it was new."""
    known.rows[row]["last"] = last
    if last == NO_TIME:
        forget_newest(known)
