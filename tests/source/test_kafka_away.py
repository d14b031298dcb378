"""A reader that hears of an outage: when partitions are told to lag, and when to be caught up again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from flows.config.limits import Limits
from flows.demo.embedded import EmbeddedKafka
from flows.messages.columns import NO_TIME
from flows.messages.raw import Raw
from flows.source.outages import Outages
from flows.source.questions import Keepers
from flows.source.reader import Reader
from tests.source.driving import Rounds, raws
from tests.source.test_kafka import Bench, HandDrivenClock, HandDrivenPace, numbered

WELL = Keepers(1, frozenset({1, 2}), frozenset({1, 2}))
LEADERLESS = Keepers(-1, frozenset({2}), frozenset({1, 2}))
WAIT_MS = 5_000


class Away(Bench):
    """A topic of two partitions, read to their ends, of whose cluster a test tells what it likes."""

    def __init__(self, kafka: EmbeddedKafka) -> None:
        super().__init__(kafka)
        self.settings = replace(self.settings, limits=Limits(delivery_wait_ms=WAIT_MS))
        self.clock = HandDrivenClock()
        self.pace = HandDrivenPace()
        self.topic(2, p0=numbered(3), p1=numbered(2))
        self.reading = self.rounds(monotonic=self.clock, pace=self.pace).until(Rounds.caught_up)
        reader = self.sources[-1]._reader
        assert reader is not None
        self.reader: Reader = reader
        self.reader._watch = None  # nobody else tells
        self.reader._outages = Outages(WAIT_MS, self.clock)
        self.reader._outages.add([0, 1])
        self.hears(WELL, WELL)

    def hears(self, *keepers: Keepers) -> None:
        for number, kept in enumerate(keepers):
            self.reader._outages.described({number: kept})
            self.reader._outages.told(number, newest=True, high=1)

    def passes(self, seconds: float, *keepers: Keepers) -> list[Raw]:
        """What is handed on while brokers answer, four times a second."""
        before = len(self.reading.items)
        for _ in range(int(seconds * 4)):
            self.clock.seconds += 0.25
            self.hears(*keepers)
            self.reader._next_look = 0.0  # each round, for the hand that drives the clock is fast
            self.reading.play()
        return raws(self.reading.items[before:])


@pytest.fixture
def away() -> Iterator[Away]:
    with EmbeddedKafka() as kafka:
        bench = Away(kafka)
        yield bench
        for source in bench.sources:
            source.close()


def test_a_run_that_begins_while_kafka_is_away_lags_when_it_has_come_back() -> None:
    with EmbeddedKafka() as kafka:
        bench = Bench(kafka)
        bench.topic(1, p0=numbered(3))
        kafka.go_down()
        returning = threading.Timer(3.0, kafka.come_up)  # longer than one attempt
        returning.start()
        clock = HandDrivenClock()
        settings = replace(bench.settings, limits=Limits(delivery_wait_ms=WAIT_MS))
        reading = bench.rounds(settings, monotonic=clock)  # returns when Kafka answers
        returning.join()
        reader = bench.sources[-1]._reader
        assert reader is not None

        def waits_alone(rounds: Rounds) -> bool:
            clock.seconds += 0.01
            return [held.reason for held in reader.clock_holds().values()] == ["grace"]

        reading.until(waits_alone)
        assert reading.records() == 3
        assert not reading.caught_up()
        clock.seconds += WAIT_MS / 1000
        reading.until(Rounds.caught_up)
        bench.sources[-1].close()


def test_towards_an_end_nothing_waits_for_the_cluster() -> None:
    with EmbeddedKafka() as kafka:
        bench = Bench(kafka)
        bench.topic(2, p0=numbered(3), p1=numbered(2))
        source = bench.source(until_end=True)
        reading = Rounds(source)
        reading.play()
        reader = source._reader
        assert reader is not None
        reader._watch = None
        reader._outages.described({0: LEADERLESS, 1: Keepers(1, frozenset({1}), frozenset({1, 2}))})
        reader._outages.look()
        assert reading.to_end().records() == 5
        assert source.outcome == "finished"
        source.close()


def news(items: list[Raw]) -> list[tuple[int, int, bool]]:
    """(partition, records, caught up)."""
    return [(raw.partition, raw.count, raw.caught_up) for raw in items]


def test_a_partition_lags_from_the_outage_to_the_end_of_the_grace(away: Away) -> None:
    assert news(away.passes(3, WELL, WELL)) == []
    assert news(away.passes(20, WELL, LEADERLESS)) == [(1, 0, False)]
    assert news(away.passes(WAIT_MS / 1000, WELL, WELL)) == []
    assert news(away.passes(0.5, WELL, WELL)) == [(1, 0, True)]


def test_that_it_lags_is_told_before_any_record_of_others(away: Away) -> None:
    away.passes(1, WELL, WELL)
    away.produce(0, numbered(4, 3))
    away.hears(WELL, LEADERLESS)
    handed: list[Raw] = []
    while sum(raw.count for raw in handed) < 4:
        away.clock.seconds += 0.01
        away.reader._next_look = 0.0
        handed += raws(away.reading.play())
    assert news(handed)[0] == (1, 0, False)


def test_records_come_while_it_lags_and_do_not_end_that(away: Away) -> None:
    away.passes(1, WELL, LEADERLESS)
    away.produce(1, numbered(4, 2))
    handed: list[Raw] = []
    while sum(raw.count for raw in handed) < 4:
        handed += away.passes(0.25, WELL, LEADERLESS)
    assert {raw.caught_up for raw in handed if raw.partition == 1} == {False}


def test_a_partition_that_had_its_last_event_days_ago_holds_no_other_back_in_an_outage(away: Away) -> None:
    noon, day_ms = 1_700_000_000_000, 86_400_000
    away.pace.clocks = {0: noon, 1: noon - day_ms}
    away.passes(1, WELL, LEADERLESS)
    away.produce(0, numbered(4, 3))
    away.passes(1, WELL, LEADERLESS)
    assert not away.reader._parts[0].held
    assert away.reader.slowest_ms() == noon
    away.passes(2 + WAIT_MS / 1000, WELL, WELL)
    assert away.reader._parts[1].floor_ms == NO_TIME


def test_it_is_said_when_the_clock_stands_and_when_it_goes_on(away: Away, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    seen: list[Any] = []
    away.passes(5, WELL, WELL)
    for _ in range(60):
        away.passes(0.25, WELL, LEADERLESS)
        seen.append(dict(away.reader.clock_holds()))
    assert seen[-1][1].reason == "no_leader"
    for _ in range(40):
        away.passes(0.25, WELL, WELL)
        seen.append(dict(away.reader.clock_holds()))
    assert seen[-1] == {}
    (stands, goes_on) = [line for line in caplog.messages if "stream clock" in line]
    assert "partition 1: it has no leader (no leader, in sync 2 of 1, 2)" in stands
    assert "the stream clock goes on, after" in goes_on
