from __future__ import annotations

import numpy as np

from flows.compiled.loops import compiled
from flows.state.axes import Names
from flows.state.days import Days, Sheet, add_on, turn_to


@compiled
def stand(sheet: Sheet, day: int) -> None:
    turn_to(sheet, day)


@compiled
def count(sheet: Sheet, day: int, counter: int) -> None:
    add_on(sheet, day, counter, 1)


def test_days_add_up_and_the_oldest_is_forgotten() -> None:
    days = Days(3, 2)
    stand(days.sheet, 10)
    for day, counter in ((8, 0), (9, 1), (10, 0), (7, 0)):  # the last is too old
        count(days.sheet, day, counter)
    assert days.sums(10, 3).tolist() == [2, 1]
    assert days.sums(9, 1).tolist() == [0, 1]
    stand(days.sheet, 12)
    assert days.sums(12, 3).tolist() == [1, 0]
    stand(days.sheet, 11)  # never back
    assert days.sums(12, 1).tolist() == [0, 0]


def test_saved_days_go_on_by_the_names_of_their_counters() -> None:
    days = Days(3, Names(["web", "ios"]))
    stand(days.sheet, 10)
    count(days.sheet, 9, 0)
    count(days.sheet, 10, 1)
    other = Days(3, Names(["ios", "tv"]))
    other.load(other.carry(days.save(0), days.legend()), 0)
    assert other.sums(10, 3).tolist() == [1, 0]
    assert np.array_equal(other.sheet.head, days.sheet.head)
