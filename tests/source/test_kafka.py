from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from bytewax.recovery import init_db_dir
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from flows.config.limits import Limits
from flows.config.settings import Settings
from flows.demo.embedded import FETCH_REQUEST, EmbeddedKafka
from flows.messages.columns import NO_TIME
from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.process.outcomes import SourceError
from flows.source.kafka import KafkaSource
from flows.source.log_identity import Place
from flows.source.part_state import part_name
from flows.source.queues import NOTHING, Batch, RecordQueue
from flows.source.reader import Reader
from flows.source.ticks import Ticker
from tests.services import wait_until
from tests.source.driving import Rounds, raws, run_flow

TOPIC = "events"


class Bench:
    """An embedded Kafka with one topic, and everything made on it, closed at the end of the test."""

    def __init__(self, kafka: EmbeddedKafka, api: Any = "librdkafka") -> None:
        self.kafka = kafka
        self.settings = Settings(
            bootstrap_servers=kafka.bootstrap_servers,
            topic=TOPIC,
            consumer_api=api,
            tick_ms=50,
            limits=Limits(delivery_wait_ms=0),
        )
        self.producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": "2"})
        self.sources: list[KafkaSource] = []

    def topic(self, partitions: int = 1, **records: Sequence[bytes | None]) -> None:
        """The topic, with the records of partition 0 in `p0`, ..."""
        self.kafka.create_topic(TOPIC, partitions)
        for name, values in records.items():
            self.produce(int(name[1:]), values)

    def produce(self, partition: int, values: Sequence[bytes | None]) -> None:
        for value in values:
            self.producer.produce(TOPIC, value, partition=partition)
        assert self.producer.flush(30) == 0

    def source(self, settings: Settings | None = None, **options: Any) -> KafkaSource:
        self.sources.append(KafkaSource(settings or self.settings, **options))
        return self.sources[-1]

    def rounds(self, settings: Settings | None = None, states: dict[str, Any] | None = None, **options: Any) -> Rounds:
        return Rounds(self.source(settings, **options), states)

    def committed(self, partition: int, group: str = "tidegauge-product") -> int:
        servers = self.kafka.bootstrap_servers
        consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": "2"})
        try:
            return int(consumer.committed([TopicPartition(TOPIC, partition)], timeout=10)[0].offset)
        finally:
            consumer.close()


BOTH_APIS = pytest.mark.parametrize("api", ["librdkafka", "public"])
ANY_API = pytest.mark.parametrize("bench", ["librdkafka"], indirect=True)
"""Nothing is received, so one will do."""


