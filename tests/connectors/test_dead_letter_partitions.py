from __future__ import annotations

from flows.connectors.dead_letter_partitions import AVOIDED_SECONDS, Partitions


def test_partitions_take_turns() -> None:
    partitions = Partitions()
    assert partitions.choose() is None
    partitions.learn({0: 1, 1: 2, 2: 3})
    assert sorted(partitions.choose() or 0 for _ in range(6)) == [0, 0, 1, 1, 2, 2]


def test_a_broker_that_fails_is_avoided_with_all_it_leads_until_its_time_is_over() -> None:
    now = 0.0
    partitions = Partitions(monotonic=lambda: now)
    partitions.learn({0: 1, 1: 2, 2: 1})
    assert partitions.did_not_work(0) == 1
    assert partitions.failed
    assert partitions.stale
    assert {partitions.choose() for _ in range(6)} == {1}
    partitions.worked(1)
    assert not partitions.failed
    assert {partitions.choose() for _ in range(6)} == {1}
    now = AVOIDED_SECONDS + 1
    assert {partitions.choose() for _ in range(6)} == {0, 1, 2}


def test_a_partition_without_a_leader_is_left_out() -> None:
    partitions = Partitions()
    partitions.learn({0: -1, 1: 2})
    assert {partitions.choose() for _ in range(4)} == {1}


def test_where_all_have_failed_the_one_that_failed_first_is_tried_first() -> None:
    now = 0.0
    partitions = Partitions(monotonic=lambda: now)
    partitions.learn({0: 1, 1: 2, 2: 3})
    for number in (1, 0, 2):
        now += 1
        partitions.did_not_work(number)
    assert partitions.choose() == 1
    now += 1
    partitions.did_not_work(1)
    assert partitions.choose() == 0
