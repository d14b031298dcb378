"""Who a process of a cluster is, and what it makes of what the others say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from flows.cluster.peers import Cluster, ClusterError, Peers, Word
from flows.messages.columns import NO_TIME
from flows.messages.tick import Tick
from flows.process.health import Health

THREE = ("a:1", "b:1", "c:1")
REPORT = Health(redis_configured=False).report()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def word(
    process: int, number: int, slowest_ms: int | None = None, *, final: bool = False, heard: Sequence[int] = (0, 0, 0)
) -> Word:
    return Word(process, Tick(number, 0, None, final), slowest_ms, "same", REPORT, waited_seconds=0.0, heard=heard)


def peers(clock: Clock | None = None) -> Peers:
    """Process 1 of three."""
    return Peers(Cluster(1, THREE), "same", 500, clock or Clock())


def test_partitions_are_dealt_out_so_that_each_is_read_by_one_process() -> None:
    clusters = [Cluster(process, THREE) for process in range(3)]
    assert [[cluster.reads(partition) for cluster in clusters].count(True) for partition in range(10)] == [1] * 10
    assert all(Cluster().reads(partition) for partition in range(10))


def test_a_process_hears_the_largest_number_of_the_others() -> None:
    one = peers()
    assert one.number == 0
    for said in (word(0, 4), word(2, 7), word(1, 99), word(0, 5)):
        one.hear(said)
    assert one.number == 7


def test_a_tick_is_answered_when_all_others_have_ticked_since_they_heard_it() -> None:
    one = peers()
    assert one.heard == [0, 0, 0]
    one.hear(word(0, 20, heard=(0, 2, 20)))
    assert not one.answered(3)  # of process 2 nothing is known
    one.hear(word(2, 20, heard=(20, 3, 0)))
    assert not one.answered(3)
    one.hear(word(0, 21, heard=(0, 3, 20)))
    assert one.answered(3)
    assert not one.answered(4)
    assert one.heard == [21, 0, 20]
    one.hear(word(0, 22, heard=(0, 4, 21)))
    one.hear(word(2, 21, final=True))
    assert one.answered(4)  # who has ended is not waited for


def test_other_definitions_are_refused() -> None:
    with pytest.raises(ClusterError, match="process 2 was started with other definitions than process 1"):
        peers().hear(replace(word(2, 1), definitions="other"))


def test_a_process_reads_on_only_while_it_hears_from_all_that_have_not_ended() -> None:
    clock = Clock()
    one = peers(clock)
    clock.now += 1.9
    assert one.keep_up()
    one.hear(word(0, 1))
    clock.now += 0.2
    assert not one.keep_up()
    assert one.silent(2.0) == [2]
    one.hear(word(2, 1, final=True))
    assert one.keep_up()
    clock.now += 1.9
    assert one.silent(2.0) == [0]


def test_the_slowest_partition_elsewhere_is_taken_to_have_gone_on_as_this_process_has_in_two_ticks() -> None:
    one = peers()
    assert one.slowest_ms() is None
    one.hear(word(0, 1, 5_000))
    one.hear(word(2, 1, 3_000))
    assert one.slowest_ms() == 3_000
    for number, own in enumerate((10_000, 40_000, 70_000), 1):
        one.hear(word(1, number, own))
    assert one.slowest_ms() == 63_000
    for number in (4, 5):
        one.hear(word(1, number, 70_000))  # it waits
    assert one.slowest_ms() == 3_000
    one.hear(word(0, 2, None))
    one.hear(word(2, 2, None))
    assert one.slowest_ms() is None


def test_a_partition_of_which_nothing_has_been_read_holds_all_others() -> None:
    one = peers()
    one.hear(word(0, 1, NO_TIME))
    for number, own in enumerate((10_000, 40_000, 70_000), 1):
        one.hear(word(1, number, own))
    assert one.slowest_ms() == NO_TIME + 60_000


def test_an_end_of_one_is_an_end_of_all_unless_it_has_only_read_its_part() -> None:
    one = peers()
    one.hear(replace(word(0, 3, final=True), end="finished"))
    assert one.ended() is None
    stopped = replace(word(0, 4, final=True), end="stopped")
    failed = replace(word(2, 4, final=True), end="failed", reason="Kafka is gone")
    one.hear(stopped)
    assert one.ended() == stopped
    one.hear(failed)
    assert one.ended() == failed  # the graver one is told
