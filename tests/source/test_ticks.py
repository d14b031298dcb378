from __future__ import annotations

from flows.source.ticks import GRACE_MS, STALL_MS, Ticker


class Clock:
    """A monotonic clock moved by hand, in ms."""

    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> float:
        return self.ms / 1000


def ticker(clock: Clock, *, timed: bool = True) -> Ticker:
    return Ticker(500, timed=timed, monotonic=clock)


def test_ticks_are_numbered_and_missed_ones_are_not_made_up_for() -> None:
    clock = Clock()
    ticks = ticker(clock)
    numbers = []
    for step in (0, 499, 1, 10, 2_000, 10, 499):
        clock.ms += step
        if (tick := ticks.due()) is not None:
            numbers.append((tick.number, clock.ms))
    assert numbers == [(1, 1_500), (2, 3_510), (3, 4_019)]


def test_time_is_handed_on_as_it_passes() -> None:
    clock = Clock()
    ticks = ticker(clock)
    for _ in range(10):
        clock.ms += 10
        ticks.beat()
        assert ticks.stamp() == clock.ms


def test_after_a_stall_no_time_is_handed_on_until_waiting_records_have_come_in() -> None:
    # round     stall                     grace              time goes on
    #   |.........................|---------------------|----------
    clock = Clock()
    ticks = ticker(clock)
    ticks.beat()
    assert ticks.stamp() == clock.ms
    clock.ms += 30_000
    ticks.beat()
    assert ticks.stamp() is None
    clock.ms += GRACE_MS - 1
    assert ticks.stamp() is None
    clock.ms += 1
    assert ticks.stamp() == clock.ms


def test_a_second_stall_within_the_grace_begins_it_anew() -> None:
    clock = Clock()
    ticks = ticker(clock)
    for pause in (10_000, STALL_MS + 1, GRACE_MS - 1):
        clock.ms += pause
        ticks.beat()
        assert ticks.stamp() is None


def test_a_pause_of_an_ordinary_round_is_no_stall() -> None:
    clock = Clock()
    ticks = ticker(clock)
    clock.ms += STALL_MS
    ticks.beat()
    assert ticks.stamp() == clock.ms


def test_where_time_moves_with_the_events_only_none_is_handed_on() -> None:
    assert ticker(Clock(), timed=False).stamp() is None


def test_an_end_that_is_the_first_thing_after_a_stall_hands_on_no_time() -> None:
    # else the checkpoint would hold a clock that is ahead of everything that has waited meanwhile
    clock = Clock()
    ticks = ticker(clock)
    ticks.beat()
    clock.ms += 30_000
    assert ticks.final().monotonic_ms is None


def test_a_stall_is_told_once() -> None:
    clock = Clock()
    ticks = ticker(clock)
    told = []
    for pause in (10, STALL_MS, STALL_MS + 1, 10):
        clock.ms += pause
        told.append(ticks.beat())
    assert told == [False, False, True, False]
