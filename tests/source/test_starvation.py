"""On a machine so busy that every round takes longer than a stall, reading still gets on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flows.cluster.peers import Cluster, Peers, Word
from flows.messages.tick import Tick
from flows.process.health import Health
from flows.source.kafka import KafkaSource
from flows.source.ticks import STALL_MS
from flows.source.turns import Turn
from tests.source.driving import Rounds
from tests.source.test_kafka import Bench, bench, numbered  # noqa: F401

TWO = ("a:1", "b:1")


class SkippingClock:
    """A monotonic clock on which some rounds have taken longer than they have."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped


def starve(source: KafkaSource, clock: SkippingClock, ms: int) -> None:
    """Make every round take `ms`. The library's threads starve too: in each no broker is heard of, and then one is."""
    reader: Any = source._reader
    inner = reader.poll

    def poll(*arguments: Any) -> None:
        inner(*arguments)
        clock.skipped += ms / 1000
        reader._consumer.contact._found_again |= frozenset(reader._parts)

    reader.poll = poll


def test_every_record_is_handed_on_though_every_round_is_a_stall(bench: Bench) -> None:  # noqa: F811
    bench.topic(2, p0=numbered(20), p1=numbered(20))
    clock = SkippingClock()
    source = bench.source(monotonic=clock)
    rounds = Rounds(source).until(Rounds.caught_up)
    bench.kafka.slow_down(30)  # so that an answer takes longer than a round
    starve(source, clock, STALL_MS + 1)
    for number in range(1, 4):
        bench.produce(0, numbered(20, 20 * number))
        bench.produce(1, numbered(20, 20 * number))
        rounds.until(lambda rounds, number=number: rounds.records() == 40 * (number + 1))  # type: ignore[misc]
    assert [rounds.values(partition) for partition in (0, 1)] == [numbered(80)] * 2


@pytest.mark.parametrize("ms", [STALL_MS + 1, 20 * STALL_MS])
def test_so_it_is_with_several_processes(bench: Bench, ms: int) -> None:  # noqa: F811
    bench.topic(2, p0=numbered(20))
    clock = SkippingClock()
    peers = Peers(Cluster(0, TWO), "same", 50, clock)
    source = bench.source(monotonic=clock, peers=peers)
    rounds = Rounds(source)

    def answered(rounds: Rounds) -> bool:
        """The other process hears every tick at once, and is a few ahead."""
        number = rounds.ticks[-1].number if rounds.ticks else 0
        report = Health(redis_configured=False).report()
        peers.hear(Word(1, Tick(number + 2, 0, None, False), None, "same", report, 0.0, (number, 0)))
        return rounds.records() >= wanted

    wanted = 20
    starve(source, clock, ms)
    for wanted in (20, 40, 60):
        rounds.until(answered)
        bench.produce(0, numbered(20, wanted))
    assert rounds.values(0)[:60] == numbered(60)


def test_a_turn_bears_longer_stalls_only_when_it_was_lost_unused() -> None:
    turn = Turn()

    def earn(number: int) -> None:
        turn.ticked(number)
        turn.hear(lambda first: first == number)
        assert turn.in_step

    earn(1)
    turn.used(20)
    for number, pause_ms in enumerate((3_600_000, 2 * STALL_MS, 4 * STALL_MS), 2):
        turn.stood_still(pause_ms)
        turn.hear(lambda _: True)
        assert not turn.in_step  # no tick has been sent since
        earn(number)
    for _ in range(2):
        turn.stood_still(4 * STALL_MS)  # two turns were lost unused
        assert turn.in_step
        turn.used(4 * STALL_MS)
    turn.used(STALL_MS)
    turn.stood_still(STALL_MS + 1)
    assert not turn.in_step
