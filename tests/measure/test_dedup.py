from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.measure.dedup import SMALLEST, Recent
from flows.messages.columns import EVENT

HORIZON = 600_000
START = HORIZON * 3_000_000
AHEAD = st.integers(0, 6 * HORIZON)


def copies(recent: Recent, *read: tuple[int, int, int]) -> list[bool]:
    """Whether each (user, message, stream clock) is a copy."""
    rows = np.zeros(len(read), EVENT)
    rows["user"] = [user for user, _, _ in read]
    rows["message"] = [message for _, message, _ in read]
    found: list[bool] = recent.copies(rows, np.array([time for _, _, time in read], np.int64)).tolist()
    return found


def test_a_message_read_twice_is_a_copy() -> None:
    assert copies(Recent(HORIZON), (1, 7, START), (1, 7, START), (1, 8, START)) == [False, True, False]


def test_the_same_message_of_two_users_is_two_messages() -> None:
    assert copies(Recent(HORIZON), (1, 7, START), (2, 7, START)) == [False, False]


def test_an_event_without_message_is_never_a_copy() -> None:
    assert copies(Recent(HORIZON), (1, 0, START), (1, 0, START)) == [False, False]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # |---- generation ----|---- generation ----|---- generation ----|
        #  first                                 copy
        (0, 2 * HORIZON - 1, True),
        (0, 2 * HORIZON, False),
        #                 first                copy
        (HORIZON - 1, 2 * HORIZON - 1, True),
        (HORIZON - 1, 2 * HORIZON, False),
        (HORIZON - 1, 5 * HORIZON, False),
    ],
)
def test_a_message_is_remembered_in_its_generation_and_the_next(first: int, second: int, expected: bool) -> None:
    recent = Recent(HORIZON)
    assert copies(recent, (1, 7, START + first)) == [False]
    assert copies(recent, (1, 7, START + second)) == [expected]


def test_a_partition_that_is_behind_finds_the_copies_of_one_that_is_ahead() -> None:
    recent = Recent(HORIZON)
    assert copies(recent, (1, 7, START + 5 * HORIZON), (1, 7, START)) == [False, True]


def test_a_table_that_was_loaded_has_room_for_what_comes_behind_it() -> None:
    read = [(1, message, START) for message in range(1, 2 * SMALLEST)]
    before, loaded = Recent(HORIZON), Recent(HORIZON)
    copies(before, *read)
    loaded.load(before.save(0), 0)
    more = [(1, message, START) for message in range(2 * SMALLEST, 6 * SMALLEST)]
    assert copies(loaded, *read, *more) == [True] * len(read) + [False] * len(more)


def test_what_no_copy_can_be_compared_with_is_forgotten() -> None:
    recent = Recent(HORIZON)
    copies(recent, (1, 7, START), (1, 8, START + HORIZON), (1, 9, START + 2 * HORIZON))
    recent.forget(START + 2 * HORIZON)
    assert recent.save(0)["keys"].shape == (2,)
    recent.forget(START + 9 * HORIZON)
    assert recent.save(0)["keys"].shape == (0,)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(0, HORIZON)), max_size=80), st.data())
def test_polls_and_restarts_change_nothing(story: list[tuple[int, int, int]], data: st.DataObject) -> None:
    now, read = START, []
    for user, message, step in story:
        now += step
        read.append((user, message, now))
    at_once = copies(Recent(HORIZON), *read)
    recent, in_parts = Recent(HORIZON), []
    while read:
        size = data.draw(st.integers(1, 20))
        in_parts += copies(recent, *read[:size])
        recent.forget(read[0][2])
        read = read[size:]
        saved, recent = recent, Recent(HORIZON)
        recent.load(saved.save(0), 0)
    assert in_parts == at_once


@given(
    st.lists(st.tuples(st.sampled_from([2, 4]), st.sampled_from([0, 1000, 2000]), AHEAD), max_size=60),
    st.frozensets(st.integers(0, 60), max_size=6),
)
def test_copies_are_those_of_the_same_generation_the_one_before_or_a_later_one(
    read: list[tuple[int, int, int]], forgotten: frozenset[int]
) -> None:
    """Partitions read in any order, none behind the stream clock, after whose moves ids are forgotten."""
    recent, known, now = Recent(HORIZON), set[tuple[int, int, int]](), START
    for number, (user, message, ahead) in enumerate(read):
        clock = now + ahead
        generation = clock // HORIZON
        copy = message != 0 and any((user, message) == one[:2] and one[2] >= generation - 1 for one in known)
        assert copies(recent, (user, message, clock)) == [copy]
        if not copy:
            known.add((user, message, generation))
        if number in forgotten:
            now = clock
            recent.forget(now)
