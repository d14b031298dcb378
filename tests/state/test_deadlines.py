from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.messages.columns import NEVER
from flows.state.deadlines import Deadlines, Times, overdue, schedule

USERS = 300


@compiled
def _due(times: Times, now: int, found: NDArray[np.int64]) -> int:
    count = 0
    for block in range(len(times.soonest)):
        for i in range(overdue(times, now, block)):
            found[count] = times.due[i]
            count += 1
    return count


def due_at(deadlines: Deadlines, now: int) -> list[int]:
    found = np.zeros(len(deadlines.times.at), np.int64)
    return sorted(found[: _due(deadlines.times, now, found)].tolist())


@given(st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, 1_000)), max_size=200), st.integers(0, 300))
def test_what_is_overdue_is_found_once_and_nothing_else(plan: list[tuple[int, int]], step: int) -> None:
    deadlines = Deadlines()
    deadlines.resize(USERS)
    times: dict[int, int] = {}
    now = 0
    for slot, later in plan:
        schedule(deadlines.times, slot, now + later)
        times[slot] = now + later
        now += step % 7
        due = due_at(deadlines, now)
        assert due == sorted(slot for slot, at in times.items() if at < now)
        for slot in due:
            deadlines.times.at[slot] = NEVER
            del times[slot]


def test_a_deadline_exactly_now_is_not_yet_overdue() -> None:
    deadlines = Deadlines()
    deadlines.resize(1)
    schedule(deadlines.times, 0, 1_000)
    assert due_at(deadlines, 1_000) == []
    assert due_at(deadlines, 1_001) == [0]


def test_users_keep_their_deadlines_when_renumbered_grown_and_saved() -> None:
    deadlines = Deadlines()
    deadlines.resize(100)
    for slot in range(100):
        schedule(deadlines.times, slot, slot)
    deadlines.keep(np.arange(50, 100))
    deadlines.resize(1_000)
    saved = Deadlines()
    saved.load(deadlines.save(50), 2_000)
    assert due_at(saved, 60) == list(range(10))  # the old slots 50 .. 59
