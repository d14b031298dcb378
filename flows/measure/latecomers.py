"""Late events that still come in order for their user (METRICS.md 1): a phone sends what it did offline.

    the user's events      x    x                 x x    |  read now: e
    time                                  e       |      |
                                    squeezed in: left out; without the last two: in order, and used

An event misses the bound at which its order was settled. It is in order where its user has no event between its own
time and that bound. The ordered families then use it in its place (`Family.advance` says what that asks of them).

Its turn comes when the watermark has reached the bound, wherever that stood when it was read: so neither polls nor the
order of partitions decide anything. What a minute has counted when it closes is final: an event is used after all that
had passed when the minute of its bound began, and what belongs to a minute before is in no minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.measure.reorder import Late
from flows.metrics.minutes import MINUTE_MS

LAST_OF_EQUALS: Final = 2**16 - 1
"""In place of the partition of a late one: it comes after what was used before it was read."""


def which_in_order(
    events: NDArray[Any], bounds: NDArray[np.int64], last: NDArray[np.int64], waiting: Sequence[NDArray[Any]]
) -> NDArray[np.bool_]:
    """Which of the late `events` have no other of their user between their time and their bound (ms).

    The events (dtype HELD) are in the order read, without copies. Of the time before, `last` is by slot the time of the
    latest event used, and `waiting` has those that have not been (dtype HELD).
    """
    found = np.zeros(len(events), np.bool_)
    newest = np.zeros(len(last), np.int32)
    others = np.zeros(len(events), np.int32)
    if _candidates(events, bounds, last, found, newest, others):
        for rows in waiting:
            _compare(rows, events, bounds, found, newest, others)
        _settle(events, bounds, found, newest, np.zeros(len(last), np.int32), others)
    return found


def turns_of(late: Late, stands_ms: int) -> list[int]:
    """When turns begin that let all of `late` be used, ms: the first where the ordered families stand."""
    return sorted({stands_ms, *_begins(late, stands_ms).tolist()})


def in_turns(
    passed: NDArray[Any], late: Late, turns: Sequence[int], watermark_ms: int
) -> Iterator[tuple[NDArray[Any], int]]:
    """The rows that have passed and the late ones whose turn has come, in order, and the time to stand at after them.

    `turns`: when they begin, ms, as `turns_of` has it for these late ones and perhaps others.
    """
    if len(turns) == 1 and not len(late.rows):
        yield passed, watermark_ms
        return
    begins = _begins(late, turns[0])
    order = np.lexsort((late.rows["ts"], begins))
    rows = late.rows.take(order)
    rows["partition"] = LAST_OF_EQUALS
    merged = np.empty(len(passed) + len(rows), passed.dtype)
    ends = np.zeros(len(turns), np.int64)
    _merge(passed, rows, begins[order], np.array(turns, np.int64), merged, ends)
    first = 0
    for end, until in zip(ends.tolist(), [*turns[1:], watermark_ms], strict=True):
        yield merged[first:end], until
        first = end


def _begins(late: Late, stands_ms: int) -> NDArray[np.int64]:
    """When the turn of each begins, ms: with the minute of its bound."""
    return np.maximum(late.bounds // MINUTE_MS * MINUTE_MS, stands_ms)


@compiled
def _candidates(
    events: NDArray[Any],
    bounds: NDArray[np.int64],
    last: NDArray[np.int64],
    found: NDArray[np.bool_],
    newest: NDArray[np.int32],
    others: NDArray[np.int32],
) -> int:
    """Set `found` for the late events that nothing used before keeps out of order; returns how many.

    The candidates of a user form a linked list: `newest[slot]` is the number of the last one, `others[i]` that of the
    one before event i. Events are numbered from 1, and 0 ends the list.
    """
    count = 0
    for i in range(len(events)):
        event = events[i]
        slot = event["slot"]
        if event["late"] and last[slot] <= event["ts"] < bounds[i]:
            found[i] = True
            others[i] = newest[slot]
            newest[slot] = i + 1
            count += 1
    return count


@compiled
def _compare(
    waiting: NDArray[Any],
    events: NDArray[Any],
    bounds: NDArray[np.int64],
    found: NDArray[np.bool_],
    newest: NDArray[np.int32],
    others: NDArray[np.int32],
) -> None:
    """Take those out of `found` that an event of their user which waits keeps out of order."""
    for i in range(len(waiting)):
        one = newest[waiting[i]["slot"]]
        if one and not waiting[i]["late"]:
            time = waiting[i]["ts"]
            while one:
                if events[one - 1]["ts"] < time < bounds[one - 1]:
                    found[one - 1] = False
                one = others[one - 1]


@compiled
def _settle(
    events: NDArray[Any],
    bounds: NDArray[np.int64],
    found: NDArray[np.bool_],
    newest: NDArray[np.int32],
    used: NDArray[np.int32],
    others: NDArray[np.int32],
) -> None:
    """Take those out of `found` that an event of their user among `events`, read before, keeps out of order.

    The events used are linked like the candidates, from `used[slot]` (all 0 at first) through `others`.
    """
    for i in range(len(events)):
        slot = events[i]["slot"]
        if not newest[slot]:
            continue
        before = used[slot]
        while found[i] and before:
            found[i] = not events[i]["ts"] < events[before - 1]["ts"] < bounds[i]
            before = others[before - 1]
        if found[i] or not events[i]["late"]:
            others[i] = used[slot]
            used[slot] = i + 1


@compiled
def _merge(
    passed: NDArray[Any],
    late: NDArray[Any],
    begins: NDArray[np.int64],
    turns: NDArray[np.int64],
    merged: NDArray[Any],
    ends: NDArray[np.int64],
) -> None:
    """Write both, in the order of their turns and times, to `merged`; `ends` says where each turn ends there.

    `late` is in order of the beginnings of its turns, then of time. At the same time what has passed comes first.
    """
    p = 0
    r = 0
    for turn in range(len(turns)):
        is_last = turn + 1 == len(turns)
        while True:
            has_passed = p < len(passed) and (is_last or passed[p]["ts"] < turns[turn + 1])
            has_late = r < len(late) and begins[r] == turns[turn]
            if has_passed and (not has_late or passed[p]["ts"] <= late[r]["ts"]):
                merged[p + r] = passed[p]
                p += 1
            elif has_late:
                merged[p + r] = late[r]
                r += 1
            else:
                break
        ends[turn] = p + r
