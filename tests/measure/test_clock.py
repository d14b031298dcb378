from __future__ import annotations

import numpy as np
import pytest

from flows.measure.clock import Reading, StreamClock, judge
from flows.messages.columns import EVENT, NO_TIME, REASONS, Columns
from schemas.event import EXCLUSIONS

NOON = 1_700_000_000_000


def poll(partition: int, clock: int | None, *, end: bool, at: int | None, partitions: int = 2) -> Columns:
    """A poll of one event at `clock` (None: of nothing), read to the end of its partition or not."""
    rows = np.zeros(0 if clock is None else 1, EVENT)
    return Columns(
        partition,
        partitions,
        rows,
        NO_TIME if clock is None else clock,
        NO_TIME if clock is None else clock,
        len(rows),
        rejected=np.zeros(len(REASONS), np.int64),
        excluded=np.zeros(len(EXCLUSIONS), np.int64),
        caught_up=end,
        monotonic_ms=at,
    )


def test_there_is_no_time_before_every_partition_has_shown_its_own() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=False, at=0))
    assert clock.now_ms == NO_TIME
    clock.read(poll(1, NOON - 5_000, end=False, at=0))
    assert clock.now_ms == NOON - 5_000


def test_an_empty_partition_read_to_its_end_holds_nothing_back() -> None:
    clock = StreamClock()
    clock.read(poll(1, None, end=True, at=0))
    clock.read(poll(0, NOON, end=False, at=0))
    assert clock.now_ms == NOON


def test_the_slowest_lagging_partition_holds_the_clock() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=False, at=0))
    clock.read(poll(1, NOON + 60_000, end=False, at=0))
    assert clock.now_ms == NOON
    clock.read(poll(0, NOON + 90_000, end=False, at=0))
    assert clock.now_ms == NOON + 60_000
    clock.read(poll(1, None, end=True, at=0))
    assert clock.now_ms == NOON + 90_000


def test_with_everything_read_time_goes_on_by_the_monotonic_clock() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=1_000))
    clock.read(poll(1, NOON - 9_000, end=True, at=1_000))
    assert clock.now_ms == NOON
    assert clock.advance(31_000) == NOON + 30_000
    clock.read(poll(0, NOON + 29_000, end=True, at=31_500))  # its producer's clock is a second slow
    assert clock.now_ms == NOON + 30_500
    assert clock.advance(32_400) == NOON + 30_500  # it has caught up with that only after 1.5 s
    assert clock.advance(33_500) == NOON + 31_000


def test_a_record_read_while_the_time_is_not_known_counts_from_when_it_is() -> None:
    """After a stall the source hands on no time for a moment."""
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=1_000, partitions=1))
    clock.read(poll(0, NOON + 30_000, end=True, at=None, partitions=1))
    assert clock.advance(None) == NOON + 30_000
    assert clock.advance(32_000) == NOON + 30_000
    assert clock.advance(32_500) == NOON + 30_500


def test_with_nothing_to_read_a_stall_has_been_time_like_any_other() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=1_000, partitions=1))
    assert clock.advance(2_000) == NOON + 1_000
    assert clock.advance(None) == NOON + 1_000
    assert clock.advance(33_000) == NOON + 32_000


def test_behind_a_lag_in_which_nothing_came_time_goes_on_from_where_it_stood() -> None:
    """Else an outage, or a restart, would stop an idle product for as long as it has been idle."""
    hour = 3_600_000
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=0, partitions=1))
    assert clock.advance(hour) == NOON + hour
    clock.read(poll(0, None, end=False, at=hour, partitions=1))
    assert clock.advance(hour + 40_000) == NOON + hour
    clock.read(poll(0, None, end=True, at=hour + 40_000, partitions=1))
    assert clock.advance(hour + 41_000) == NOON + hour + 1_000
    resumed = StreamClock()
    resumed.load(clock.save(0), 0)
    resumed.read(poll(0, None, end=True, at=77, partitions=1))
    assert resumed.advance(1_077) == NOON + hour + 2_000
    resumed.read(poll(0, NOON + hour, end=True, at=1_077, partitions=1))
    assert resumed.advance(1_577) == NOON + hour + 2_000  # a record corrects it


def test_while_a_partition_lags_time_does_not_pass() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=0, partitions=1))
    clock.read(poll(0, NOON + 10, end=False, at=10, partitions=1))
    assert clock.advance(3_600_000) == NOON + 10
    clock.read(poll(0, NOON + 20, end=True, at=3_600_010, partitions=1))
    assert clock.advance(3_600_020) == NOON + 30


def test_time_never_moves_back_and_can_be_advanced_to_a_given_time() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=None, partitions=1))
    assert clock.advance(None, NOON + 5_000) == NOON + 5_000
    assert clock.advance(None, NOON) == NOON + 5_000
    clock.read(poll(0, NOON + 1_000, end=True, at=None, partitions=1))
    assert clock.now_ms == NOON + 5_000


def test_after_a_restart_every_partition_lags_until_its_end_is_seen_again() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=0))
    clock.read(poll(1, NOON, end=True, at=0))
    clock.advance(5_000)
    resumed = StreamClock()
    resumed.load(clock.save(0), 0)
    resumed.read(poll(0, NOON + 60_000, end=True, at=77))
    assert resumed.now_ms == NOON + 5_000  # partition 1 may have a backlog: downtime is not lateness
    resumed.read(poll(1, None, end=True, at=88))
    assert resumed.now_ms == NOON + 60_000


def test_a_partition_that_comes_later_lags_first() -> None:
    clock = StreamClock()
    clock.read(poll(0, NOON, end=True, at=0, partitions=1))
    clock.read(poll(0, NOON + 10_000, end=False, at=0, partitions=2))
    assert clock.now_ms == NOON
    clock.read(poll(1, NOON + 20_000, end=True, at=0, partitions=2))
    assert clock.now_ms == NOON + 10_000


@pytest.mark.parametrize(
    ("reading", "late"),
    [
        #       own clock      T      the rows are at +0 s, +20 s, +9 s
        (Reading(NO_TIME, NO_TIME), [False, False, True]),  # 9 < 20 - 10
        (Reading(NOON + 10_000, NOON), [False, False, True]),
        (Reading(NOON + 10_001, NOON), [True, False, True]),
        (Reading(NOON, NOON + 31_000), [True, True, True]),  # T is ahead: live
        (Reading(NOON, NOON - 500_000), [False, False, True]),  # another partition is far behind
    ],
)
def test_a_row_is_late_by_the_watermark_or_by_its_own_partition(reading: Reading, late: list[bool]) -> None:
    rows = np.zeros(3, EVENT)
    rows["ts"] = [NOON, NOON + 20_000, NOON + 9_000]
    rows["clock"] = np.maximum.accumulate(rows["ts"])
    assert judge(rows, [3], [reading], 10_000)[1].tolist() == late