@pytest.fixture(params=["librdkafka", "public"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with EmbeddedKafka() as kafka:
        made = Bench(kafka, request.param)
        yield made
        for source in made.sources:
            source.close()
        made.producer.close()


class Shut:
    """A partition's queue from which nothing comes."""

    def __init__(self, queue: RecordQueue) -> None:
        self.queue = queue

    def __len__(self) -> int:
        return 0

    def take(self, most: int) -> Batch:
        return NOTHING

    def close(self) -> None:
        self.queue.close()


class Blocked:
    """A partition that lags and yields nothing, as when its leader does not answer, until `end()`.

    What is on its way already would come after a pause of the client, too, so it is its queue that is shut.
    """

    def __init__(self, source: KafkaSource, partition: int) -> None:
        assert source._reader is not None
        self._part = source._reader._parts[partition]
        self._queue = self._part.queue
        self._part.queue = cast(RecordQueue, Shut(self._queue))
        self._part.at_end = False

    def end(self) -> None:
        self._part.queue = self._queue


def told_of(states: dict[str, Any]) -> dict[str, Any]:
    """States without the topic's id, which the cluster has chosen."""
    return {name: state[:4] for name, state in states.items()}


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


class HandDrivenClock:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class HandDrivenPace:
    """Event time by partition, and elsewhere, as set."""

    def __init__(self) -> None:
        self.clocks: dict[int, int] = {}
        self.elsewhere: int | None = None

    def elsewhere_ms(self) -> int | None:
        return self.elsewhere

    def clock_ms(self, partition: int) -> int:
        return self.clocks.get(partition, NO_TIME)


# What is handed on


def test_every_record_is_handed_on_in_order_with_its_offset_and_time(bench: Bench) -> None:
    bench.topic(2, p0=numbered(3), p1=[b"a", None, b""])
    bench.producer.produce(TOPIC, b"dated", partition=0, timestamp=1_700_000_000_123)
    bench.producer.flush(30)
    rounds = bench.rounds().until(lambda rounds: rounds.records() == 7)
    assert rounds.values(0) == [b"0", b"1", b"2", b"dated"]
    assert rounds.offsets(0) == [0, 1, 2, 3]
    assert rounds.values(1) == [b"a", b"", b""]  # a tombstone is as empty as an empty value
    assert [raw.timestamps_ms[-1] for raw in rounds.raws if raw.partition == 0 and raw.count][-1] == 1_700_000_000_123
    for raw in rounds.raws:
        assert (raw.topic, raw.partitions) == (TOPIC, 2)
        assert raw.count == len(raw.values) == len(raw.offsets) == len(raw.timestamps_ms)


def test_the_end_of_a_partition_is_told_once(bench: Bench) -> None:
    bench.topic(2, p0=numbered(3))
    rounds = bench.rounds().until(Rounds.caught_up)
    for _ in range(20):
        rounds.play()
    assert [raw.caught_up for raw in rounds.raws if raw.partition == 1] == [True]  # empty, and at its end
    assert rounds.raws[-1].caught_up
    bench.produce(0, numbered(2, 3))
    rounds.until(lambda rounds: rounds.records() == 5).until(Rounds.caught_up)
    assert rounds.values(0) == numbered(5)


def test_a_poll_is_cut_at_the_limit_and_only_its_last_piece_is_caught_up(bench: Bench) -> None:
    bench.topic(1, p0=numbered(25))
    settings = replace(bench.settings, limits=Limits(poll_records=10))
    rounds = bench.rounds(settings).until(Rounds.caught_up)
    assert rounds.values(0) == numbered(25)
    assert all(len(raw.values) <= 10 for raw in rounds.raws)
    assert [raw.caught_up for raw in rounds.raws].count(True) == 1
    assert rounds.raws[-1].caught_up


def test_a_busy_partition_is_caught_up_whenever_its_last_record_is_handed_on(bench: Bench) -> None:
    """Its fetches are never empty, so librdkafka alone would never say that the end was reached."""
    bench.topic(1, p0=numbered(1))
    rounds = bench.rounds().until(Rounds.caught_up)
    for number in range(1, 30):
        bench.produce(0, numbered(1, number))
        rounds.until(partial(Rounds.hold, count=number + 1))
        assert rounds.raws[-1].caught_up


def test_the_clock_handed_on_never_goes_back(bench: Bench) -> None:
    bench.topic(3, p0=numbered(50), p1=numbered(50), p2=numbered(50))
    rounds = bench.rounds(replace(bench.settings, tick_ms=1)).until(lambda rounds: len(rounds.ticks) > 20)
    clocks = [item.monotonic_ms for item in rounds.items]
    known = [clock for clock in clocks if clock is not None]
    assert known == clocks == sorted(known)


# Where reading begins


def test_reading_goes_on_behind_what_was_handed_on(bench: Bench) -> None:
    bench.topic(2, p0=numbered(30), p1=numbered(4))
    settings = replace(bench.settings, limits=Limits(poll_records=8))
    first = bench.rounds(settings).until(lambda rounds: len(rounds.offsets(0)) >= 8)
    states = first.states()
    second = bench.rounds(settings, states).until(Rounds.caught_up)
    for partition, count in ((0, 30), (1, 4)):
        assert first.values(partition) + second.values(partition) == numbered(count)
        assert states[part_name(partition)][:3] == (2, TOPIC, len(first.values(partition)))


def test_without_a_checkpoint_reading_may_begin_with_new_records(bench: Bench) -> None:
    bench.topic(1, p0=numbered(5))
    rounds = bench.rounds(replace(bench.settings, start="latest")).until(Rounds.caught_up)
    assert rounds.records() == 0
    assert told_of(rounds.states()) == {part_name(0): (2, TOPIC, 5, None)}  # a crash now loses none of what comes next
    bench.produce(0, numbered(2, 5))
    assert rounds.until(lambda rounds: rounds.records() == 2).values(0) == numbered(2, 5)


def test_a_partition_that_is_new_to_a_checkpoint_is_read_from_its_beginning(bench: Bench) -> None:
    bench.topic(2, p0=numbered(5), p1=numbered(3))
    settings = replace(bench.settings, start="latest")
    rounds = bench.rounds(settings, {part_name(0): (1, TOPIC, 5)}).until(Rounds.caught_up)
    assert (rounds.values(0), rounds.values(1)) == ([], numbered(3))


@ANY_API
def test_a_checkpoint_of_another_topic_is_refused_and_left_as_it_is(bench: Bench) -> None:
    bench.topic(1, p0=numbered(5))
    source = bench.source()
    rounds = Rounds(source, {part_name(0): (1, "visits", 3)})
    rounds.to_end()
    assert rounds.records() == 0
    with pytest.raises(SourceError, match="made from topic visits, now events is configured"):
        source.check()


def test_a_failure_before_the_first_poll_keeps_the_offsets_of_the_checkpoint(bench: Bench) -> None:
    bench.topic(1, p0=numbered(5))
    source = bench.source(until_end=True, start_seconds=0.5)
    rounds = Rounds(source, {part_name(0): (1, TOPIC, 3)})
    bench.kafka.go_down()
    (tick,) = rounds.play()
    assert isinstance(tick, Tick)
    assert tick.final
    assert told_of(rounds.states()) == {part_name(0): (2, TOPIC, 3, None)}
    assert source.outcome == "failed"
    with pytest.raises(SourceError, match="does not tell its offsets"):
        source.check()


# Lost offsets


def lost(bench: Bench, policy: Literal["stop", "earliest", "latest"], offset: int) -> tuple[KafkaSource, Rounds]:
    """Offsets 0..9 existed, 0..5 are deleted; the checkpoint stands at `offset`."""
    bench.topic(1, p0=numbered(10))
    bench.kafka.delete_records(TOPIC, 0, 6)
    source = bench.source(replace(bench.settings, on_lost_offset=policy))
    return source, Rounds(source, {part_name(0): (1, TOPIC, offset)})


def test_a_lost_offset_ends_the_job_and_says_how_much_is_missing_and_what_to_do(bench: Bench) -> None:
    source, rounds = lost(bench, "stop", 2)
    states = rounds.until(lambda rounds: source.outcome == "failed").states()
    assert rounds.to_end().records() == 0
    assert told_of(states) == {part_name(0): (2, TOPIC, 2, None)}  # the next start says the same
    with pytest.raises(SourceError) as failure:
        source.check()
    assert str(failure.value).startswith(
        "topic events partition 0: 4 records (2 to 5) were deleted before they were read; "
        "start with --on-lost-offset earliest"
    )


def test_a_lost_offset_may_be_replaced_by_the_oldest_record(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    _, rounds = lost(bench, "earliest", 2)
    assert rounds.until(Rounds.caught_up).values(0) == numbered(4, 6)
    assert "4 records (2 to 5) were deleted before they were read; going on at offset 6" in caplog.text


def test_a_lost_offset_may_be_replaced_by_the_end(bench: Bench) -> None:
    _, rounds = lost(bench, "latest", 2)
    assert rounds.until(Rounds.caught_up).records() == 0
    bench.produce(0, [b"new"])
    assert rounds.until(lambda rounds: rounds.records() > 0).values(0) == [b"new"]


def test_an_offset_beyond_the_end_is_lost_too(bench: Bench) -> None:
    source, rounds = lost(bench, "stop", 99)
    rounds.to_end()
    with pytest.raises(SourceError, match=r"ends at offset 10, so records 10 to 98, which were counted, are no more"):
        source.check()


FEW_AT_ONCE = Limits(poll_records=2, delivery_wait_ms=0)


def test_records_deleted_while_the_job_runs_are_noticed_and_those_received_before_are_kept(
    bench: Bench,
) -> None:
    bench.topic(2)
    pace = HandDrivenPace()
    settings = replace(
        bench.settings, on_lost_offset="earliest", kafka={"queued.min.messages": "2"}, limits=FEW_AT_ONCE
    )
    source = bench.source(settings, pace=pace, monotonic=HandDrivenClock())  # this process never stands still
    rounds = Rounds(source).until(Rounds.caught_up)
    # Partition 0 is held back while partition 1 lags; its first records wait, and retention overtakes it.
    blocked = Blocked(source, 1)
    pace.clocks = {0: 10_000_000, 1: 0}
    bench.produce(0, numbered(5))
    reader = source._reader
    assert reader is not None
    rounds.until(lambda rounds: len(reader._parts[0].queue) >= 2)  # enough for the client: it fetches no more
    rounds.play()
    assert rounds.values(0) == []
    bench.produce(0, numbered(3, 5))
    bench.kafka.delete_records(TOPIC, 0, 6)
    bench.produce(1, numbered(1))
    blocked.end()
    rounds.until(lambda rounds: b"7" in rounds.values(0))
    received = len(rounds.values(0)) - 2
    assert 1 <= received <= 5
    assert rounds.values(0) == [*numbered(received), *numbered(2, 6)]


# Ticks


def test_ticks_come_at_their_interval_numbered_from_one_in_one_stream(bench: Bench) -> None:
    bench.topic(3)
    clock = HandDrivenClock()
    rounds = bench.rounds(replace(bench.settings, tick_ms=500), monotonic=clock).until(Rounds.caught_up)
    assert rounds.ticks == []
    for expected in range(1, 4):
        clock.seconds += 0.499
        assert rounds.play() == []  # an idle topic, too early
        clock.seconds += 0.001
        assert rounds.play() == [Tick(expected, int(clock.seconds * 1000))]


def test_ticks_missed_while_the_process_was_stopped_are_not_made_up_for() -> None:
    clock = HandDrivenClock()
    ticker = Ticker(500, timed=True, monotonic=clock)
    clock.seconds += 60
    assert ticker.due() == Tick(1, 1_060_000)
    assert ticker.due() is None


def test_a_tick_comes_behind_what_its_part_hands_on_in_the_same_round(bench: Bench) -> None:
    bench.topic(1, p0=numbered(1))
    clock = HandDrivenClock()
    rounds = bench.rounds(monotonic=clock).until(Rounds.caught_up)
    clock.seconds += 1
    rounds.play()
    clock.seconds += 1
    bench.produce(0, numbered(1, 1))
    while not raws(fresh := rounds.play()):
        clock.seconds += 1
    assert [type(item) for item in fresh] == [Raw, Tick]


# Skew


def test_a_partition_far_ahead_waits_for_the_slowest_lagging_one(bench: Bench) -> None:
    """Partition 0 holds an old backlog that cannot be read yet, partition 1 is far ahead in event time.

    event time   0 ....................... 60 s ............ 100 s
    partition 0  |--- backlog, unread
    partition 1                                              |--- held: 100 s ahead of the slowest
    """
    bench.topic(2, p1=numbered(5))
    pace = HandDrivenPace()
    source = bench.source(pace=pace)
    rounds = Rounds(source).until(Rounds.caught_up)
    blocked = Blocked(source, 0)
    bench.produce(0, numbered(5))
    pace.clocks = {0: 0, 1: 100_000}
    rounds.play()
    bench.produce(1, numbered(5, 5))
    rounds.until(lambda rounds: (rounds.raws[-1].partition, rounds.raws[-1].caught_up) == (1, False))
    for _ in range(30):
        rounds.play()
    assert rounds.values(1) == numbered(5)  # what has come for it waits, and it is told to lag
    # Not yet: it goes on only at half the distance, so that it is not held again at once.
    pace.clocks[0] = 60_000
    rounds.play()
    assert source._reader is not None
    assert source._reader._parts[1].held
    pace.clocks[0] = 80_000
    rounds.until(lambda rounds: len(rounds.values(1)) == 10)
    blocked.end()
    rounds.until(lambda rounds: rounds.records() == 15).until(Rounds.caught_up)
    assert rounds.values(0) == numbered(5)
    assert rounds.values(1) == numbered(10)


def test_partitions_with_very_different_times_are_read_to_the_end_once_each(bench: Bench) -> None:
    """The slowest lagging partition is always read, so no clocks can bring reading to a stop."""
    bench.topic(3, p0=numbered(900), p1=numbered(900), p2=numbered(900))

    pace = HandDrivenPace()
    settings = replace(bench.settings, limits=Limits(poll_records=50, skew_ms=600_000))
    rounds = bench.rounds(settings, pace=pace, until_end=True)
    while rounds.parts:
        # Partition p has reached p days plus a minute per record handed on.
        for raw in raws(rounds.play()):
            if raw.count:
                pace.clocks[raw.partition] = raw.partition * 86_400_000 + int(raw.offsets[-1]) * 60_000
    assert [rounds.offsets(partition) for partition in range(3)] == [list(range(900))] * 3
    # Partition 2 is two days ahead of 0 throughout, so all but its first poll comes behind all of 0.
    order = [raw.partition for raw in rounds.raws if raw.count]
    last_of_0 = len(order) - 1 - order[::-1].index(0)
    assert order[:last_of_0].count(2) <= 2


# Ends


def test_until_end_stops_where_the_topic_ended_at_the_start(bench: Bench) -> None:
    bench.topic(3, p0=numbered(20), p1=numbered(5))
    settings = replace(bench.settings, limits=Limits(poll_records=4))
    source = bench.source(settings, until_end=True, as_of_ms=123)
    rounds = Rounds(source)
    rounds.play()
    for partition in range(3):
        bench.produce(partition, numbered(50, 1000))
    rounds.to_end()
    assert [rounds.values(partition) for partition in range(3)] == [numbered(20), numbered(5), []]
    assert {raw.partition: raw.caught_up for raw in rounds.raws} == {0: True, 1: True, 2: True}
    assert rounds.items[-1] == Tick(len(rounds.ticks), None, as_of_ms=123, final=True)
    assert [tick.final for tick in rounds.ticks].count(True) == 1
    assert {item.monotonic_ms for item in rounds.items} == {None}
    assert source.outcome == "finished"


def test_until_end_of_an_empty_topic_ends_at_once(bench: Bench) -> None:
    bench.topic(2)
    rounds = bench.rounds(replace(bench.settings, tick_ms=600_000), until_end=True).to_end()
    assert sorted((raw.partition, raw.values, raw.caught_up) for raw in rounds.raws) == [(0, [], True), (1, [], True)]
    assert [tick.final for tick in rounds.ticks] == [True]


def test_until_end_of_what_a_checkpoint_has_read_already_hands_on_nothing(bench: Bench) -> None:
    bench.topic(1, p0=numbered(5))
    rounds = bench.rounds(states={part_name(0): (1, TOPIC, 5)}, until_end=True).to_end()
    assert [(raw.values, raw.caught_up) for raw in rounds.raws] == [([], True)]


def test_stop_hands_on_one_final_tick_and_nothing_after(bench: Bench) -> None:
    bench.topic(3, p0=numbered(100), p1=numbered(100))
    settings = replace(bench.settings, limits=Limits(poll_records=10))
    source = bench.source(settings)
    rounds = Rounds(source).until(lambda rounds: rounds.records() > 0)
    read = rounds.records()
    source.stop()
    rounds.to_end()
    assert rounds.records() == read
    assert rounds.items[-1].final  # type: ignore[union-attr]
    assert [tick.final for tick in rounds.ticks].count(True) == 1
    assert source.outcome == "stopped"


def test_what_was_received_but_not_handed_on_when_stop_came_is_read_again(bench: Bench) -> None:
    """A signal may come in the middle of a round, after the leader's poll and before the other parts' turns."""
    bench.topic(2, p1=numbered(100))
    source = bench.source()
    rounds = Rounds(source)
    leader = rounds.parts[part_name(0)]
    assert source._reader is not None
    leader.next_batch()
    while not len(source._reader._parts[1].queue):
        leader.next_batch()
    source.stop()
    assert told_of(rounds.states())[part_name(1)] == (2, TOPIC, 0, None)
    assert rounds.to_end().records() == 0


def test_records_that_kafka_delivers_again_are_handed_on_once(bench: Bench) -> None:
    bench.topic(1, p0=numbered(5))
    source = bench.source()
    rounds = Rounds(source).until(Rounds.caught_up)
    assert source._reader is not None
    source._reader._consumer.client.seek(TopicPartition(TOPIC, 0, 1))
    bench.produce(0, numbered(1, 5))
    rounds.until(lambda rounds: b"5" in rounds.values(0))
    assert rounds.values(0) == numbered(6)


def test_a_topic_that_grows_ends_the_flow_so_that_it_can_start_again(bench: Bench) -> None:
    bench.topic(1, p0=numbered(3))
    source = bench.source(recheck_ms=10)
    rounds = Rounds(source).until(Rounds.caught_up)
    bench.kafka.delete_topic(TOPIC)  # the embedded Kafka cannot add to a topic
    bench.kafka.create_topic(TOPIC, 3)
    rounds.to_end()
    assert source.outcome == "partitions_changed"
    assert rounds.ticks[-1].final
    source.check()


def test_a_topic_that_has_shrunk_is_refused(bench: Bench) -> None:
    bench.topic(3)
    source = bench.source(recheck_ms=10)
    rounds = Rounds(source).until(Rounds.caught_up)
    bench.kafka.delete_topic(TOPIC)
    bench.kafka.create_topic(TOPIC, 2)
    rounds.to_end()
    with pytest.raises(SourceError, match="has 2 partitions, it had 3"):
        source.check()


# Failures


@ANY_API
def test_a_missing_topic_is_named_after_the_limit(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    source = bench.source(replace(bench.settings, topic="evnets"), start_seconds=0.5)
    with pytest.raises(SourceError, match=r"topic evnets cannot be read .*; gave up after 0\.5 s"):
        source.list_parts()
    assert len(caplog.records) <= 1  # none, where the first answer comes after the limit


@ANY_API
def test_a_topic_that_appears_in_time_is_waited_for(bench: Bench) -> None:
    threading.Timer(0.5, bench.kafka.create_topic, (TOPIC, 2)).start()
    assert bench.source().list_parts() == ["00000", "00001"]


@ANY_API
def test_a_broker_that_does_not_answer_is_named_after_the_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.kafka.client._ATTEMPT_SECONDS", 0.1)
    source = bench.source(replace(bench.settings, bootstrap_servers="127.0.0.1:1"), start_seconds=0.5)
    with pytest.raises(SourceError, match=r"Kafka at 127\.0\.0\.1:1 cannot be reached"):
        source.list_parts()


@ANY_API
def test_waiting_for_kafka_ends_with_stop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.kafka.client._ATTEMPT_SECONDS", 0.1)
    source = bench.source(replace(bench.settings, bootstrap_servers="127.0.0.1:1"))
    threading.Timer(0.3, source.stop).start()
    with pytest.raises(SourceError, match="stopped while waiting for Kafka"):
        source.list_parts()
    assert source.outcome == "stopped"


@ANY_API
def test_an_impossible_option_is_named(bench: Bench) -> None:
    source = bench.source(replace(bench.settings, kafka={"sasl.mechanismus": "PLAIN"}))
    with pytest.raises(SourceError, match=r'No such configuration property: "sasl\.mechanismus"'):
        source.list_parts()


def test_an_outage_is_outlived_and_said_once_each_way(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.topic(1, p0=numbered(3))
    rounds = bench.rounds().until(Rounds.caught_up)
    bench.kafka.go_down()
    rounds.until(lambda rounds: "cannot be reached" in caplog.text)
    ticks = len(rounds.ticks)
    rounds.until(lambda rounds: len(rounds.ticks) > ticks + 5)  # time goes on meanwhile
    bench.kafka.come_up()
    bench.produce(0, numbered(3, 3))
    rounds.until(lambda rounds: rounds.records() == 6)
    assert rounds.values(0) == numbered(6)
    said = [record.message for record in caplog.records if "Kafka at" in record.message]
    assert ["still trying" in line for line in said] == [True, False]


def test_partitions_lag_while_no_broker_is_heard_of_and_until_their_end_is_found_again(bench: Bench) -> None:
    bench.topic(2, p0=numbered(3))
    rounds = bench.rounds().until(Rounds.caught_up)

    def lagging(rounds: Rounds) -> set[int]:
        latest = {raw.partition: raw.caught_up for raw in rounds.raws}
        return {partition for partition, caught_up in latest.items() if not caught_up}

    bench.kafka.go_down()
    rounds.until(lambda rounds: lagging(rounds) == {0, 1})
    bench.kafka.come_up()
    rounds.until(Rounds.caught_up)  # an empty partition, too
    bench.produce(1, numbered(2))
    rounds.until(lambda rounds: rounds.records() == 5)
    assert rounds.offsets(0) == [0, 1, 2]
    assert rounds.offsets(1) == [0, 1]


def test_after_a_stall_partitions_lag_before_any_record_is_handed_on(bench: Bench) -> None:
    # else records of partition 0 would move the clock, and make late what has waited in partition 1
    bench.topic(2)
    clock = HandDrivenClock()
    rounds = bench.rounds(monotonic=clock).until(Rounds.caught_up)
    bench.produce(0, numbered(3))
    bench.produce(1, numbered(3))
    clock.seconds += 60
    before = len(rounds.items)
    rounds.until(lambda rounds: rounds.records() == 6 and rounds.caught_up())
    news = [(raw.partition, raw.count, raw.caught_up) for raw in raws(rounds.items[before:])]
    assert sorted(news[:2]) == [(0, 0, False), (1, 0, False)]


@pytest.mark.parametrize("asleep", ["while polling", "between parts"])
def test_a_stall_in_the_middle_of_a_round_is_noticed_before_anything_is_handed_on(bench: Bench, asleep: str) -> None:
    bench.topic(2)
    clock = HandDrivenClock()
    source = bench.source(monotonic=clock)
    rounds = Rounds(source).until(Rounds.caught_up)
    reader = source._reader
    assert reader is not None
    owner, method = (reader, "poll") if asleep == "while polling" else (reader, "take")
    inner = getattr(owner, method)
    slept: list[bool] = []

    def sleeping(*arguments: Any) -> Any:
        given = inner(*arguments)
        if not slept:
            slept.append(True)
            bench.produce(0, numbered(3))
            bench.produce(1, numbered(3))
            clock.seconds += 60
        return given

    setattr(owner, method, sleeping)
    before, then_ms = len(rounds.items), int(clock.seconds * 1000)
    rounds.until(lambda rounds: rounds.records() == 6 and rounds.caught_up())
    news = [(raw.partition, raw.count, raw.caught_up) for raw in raws(rounds.items[before:])]
    assert sorted(news[:2]) == [(0, 0, False), (1, 0, False)]
    assert all(item.monotonic_ms in (None, then_ms) for item in rounds.items[before:])


def test_an_error_that_may_hide_records_ends_the_job(bench: Bench) -> None:
    bench.topic(1, p0=numbered(3))
    bench.kafka.fail_requests(FETCH_REQUEST, [KafkaError.TOPIC_AUTHORIZATION_FAILED] * 3)
    source = bench.source()
    Rounds(source).to_end()
    with pytest.raises(SourceError, match="does not allow this user to read topic events"):
        source.check()


# Offsets for lag tools


def test_only_what_a_checkpoint_holds_is_committed_to_the_group(bench: Bench) -> None:
    bench.topic(1, p0=numbered(10))
    source = bench.source()
    rounds = Rounds(source).until(lambda rounds: rounds.records() == 10)
    for _ in range(20):
        rounds.play()
    assert bench.committed(0) < 0  # read, but in no checkpoint
    rounds.states()
    rounds.until(lambda rounds: not source._reader._consumer.commits.open and not source._snapped)  # type: ignore[union-attr]
    assert bench.committed(0) == 10
    bench.produce(0, numbered(2, 10))
    rounds.until(lambda rounds: rounds.records() == 12)
    rounds.states()
    source.flow_finished()
    source.close()
    assert bench.committed(0) == 12


def test_a_group_that_refuses_commits_stops_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.topic(1, p0=numbered(3))
    bench.kafka.fail_requests(8, [KafkaError.GROUP_AUTHORIZATION_FAILED])
    rounds = bench.rounds().until(Rounds.caught_up)
    rounds.states()
    rounds.until(lambda rounds: "cannot be committed for lag tools" in caplog.text)
    bench.produce(0, numbered(1, 3))
    rounds.until(lambda rounds: rounds.records() == 4)


# What the observer is told


def test_the_observer_hears_of_assignment_lag_and_catching_up(bench: Bench) -> None:
    bench.topic(2, p0=numbered(8), p1=numbered(1))

    class Observer:
        def __init__(self) -> None:
            self.assigned: list[tuple[str, int]] = []
            self.lag: dict[int, list[int]] = {0: [], 1: []}
            self.times_caught_up = 0

        def assign(self, partitions: Any) -> None:
            self.assigned = list(partitions)

        def lags(self, topic: str, partition: int, messages: int) -> None:
            self.lag[partition].append(messages)

        def open_transactions(self, topic: str, waits: Any) -> None:
            assert waits == {}

        def clock_holds(self, topic: str, holds: Any) -> None:
            assert {reason for reason, _, _ in holds.values()} <= {"reading", "unchecked"}

        def caught_up(self) -> None:
            self.times_caught_up += 1

    observer = Observer()
    settings = replace(bench.settings, tick_ms=1, limits=Limits(poll_records=2))
    rounds = bench.rounds(settings, observer=observer).until(Rounds.caught_up)
    rounds.until(lambda rounds: observer.lag[0][-1:] == [0] and observer.times_caught_up > 0)
    assert observer.assigned == [(TOPIC, 0), (TOPIC, 1)]
    assert max(observer.lag[0]) >= 2
    assert observer.times_caught_up == 1


# In a real flow


def folder(path: Path) -> Path:
    init_db_dir(path, 1)
    return path


def test_a_stopped_flow_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    bench.topic(3, p0=numbered(500), p1=numbered(300), p2=numbered(7))
    state = folder(tmp_path)
    final: dict[str, list[tuple[int, int]]] = {}
    lives = 1
    while one_life(bench, state, final) > 0:
        lives += 1
    assert lives > 3
    assert {key: spans(seen) for key, seen in final.items()} == {"0": 500, "1": 300, "2": 7}
    assert [bench.committed(partition) for partition in range(3)] == [500, 300, 7]


def one_life(bench: Bench, state: Path, final: dict[str, list[tuple[int, int]]]) -> int:
    """Run until four polls have been given, or a tick shows that nothing is left; the number of polls."""
    source = bench.source(replace(bench.settings, limits=Limits(poll_records=40), tick_ms=500))
    given = 0

    def see(seen: tuple[str, list[tuple[int, int]]]) -> None:
        nonlocal given
        final[seen[0]] = seen[1]
        given += 1
        if given == 4:
            source.stop()

    def watch(item: Raw | Tick) -> None:
        if isinstance(item, Tick):
            source.stop()

    run_flow(source, see, state, watch=watch)
    assert source.outcome == "stopped"
    return given


def spans(seen: list[tuple[int, int]]) -> int:
    """The number of records, having checked that each begins where the one before ended."""
    position = 0
    for offset, count in seen:
        assert offset == position
        position += count
    return position


@pytest.mark.parametrize("crash_at", [1, 5, 12])
def test_a_crashed_flow_reads_again_what_its_state_does_not_hold(bench: Bench, tmp_path: Path, crash_at: int) -> None:
    """Offsets and state are in one cut: at any moment, no record is missing from the state or in it twice."""
    bench.topic(2, p0=numbered(400), p1=numbered(400))
    state = folder(tmp_path)
    settings = replace(bench.settings, limits=Limits(poll_records=30), tick_ms=1)
    given = 0

    def crash(seen: tuple[str, list[tuple[int, int]]]) -> None:
        nonlocal given
        given += 1
        if given == crash_at:
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        run_flow(bench.source(settings), crash, state, epoch_ms=5)
    final: dict[str, list[tuple[int, int]]] = {}
    source = bench.source(settings, until_end=True)
    run_flow(source, lambda seen: final.update([seen]), state)
    assert {key: spans(seen) for key, seen in final.items()} == {"0": 400, "1": 400}
    assert source.outcome == "finished"


def test_the_final_tick_is_the_last_item_of_the_flow(bench: Bench) -> None:
    bench.topic(4, p0=numbered(90), p2=numbered(30), p3=numbered(200))
    items: list[Raw | Tick] = []
    source = bench.source(replace(bench.settings, limits=Limits(poll_records=25)), until_end=True)
    run_flow(source, lambda seen: None, None, watch=items.append, epoch_ms=1)
    assert [isinstance(item, Tick) and item.final for item in items].count(True) == 1
    assert isinstance(items[-1], Tick)
    assert items[-1].final
    assert sum(len(raw.values) for raw in raws(items)) == 320


def test_all_parts_of_a_process_close_their_epochs_in_the_same_round(bench: Bench) -> None:
    """So a tick and the records around it are cut alike, though each part has an epoch of its own."""
    bench.topic(3, p0=numbered(300), p1=numbered(300), p2=numbered(300))
    calls: list[tuple[str, int]] = []

    class Noting(KafkaSource):
        def round(self, number: int) -> list[Raw | Tick]:
            calls.append(("round", number))
            return super().round(number)

        def snapshot(self, number: int) -> Any:
            calls.append(("snapshot", number))
            return super().snapshot(number)

    source = Noting(replace(bench.settings, limits=Limits(poll_records=10), tick_ms=1))
    bench.sources.append(source)

    def stop_after_some_epochs(item: Raw | Tick) -> None:
        if [call for call, _ in calls].count("snapshot") >= 15:
            source.stop()

    run_flow(source, lambda seen: None, None, watch=stop_after_some_epochs, epoch_ms=3)
    rounds: list[list[tuple[str, int]]] = []
    for call in calls:
        if call == ("round", 0):
            rounds.append([])
        rounds[-1].append(call)
    whole = [calls for calls in rounds if len(calls) == 6]
    assert len(whole) >= 5
    for calls_of_round in rounds[:-2]:  # in the last two the parts end, one after the other
        snapshots = [number for call, number in calls_of_round if call == "snapshot"]
        assert snapshots in ([], [0, 1, 2])
    for first in whole:
        assert first == [(call, number) for number in range(3) for call in ("round", "snapshot")]


@ANY_API
def test_a_signal_stops_the_flow_and_the_process_exits_with_zero(bench: Bench, tmp_path: Path) -> None:
    bench.topic(2, p0=numbered(5))
    script = """
import signal, sys
from flows.source.reader import Reader
from flows.source.kafka import KafkaSource
from flows.config.settings import Settings
from flows.messages.tick import Tick
from tests.source.driving import run_flow
from pathlib import Path
source = KafkaSource(Settings(bootstrap_servers=sys.argv[1], topic="events", tick_ms=20))
signal.signal(signal.SIGTERM, lambda *_: source.stop())
say = lambda item: print("tick" if isinstance(item, Tick) else "raw", flush=True)
run_flow(source, lambda seen: None, Path(sys.argv[2]), watch=say)
print(source.outcome)
"""
    command = [sys.executable, "-c", script, bench.kafka.bootstrap_servers, str(folder(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "tick\n":
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest.endswith("stopped\n")


# What only a real broker does


def real(kafka: Any, topic: str, **changes: Any) -> Settings:
    return replace(Settings(bootstrap_servers=kafka.bootstrap_servers, topic=topic, tick_ms=50), **changes)


def fill(kafka: Any, topic: str, partition: int, values: Sequence[bytes | None], **options: Any) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    failures: list[KafkaError] = []
    for value in values:
        producer.produce(
            topic,
            value,
            partition=partition,
            on_delivery=lambda error, _: failures.append(error) if error is not None else None,
            **options,
        )
    assert producer.flush(60) == 0
    assert failures == []
    producer.close()


@BOTH_APIS
def test_all_records_of_a_real_topic_are_handed_on_once_through_stops(kafka: Any, api: Any) -> None:
    topic = kafka.create_topic(4)
    for partition in range(4):
        fill(kafka, topic, partition, numbered(5000))
    settings = real(kafka, topic, consumer_api=api, limits=Limits(poll_records=700))
    states: dict[str, Any] = {}
    offsets: dict[int, list[int]] = {partition: [] for partition in range(4)}
    for life in range(4):
        source = KafkaSource(settings, until_end=life == 3)
        rounds = Rounds(source, states)
        if life < 3:
            rounds.until(lambda rounds: rounds.records() > 2000)
            states = rounds.states()
            source.stop()
        rounds.to_end()
        source.check()
        source.close()
        for partition in range(4):
            offsets[partition] += rounds.offsets(partition)
    assert offsets == {partition: list(range(5000)) for partition in range(4)}


@pytest.mark.parametrize(("policy", "expected"), [("earliest", numbered(40, 60)), ("latest", [])])
def test_records_deleted_from_a_real_topic_are_passed_over_as_chosen(
    kafka: Any, policy: Any, expected: list[bytes | None]
) -> None:
    topic = kafka.create_topic(1)
    fill(kafka, topic, 0, numbered(100))
    delete_records(kafka, topic, 60)
    source = KafkaSource(real(kafka, topic, on_lost_offset=policy))
    rounds = Rounds(source, {part_name(0): (1, topic, 10)}).until(Rounds.caught_up)
    source.close()
    assert rounds.values(0) == expected


@BOTH_APIS
def test_records_deleted_from_a_real_topic_end_the_job_by_default(kafka: Any, api: Any) -> None:
    topic = kafka.create_topic(1)
    fill(kafka, topic, 0, numbered(100))
    delete_records(kafka, topic, 60)
    source = KafkaSource(real(kafka, topic, consumer_api=api))
    Rounds(source, {part_name(0): (1, topic, 10)}).to_end()
    source.close()
    with pytest.raises(SourceError, match=r"50 records \(10 to 59\) were deleted before they were read"):
        source.check()


def delete_records(kafka: Any, topic: str, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        done.result(60)


def test_partitions_added_to_a_real_topic_are_read_from_their_beginning_after_a_restart(
    kafka: Any, tmp_path: Path
) -> None:
    topic = kafka.create_topic(1)
    fill(kafka, topic, 0, numbered(10))
    state = folder(tmp_path)
    settings = real(kafka, topic, start="latest", tick_ms=10)
    source = KafkaSource(settings, recheck_ms=100)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    grown: list[Any] = []

    def grow(item: Raw | Tick) -> None:
        if not grown:
            grown.extend(admin.create_partitions([NewPartitions(topic, 3)]).values())
            grown[0].result(60)
            # Kafka says so before it tells clients, and a producer refuses a partition that it has not heard of.
            wait_until(
                lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3, "new partitions"
            )
            fill(kafka, topic, 2, numbered(7))

    run_flow(source, lambda seen: None, state, watch=grow)
    assert source.outcome == "partitions_changed"
    fill(kafka, topic, 0, numbered(2, 10))
    final: dict[str, list[tuple[int, int]]] = {}
    source = KafkaSource(settings, until_end=True)
    run_flow(source, lambda seen: final.update([seen]), state)
    assert final == {"0": [(10, 2)], "2": [(0, 7)]}


@BOTH_APIS
def test_transaction_markers_and_aborted_records_at_the_end_do_not_keep_until_end_waiting(kafka: Any, api: Any) -> None:
    topic = kafka.create_topic(1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(60)
    for values, finish in (([b"kept"], producer.commit_transaction), ([b"gone"], producer.abort_transaction)):
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
        producer.flush(60)
        finish(60)
    producer.close()
    source = KafkaSource(real(kafka, topic, consumer_api=api), until_end=True)
    rounds = Rounds(source)
    rounds.until(lambda rounds: any(raw.caught_up for raw in rounds.raws))
    states = rounds.states()
    rounds.to_end()
    source.close()
    assert rounds.values(0) == [b"kept"]
    assert states[part_name(0)][:3] == (2, topic, 4)  # two records and two markers


def test_a_compacted_topic_is_read_with_its_gaps(kafka: Any) -> None:
    options = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = kafka.create_topic(1, {**options, "max.compaction.lag.ms": "100", "delete.retention.ms": "100"})
    fill(kafka, topic, 0, numbered(50), key=b"same")

    def compacted() -> bool:
        # Compaction works only behind the segment that is being written; a later record begins a new one.
        fill(kafka, topic, 0, [b"last"], key=b"same")
        source = KafkaSource(real(kafka, topic), until_end=True)
        rounds = Rounds(source).to_end()
        source.close()
        offsets = rounds.offsets(0)
        assert offsets == sorted(set(offsets))
        assert len(offsets) == len(rounds.values(0))
        return len(offsets) < offsets[-1] + 1

    wait_until(compacted, "compaction", pause=0.5)


def test_a_killed_broker_is_outlived(own_kafka: Any) -> None:
    topic = own_kafka.create_topic(2)
    fill(own_kafka, topic, 0, numbered(100))
    source = KafkaSource(real(own_kafka, topic, limits=Limits(delivery_wait_ms=0)))
    rounds = Rounds(source).until(Rounds.caught_up)
    own_kafka.kill()
    ticks = len(rounds.ticks)
    rounds.until(lambda rounds: len(rounds.ticks) > ticks + 20)
    own_kafka.restart()
    fill(own_kafka, topic, 0, numbered(50, 100))
    fill(own_kafka, topic, 1, numbered(5))
    rounds.until(lambda rounds: rounds.records() == 155).until(Rounds.caught_up)
    source.close()
    assert (rounds.values(0), rounds.values(1)) == (numbered(150), numbered(5))


def test_leaving_waits_for_no_broker_that_has_gone_even_with_a_commit_under_way(own_kafka: Any) -> None:
    topic = own_kafka.create_topic(1)
    reader = Reader(real(own_kafka, topic), "group", pace=None, stopping=lambda: False)
    reader.find_topic()
    reader.add({0: Place(None)}, start="earliest", to_end=False)

    def acknowledged() -> bool:
        reader.poll()
        if reader._consumer.commits.refused:  # a new broker's coordinator may still be loading
            reader._consumer.commits.sent_at = 0.0
            reader.commit({0: 0})
        return not reader._consumer.commits.open

    def lost() -> bool:
        reader.poll()
        return reader._consumer.link.down

    reader.commit({0: 0})
    wait_until(acknowledged, "the first commit")
    own_kafka.kill()
    wait_until(lost, "the loss of the broker")
    reader._consumer.commits.sent_at = 0.0
    reader.commit({0: 0})
    leaving = threading.Thread(target=reader.close, daemon=True)
    leaving.start()
    leaving.join(60)
    assert not leaving.is_alive()
