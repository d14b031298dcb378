from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flows.state.windows import PANES, Windows, add, add_in, move

WIDTHS = (1_000, 60_000, 100_003)  # the last is no multiple of 60
START = 1_700_000_000_000


def expected(entries: list[tuple[int, int, int]], now: int, width: int, counter: int) -> int:
    """The definition: floor(ts / b) > floor(now / b) - 60, b = width / 60."""
    return sum(
        amount
        for ts, key, amount in entries
        if key == counter and ts * PANES // width > now * PANES // width - PANES and ts <= now
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200_000),  # how far the clock moves
            st.lists(st.tuples(st.integers(0, 250_000), st.integers(0, 2), st.integers(1, 5)), max_size=4),
        ),
        max_size=30,
    )
)
def test_totals_are_the_sums_over_the_trailing_panes(story: list[tuple[int, list[tuple[int, int, int]]]]) -> None:
    windows = Windows(WIDTHS, 3)
    now = START
    entries: list[tuple[int, int, int]] = []
    for step, booked in story:
        now += step
        move(windows.ring, now)
        for age, counter, amount in booked:
            add(windows.ring, now - age, counter, amount)
            entries.append((now - age, counter, amount))
        for w, width in enumerate(WIDTHS):
            for counter in range(3):
                assert windows.totals[w, counter] == expected(entries, now, width, counter)


def test_a_window_never_moves_back() -> None:
    windows = Windows([60_000], 1)
    move(windows.ring, START)
    add(windows.ring, START, 0, 7)
    move(windows.ring, START - 3_600_000)
    assert windows.totals[0, 0] == 7


def test_a_saved_window_goes_on_as_if_nothing_had_happened() -> None:
    windows, other = Windows(WIDTHS, 2), Windows(WIDTHS, 2)
    for age in (0, 500, 30_000):
        move(windows.ring, START)
        add(windows.ring, START - age, 1, 3)
    other.load(windows.save(0), 0)
    for now in (START, START + 31_000, START + 200_000):
        for each in (windows, other):
            move(each.ring, now)
        assert windows.totals.tolist() == other.totals.tolist()


def test_a_window_with_a_lag_stands_behind_and_goes_on_by_its_width_and_lag() -> None:
    windows = Windows([60_000, 60_000], 1, lags_ms=[0, 120_000])
    move(windows.ring, START)
    add_in(windows.ring, 1, 2, START - 130_000, 0, 1)
    add(windows.ring, START - 130_000, 0, 1)  # too old for the first one
    assert windows.totals.tolist() == [[0], [2]]
    other = Windows([60_000, 60_000], 1, lags_ms=[120_000, 240_000])
    other.load(other.carry(windows.save(0), windows.legend()), 0)
    assert other.begin(START).tolist() == [1]
    assert other.totals.tolist() == [[2], [0]]
    move(other.ring, START + 60_000)
    assert other.totals.tolist() == [[0], [0]]
