"""Which late events are in order for their user, and when they are used."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.config.model import Config
from flows.measure.latecomers import in_turns, turns_of, which_in_order
from flows.measure.reorder import Late, ReorderBuffer
from flows.measure.users import Users
from flows.messages.columns import NO_TIME
from flows.metrics.family import HELD, Groups
from flows.state.container import Arrays

MINUTE = 60_000

times = st.integers(0, 12)
events = st.lists(st.tuples(st.integers(0, 2), times), max_size=12)


def held(events: list[tuple[int, int]], late: bool = False) -> NDArray[np.void]:
    rows = np.zeros(len(events), HELD)
    rows["slot"] = [slot for slot, _ in events]
    rows["ts"] = [time for _, time in events]
    rows["late"] = late
    return rows


@given(events, events, st.lists(times, max_size=12), st.lists(times | st.just(NO_TIME), min_size=3, max_size=3))
def test_which_late_events_are_in_order(
    batch: list[tuple[int, int]], before: list[tuple[int, int]], bounds: list[int], last: list[int]
) -> None:
    """One that lies before its bound is, unless another of the user that is used lies between the two."""
    bounds = (bounds + [6] * len(batch))[: len(batch)]
    used = [(slot, time) for slot, time in enumerate(last)] + before
    expected = []
    for (slot, time), bound in zip(batch, bounds, strict=True):
        late = time < bound
        between = any(one == slot and time < other < bound for one, other in used)
        expected.append(late and not between and time >= last[slot])
        if not late or expected[-1]:
            used.append((slot, time))
    rows = held(batch)
    rows["late"] = [time < bound for (_, time), bound in zip(batch, bounds, strict=True)]
    found = which_in_order(rows, np.array(bounds, np.int64), np.array(last, np.int64), [held(before)])
    assert found.tolist() == expected


def test_rows_that_wait_and_are_left_out_stand_between_nothing() -> None:
    bound, last = np.array([9], np.int64), np.array([2], np.int64)
    one = held([(0, 3)], late=True)
    assert which_in_order(one, bound, last, [held([(0, 5)], late=True)]).all()
    assert not which_in_order(one, bound, last, [held([(0, 5)])]).any()


def test_what_has_passed_and_no_late_one_is_one_turn() -> None:
    passed = held([(0, 3), (1, 7)])
    nothing = Late(held([]), np.zeros(0, np.int64))
    ((rows, until),) = in_turns(passed, nothing, turns_of(nothing, 0), 10)
    assert rows is passed
    assert until == 10


def test_a_late_one_is_used_when_all_is_before_the_minute_in_which_it_was_read() -> None:
    """What had passed by then, then the late one with the rest; at the same time the late one comes last."""
    passed = held([(0, MINUTE), (1, 3 * MINUTE), (2, 3 * MINUTE + 5)])
    late = Late(held([(3, MINUTE), (4, 7)]), np.array([3 * MINUTE + 4, 30], np.int64))
    begins = turns_of(late, 0)
    turns = [(rows["slot"].tolist(), until) for rows, until in in_turns(passed, late, begins, 4 * MINUTE)]
    assert turns == [([4, 0], 3 * MINUTE), ([3, 1, 2], 4 * MINUTE)]


def test_turns_of_other_late_ones_cut_what_has_passed_in_the_same_way() -> None:
    passed = held([(0, MINUTE), (1, 3 * MINUTE), (2, 3 * MINUTE + 5)])
    nothing = Late(held([]), np.zeros(0, np.int64))
    turns = [(rows["slot"].tolist(), until) for rows, until in in_turns(passed, nothing, [0, 3 * MINUTE], 4 * MINUTE)]
    assert turns == [([0], 3 * MINUTE), ([1, 2], 4 * MINUTE)]


def test_state_of_an_earlier_build_goes_on_and_leaves_out_what_it_cannot_judge() -> None:
    """It knew the minute in which a user was seen: a late event within that minute is out of order."""
    users, buffer = Users(), ReorderBuffer(Config().codes, Groups(Config(), None))
    old: Arrays = {"hashes": np.array([7], np.uint64), "seen": np.array([3], np.int32)}
    users.load(users.upgraded(old), 1024)
    assert users.last[0] == 4 * MINUTE - 1
    assert users.upgraded(users.save(1)).keys() == users.save(1).keys()
    buffer.load(buffer.upgraded({"fresh": held([(0, 5)]), "held": held([])}), 1024)
    assert len(buffer) == 1
    assert not len(buffer.late(0).rows)
