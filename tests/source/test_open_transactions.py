"""Records that wait for their commit hold the stream clock; markers, aborted records and an end do not.

As a producer and a reader of committed data see it:

    a producer with transactions    begin . a . b . . . . . . commit   begin . c . . .
    can be read                                               a b
    the partition lags                      |-----------------|                |------

The reader may begin, stand still or end anywhere between.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer

from flows.config.limits import Limits
from flows.config.settings import Settings
from flows.source.kafka import KafkaSource
from flows.source.open_transactions import OpenTransactions
from flows.source.part_state import part_name
from tests.services import KafkaBroker
from tests.source.driving import Rounds, raws

WAIT_MS = 60_000


class HandDrivenClock:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


# When there is one, and how long it holds


def test_a_partition_waits_while_there_is_more_than_can_be_read() -> None:
    clock = HandDrivenClock()
    transactions = OpenTransactions("events", WAIT_MS, clock)
    held = []
    for offset, high in ((40, 40), (40, 41), (40, 90), (95, 95), (95, 99), (95, 95)):
        transactions.stands(0, offset, high)
        clock.seconds += 2
        held.append((transactions.hold(0), transactions.waits()))
    assert held == [
        (False, {}),
        (True, {0: (1, 2.0)}),
        (True, {0: (50, 4.0)}),
        (False, {}),
        (True, {0: (4, 2.0)}),
        (False, {}),
    ]


def test_waiting_is_given_up_at_the_limit_of_each_transaction_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandDrivenClock()
    transactions = OpenTransactions("events", WAIT_MS, clock)
    transactions.stands(0, 40, 90)
    clock.seconds += 50
    transactions.stands(1, 7, 9)
    clock.seconds += 10
    for _ in range(3):
        transactions.heed_limit()
        transactions.stands(0, 40, 120)
    assert (transactions.hold(0), transactions.hold(1)) == (False, True)
    assert transactions.waits() == {0: (80, 60.0), 1: (2, 10.0)}  # what is not waited for is still told
    transactions.stands(0, 100, 120)  # it has ended, and another one is open
    assert transactions.hold(0)
    transactions.moves(1)
    assert not transactions.hold(1)
    assert [message.split("; ")[0] for message in caplog.messages] == [
        "topic events partition 0: the transaction at offset 40 has been open for 1m (limits.transaction_wait)",
        "topic events partition 0: the transaction at offset 40 has ended",
    ]


# On a real Kafka


class Writer:
    """A producer with transactions, and a source that reads what it writes."""

    def __init__(self, kafka: KafkaBroker, api: Any) -> None:
        self.kafka = kafka
        self.topic = kafka.create_topic(2)
        self.clock = HandDrivenClock()
        self.settings = Settings(
            bootstrap_servers=kafka.bootstrap_servers,
            topic=self.topic,
            consumer_api=api,
            tick_ms=50,
            limits=Limits(transaction_wait_ms=WAIT_MS),
        )
        self.sources: list[KafkaSource] = []
        self.producers: list[Producer] = []

    def producer(self, name: str = "writer", **options: Any) -> Producer:
        made = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap_servers,
                "transactional.id": f"{self.topic}-{name}",
                **options,
            }
        )
        made.init_transactions(60)
        self.producers.append(made)
        return made

    def plain(self, partition: int, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
        self.send(producer, partition, *values)
        producer.close()

    def send(self, producer: Producer, partition: int, *values: bytes) -> None:
        for value in values:
            producer.produce(self.topic, value, partition=partition)
        assert producer.flush(60) == 0

    def begin(self, producer: Producer, partition: int, *values: bytes) -> None:
        producer.begin_transaction()
        self.send(producer, partition, *values)

    def read(self, states: dict[str, Any] | None = None, **options: Any) -> Rounds:
        source = KafkaSource(self.settings, **options)
        self.sources.append(source)
        return Rounds(source, states)

    def close(self) -> None:
        for source in self.sources:
            source.close()
        for producer in self.producers:
            producer.close()


@pytest.fixture(params=["librdkafka", "public"])
def writer(request: pytest.FixtureRequest, kafka: KafkaBroker) -> Iterator[Writer]:
    made = Writer(kafka, request.param)
    yield made
    made.close()


def lagging(rounds: Rounds) -> set[int]:
    latest = {raw.partition: raw.caught_up for raw in rounds.raws}
    return {partition for partition in (0, 1) if not latest.get(partition)}


def lags(*partitions: int) -> Callable[[Rounds], bool]:
    return lambda rounds: lagging(rounds) == set(partitions)


def waiting(rounds: Rounds, source: KafkaSource) -> dict[int, int]:
    reader = source._reader
    assert reader is not None
    return {number: records for number, (records, _) in reader.waits_for_transactions().items()}


def test_a_partition_lags_from_its_first_undecided_record_to_its_commit(writer: Writer) -> None:
    producer = writer.producer()
    rounds = writer.read().until(Rounds.caught_up)
    for number in range(3):
        writer.begin(producer, 0, b"%d" % number, b"")
        rounds.until(lags(0))
        assert waiting(rounds, writer.sources[0]) == {0: 2}
        producer.commit_transaction(60)
        rounds.until(Rounds.caught_up)  # though the partition ends with a marker that is never handed on
        assert waiting(rounds, writer.sources[0]) == {}
    assert rounds.values(0) == [b"0", b"", b"1", b"", b"2", b""]
    assert lagging(rounds) == set()


def test_an_aborted_transaction_holds_nothing_any_more(writer: Writer) -> None:
    producer = writer.producer()
    rounds = writer.read().until(Rounds.caught_up)
    writer.begin(producer, 0, b"gone")
    rounds.until(lags(0))
    producer.abort_transaction(60)
    rounds.until(Rounds.caught_up)
    assert rounds.records() == 0
    assert rounds.states()[part_name(0)][:4] == (2, writer.topic, 2, None)


def test_a_partition_that_is_read_up_to_an_open_transaction_is_never_told_to_be_at_its_end(writer: Writer) -> None:
    """As after a restart: no answer but the first tells of an end, and no statistics have come before it."""
    writer.plain(0, b"before")
    producer = writer.producer()
    writer.begin(producer, 0, b"undecided")
    writer.plain(0, b"behind")  # without a transaction, and all the same it cannot be read
    rounds = writer.read(observer=(observer := Observer())).until(lambda rounds: observer.waits == {0: 2})
    assert observer.times_caught_up == 1  # all that could be read has been
    assert [raw.caught_up for raw in rounds.raws if raw.partition == 0] == [False]
    assert rounds.values(0) == [b"before"]
    producer.commit_transaction(60)
    rounds.until(Rounds.caught_up)
    assert rounds.values(0) == [b"before", b"undecided", b"behind"]
    assert rounds.until(lambda rounds: observer.waits == {}).records() == 3


class Observer:
    """What the source tells."""

    def __init__(self) -> None:
        self.waits: dict[int, int] = {}
        self.times_caught_up = 0

    def assign(self, partitions: Any) -> None: ...

    def lags(self, topic: str, partition: int, messages: int) -> None: ...

    def open_transactions(self, topic: str, waits: Any) -> None:
        self.waits = {number: records for number, (records, _) in waits.items()}

    def clock_holds(self, topic: str, holds: Any) -> None: ...

    def caught_up(self) -> None:
        self.times_caught_up += 1


def test_transactions_that_overlap_hold_until_the_last_one_has_ended(writer: Writer) -> None:
    first, second = writer.producer("first"), writer.producer("second")
    rounds = writer.read().until(Rounds.caught_up)
    writer.begin(first, 0, b"1")
    writer.begin(second, 0, b"2")
    writer.send(first, 0, b"3")
    rounds.until(lags(0))
    first.commit_transaction(60)
    rounds.until(lambda rounds: rounds.values(0) == [b"1"])  # 3 stands behind the second one's first
    rounds.until(lambda rounds: waiting(rounds, writer.sources[0]) == {0: 3})
    assert lagging(rounds) == {0}
    second.commit_transaction(60)
    rounds.until(Rounds.caught_up)
    assert rounds.values(0) == [b"1", b"2", b"3"]


def test_after_a_stall_a_partition_still_waits_for_its_transaction(writer: Writer) -> None:
    producer = writer.producer()
    writer.begin(producer, 0, b"undecided")
    rounds = writer.read(monotonic=writer.clock).until(lags(0))
    rounds.until(lambda rounds: waiting(rounds, writer.sources[0]) == {0: 1})
    writer.clock.seconds += 30
    before = len(rounds.items)
    rounds.until(lambda rounds: waiting(rounds, writer.sources[0]) == {0: 1} and lagging(rounds) == {0})
    assert not any(raw.caught_up for raw in raws(rounds.items[before:]) if raw.partition == 0)


def test_a_transaction_that_lasts_too_long_is_waited_for_no_more(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def as_time_passes(condition: Callable[[Rounds], bool]) -> Callable[[Rounds], bool]:
        """Where little comes, it is handed on at ticks."""

        def met(rounds: Rounds) -> bool:
            writer.clock.seconds += 0.05
            return condition(rounds)

        return met

    producer = writer.producer()
    rounds = writer.read(monotonic=writer.clock).until(Rounds.caught_up)
    writer.begin(producer, 0, b"too late")
    rounds.until(lags(0))
    for _ in range(WAIT_MS // 400):  # not so far at once that it would be a stall
        writer.clock.seconds += 0.4
        rounds.play()
    rounds.until(as_time_passes(lags()))
    assert caplog.text.count("the transaction at offset 0 has been open for 1m") == 1
    producer.commit_transaction(60)
    rounds.until(as_time_passes(lambda rounds: rounds.values(0) == [b"too late"] and rounds.caught_up()))
    assert "the transaction at offset 0 has ended" in caplog.text


DYING = """
import sys
from confluent_kafka import Producer
servers, topic = sys.argv[1:]
producer = Producer({"bootstrap.servers": servers, "transactional.id": topic, "transaction.timeout.ms": 1000})
producer.init_transactions(60)
producer.begin_transaction()
producer.produce(topic, b"gone", partition=0)
assert producer.flush(60) == 0
print("sent", flush=True)
sys.stdin.read()
"""


def test_the_broker_ends_the_transaction_of_a_producer_that_has_died(writer: Writer) -> None:
    rounds = writer.read().until(Rounds.caught_up)
    command = [sys.executable, "-c", DYING, writer.kafka.bootstrap_servers, writer.topic]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        assert producer.stdout.readline() == b"sent\n"
        producer.kill()
    rounds.until(lags(0))
    rounds.until(Rounds.caught_up)  # the coordinator looks every 10 s
    assert rounds.records() == 0
    assert rounds.states()[part_name(0)][:4] == (2, writer.topic, 2, None)


def test_until_end_ends_before_an_open_transaction_and_says_so(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    writer.plain(0, b"before")
    producer = writer.producer()
    writer.begin(producer, 0, b"undecided")
    rounds = writer.read(until_end=True)
    rounds.until(lambda rounds: any(raw.caught_up for raw in rounds.raws if raw.partition == 0))
    states = rounds.states()
    rounds.to_end()
    assert rounds.values(0) == [b"before"]
    assert [record.message for record in caplog.records if "is not read by this run" in record.message] == [
        f"topic {writer.topic} partition 0: what lies behind the transaction that is open at offset 1 is not read by "
        "this run, which ends before it; a later one with the same state folder reads it"
    ]
    producer.commit_transaction(60)
    rounds = writer.read({**states, part_name(1): (1, writer.topic, 0)}, until_end=True).to_end()
    assert rounds.values(0) == [b"undecided"]


def test_without_transactions_nothing_waits(writer: Writer) -> None:
    writer.settings = replace(writer.settings, limits=Limits(poll_records=3))
    rounds = writer.read()
    for number in range(20):
        writer.plain(0, *[b"%d" % number] * 10)
        rounds.until(lambda rounds, number=number: rounds.records() == 10 * (number + 1))  # type: ignore[misc]
    rounds.until(Rounds.caught_up)
    assert waiting(rounds, writer.sources[0]) == {}
