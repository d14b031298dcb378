from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.state.remembered import Remembered, is_copy

HORIZON = 20


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30), st.integers(0, 15)), max_size=300), st.integers(0, 299)
)
def test_an_id_counts_once_within_the_horizon_whatever_is_swept_out(
    facts: list[tuple[int, int, int]], saved_after: int
) -> None:
    remembered = Remembered()
    last: dict[int, int] = {}
    clocks = [0, 0, 0, 0]
    for number, (slot, id_, step) in enumerate(facts):
        clocks[slot] += step
        key = 1000 * slot + id_  # of one user alone
        expected = key in last and clocks[slot] - last[key] <= HORIZON
        remembered.reserve(1, HORIZON)
        assert is_copy(remembered.ids, np.uint64(key), slot, clocks[slot], HORIZON) == expected
        if not expected:
            last[key] = clocks[slot]
        if number == saved_after:
            again = Remembered()
            again.load(remembered.save(4), 4)
            remembered = again


def test_what_no_copy_can_follow_is_swept_out() -> None:
    remembered = Remembered()
    for number in range(1, 10_001):
        remembered.reserve(1, HORIZON)
        is_copy(remembered.ids, np.uint64(number), 0, number, HORIZON)
    assert len(remembered.ids.keys) <= 256


def test_ids_go_with_their_users() -> None:
    remembered = Remembered()
    for slot in range(5):
        is_copy(remembered.ids, np.uint64(100 + slot), slot, 7, HORIZON)
    remembered.keep(np.array([1, 3]))
    assert len(remembered) == 2
    assert sorted(remembered.save(2)["slots"].tolist()) == [0, 1]
    assert is_copy(remembered.ids, np.uint64(103), 1, 8, HORIZON)
    assert not is_copy(remembered.ids, np.uint64(102), 2, 8, HORIZON)


def test_without_an_id_nothing_is_a_copy() -> None:
    remembered = Remembered()
    assert not any(is_copy(remembered.ids, np.uint64(0), 0, 5, HORIZON) for _ in range(2))
    assert len(remembered) == 0
