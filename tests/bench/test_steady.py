from __future__ import annotations

import math

import pytest

from deploy.bench import bench
from deploy.bench.freshness import Batch, Look
from deploy.bench.processes import RunFailed
from deploy.bench.steady import SLOWEST, STALL_SECONDS, Load, Patience, recovery, rows


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_backlog_is_waited_for_as_long_as_it_shrinks() -> None:
    clock = Clock()
    patience = Patience(clock)
    for consumed in range(0, 100_000, 1_000):
        assert not patience.ends(consumed, 5_000_000, feeding=True)
        clock.now_s += STALL_SECONDS * 0.9
    clock.now_s += STALL_SECONDS
    assert patience.ends(99_000, 5_000_000, feeding=True)


def test_the_wait_behind_the_end_of_the_feed_is_bounded_by_the_backlog() -> None:
    clock = Clock()
    patience = Patience(clock)
    backlog = 2_000_000
    assert not patience.ends(0, backlog, feeding=False)
    bound_s = STALL_SECONDS + backlog / SLOWEST
    consumed = 0
    while clock.now_s <= bound_s:
        assert not patience.ends(consumed, backlog, feeding=False)
        clock.now_s += 1.0
        consumed += 1
    assert patience.ends(consumed, backlog, feeding=False)


def test_a_load_that_is_kept_has_these_numbers() -> None:
    """A batch of 100 every 100 ms, and 30 ms behind each a look that shows it."""
    due = [Batch(100 * beat, (100 * beat,), 2.0) for beat in range(1, 31)]
    looks = [Look(batch.due_ms + 30, "1", batch.sent[0], batch.sent) for batch in due]
    found = rows(Load("half", 1_000.0, 3.0, 1.0), due, looks, 0.25)
    assert {row.name: (row.value, row.verdict) for row in found} == {
        "sent": (1_000.0, ""),
        "feed behind its schedule, p99": (2.0, ""),
        "CPU of tidegauge's core": (25.0, ""),
        "lag grown from beginning to end, as ms of load": (0.0, "met"),
        "freshness p50, record due to value read": (30.0, ""),
        "freshness p99": (30.0, "dream"),
        "freshness max": (30.0, ""),
    }


def test_three_loads_are_paced_and_the_kill_is_at_half_the_maximum() -> None:
    found = bench.loads(bench.arguments([]), base_ns=1_000.0)
    assert [(round(load.rate), load.kill_seconds > 0) for load in found] == [
        (100_000, False),
        (500_000, True),
        (800_000, False),
    ]


def test_after_a_crash_the_first_right_value_may_be_old_and_keeping_up_means_young_ones() -> None:
    """
    due every 100 ms, one event each      looks   5000: restored, half counted
                                                  5500: 10 of 10    6000: 20 of 20    6500: all that is 1.5 s old
    """
    due = [Batch(100 * beat, (beat,)) for beat in range(1, 100)]
    looks = [
        Look(5_000, "2", 9, (10,)),
        Look(5_500, "2", 10, (10,)),
        Look(6_000, "2", 20, (20,)),
        Look(6_500, "2", 50, (50,)),
        Look(7_000, "2", 60, (60,)),
    ]
    assert recovery(looks, due) == (5_500, 6_500)
    assert recovery(looks[:3], due) == (5_500, math.inf)


def test_without_a_price_of_an_event_there_are_no_shares_of_a_maximum() -> None:
    with pytest.raises(RunFailed, match="--events"):
        bench.loads(bench.arguments([]), base_ns=-20.0)
