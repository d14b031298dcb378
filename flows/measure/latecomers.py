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
from flows.measure.reorder import Late, in_order
from flows.metrics.minutes import MINUTE_MS

LAST_OF_EQUALS: Final = 2**16 - 1
"""In place of the partition of a late one: it comes after what was used before it was read."""


def which_in_order(
    times: NDArray[np.int64],
    slots: NDArray[np.int32],
    late: NDArray[np.bool_],
    bounds: NDArray[np.int64],
    last: NDArray[np.int64],
    waiting: Sequence[NDArray[Any]],
) -> NDArray[np.bool_]:
    """Which of the `late` events have no other of their user between their time and their bound (ms).

    The events are in the order read, without copies, `slots` their users. Of the time before, `last` is by slot the
    time of the latest event used, and `waiting` has those that have not been (dtype HELD).
    """
    found = late & (times < bounds) & (last[slots] <= times)
    if not found.any():
        return found
    users = np.unique(slots[found])
    before = [rows[(rows["late"] == 0) & np.isin(rows["slot"], users)] for rows in waiting]
    here = np.flatnonzero(np.isin(slots, users))
    owners = np.concatenate([*(rows["slot"] for rows in before), slots[here]])
    numbers = np.concatenate([np.full(len(owners) - len(here), -1), here])
    order = np.argsort(owners, kind="stable")
    all_times = np.concatenate([*(rows["ts"] for rows in before), times[here]])
    _settle(owners[order], all_times[order], numbers[order], late, bounds, found)
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
    rows = late.rows.copy()
    rows["partition"] = LAST_OF_EQUALS
    begins = _begins(late, turns[0])
    for begin, end in zip(turns, [*turns[1:], watermark_ms], strict=True):
        first, stop = np.searchsorted(passed["ts"], (begin, end)) if begin > turns[0] else (0, None)
        if stop is None:
            stop = np.searchsorted(passed["ts"], end)
        yield in_order(np.concatenate([passed[first:stop], rows[begins == begin]])), end


def _begins(late: Late, stands_ms: int) -> NDArray[np.int64]:
    """When the turn of each begins, ms: with the minute of its bound."""
    return np.maximum(late.bounds // MINUTE_MS * MINUTE_MS, stands_ms)


@compiled
def _settle(
    owners: NDArray[np.int32],
    times: NDArray[np.int64],
    numbers: NDArray[np.int64],
    late: NDArray[np.bool_],
    bounds: NDArray[np.int64],
    found: NDArray[np.bool_],
) -> None:
    """Take out of `found` what is not in order. The arrays are by user, then as read; of a row number -1: before all
    others.
    """
    begin = 0
    for i in range(len(owners)):
        if owners[i] != owners[begin]:
            begin = i
        number = numbers[i]
        if number < 0 or not found[number]:
            continue
        for before in range(begin, i):
            other = numbers[before]
            counts = other < 0 or not late[other] or found[other]
            if counts and times[i] < times[before] < bounds[number]:
                found[number] = False
                break
