from __future__ import annotations

from flows.publish.dead_letters.partitions import AVOIDED_SECONDS, Partitions


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def chosen(partitions: Partitions, times: int = 6) -> list[tuple[int, bool]]:
    return [choice for _ in range(times) if (choice := partitions.choose()) is not None]


def test_partitions_take_turns() -> None:
    partitions = Partitions()
    assert partitions.choose() is None
    assert partitions.stale
    partitions.learn({0: 1, 1: 2, 2: 3})
    assert sorted(chosen(partitions)) == [(0, False), (0, False), (1, False), (1, False), (2, False), (2, False)]
    assert not partitions.stale
    assert not partitions.hopeless


def test_a_broker_that_fails_is_avoided_with_all_it_leads_and_then_tried_with_one_letter() -> None:
    partitions = Partitions(monotonic=(clock := Clock()))
    partitions.learn({0: 1, 1: 2, 2: 1})
    assert partitions.did_not_work(0) == 1
    assert partitions.stale
    assert not partitions.hopeless
    assert set(chosen(partitions)) == {(1, False)}
    clock.now = AVOIDED_SECONDS + 1
    assert sum(doubtful for _, doubtful in chosen(partitions, 20)) == 1
    assert set(chosen(partitions)) == {(1, False)}
    partitions.worked(0)
    assert set(chosen(partitions)) == {(0, False), (1, False), (2, False)}


def test_a_partition_whose_leader_has_moved_is_not_avoided() -> None:
    partitions = Partitions()
    partitions.learn({0: 1})
    partitions.did_not_work(0)
    assert partitions.hopeless
    partitions.learn({0: 2})
    assert not partitions.hopeless
    assert partitions.choose() == (0, False)


def test_a_partition_without_a_leader_is_left_out() -> None:
    partitions = Partitions(monotonic=(clock := Clock()))
    partitions.learn({0: -1, 1: 2})
    assert set(chosen(partitions)) == {(1, False)}
    assert not partitions.stale
    clock.now = 1.5
    assert partitions.stale


def test_where_all_have_failed_they_are_tried_in_turn() -> None:
    partitions = Partitions(monotonic=(clock := Clock()))
    partitions.learn({0: 1, 1: 2, 2: 3})
    for number in (1, 0, 2):
        clock.now += 1
        partitions.did_not_work(number)
    assert partitions.hopeless
    tried = []
    for _ in range(4):
        clock.now += 1
        tried += chosen(partitions, 1)
    assert tried == [(1, True), (0, True), (2, True), (1, True)]
