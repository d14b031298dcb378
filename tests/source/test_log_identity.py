"""An offset alone does not identify a record: a log that is not the one that was read is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from flows.config.settings import Settings
from flows.process.outcomes import SourceError
from flows.source.kafka import KafkaSource
from flows.source.log_identity import Proof
from flows.source.part_state import part_name
from tests.services import KafkaBroker, wait_until
from tests.source.driving import Rounds

BEFORE = 20


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


class Log:
    """A topic of one partition, and whatever reads it."""

    def __init__(self, kafka: KafkaBroker, topic: str, api: Any) -> None:
        self.kafka = kafka
        self.topic = topic
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        self.settings = Settings(bootstrap_servers=kafka.bootstrap_servers, topic=topic, consumer_api=api, tick_ms=50)
        self.sources: list[KafkaSource] = []

    def append(self, values: list[bytes]) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
        for value in values:
            producer.produce(self.topic, value, partition=0)
        assert producer.flush(60) == 0
        producer.close()

    def make_anew(self, values: list[bytes]) -> None:
        """Delete the topic and make another one of its name with these records."""
        self.admin.delete_topics([self.topic], operation_timeout=30)[self.topic].result(60)

        def made() -> bool:
            created = self.admin.create_topics([NewTopic(self.topic, num_partitions=1)])[self.topic]
            return created.exception(60) is None

        wait_until(made, "another topic of the same name")
        wait_until(
            lambda: bool(self.admin.list_topics(self.topic, timeout=10).topics[self.topic].partitions), "it is there"
        )
        self.append(values)

    def delete_before(self, offset: int) -> None:
        for done in self.admin.delete_records([TopicPartition(self.topic, 0, offset)]).values():
            done.result(60)

    def read(
        self, states: dict[str, Any] | None = None, policy: Literal["stop", "earliest", "latest"] = "stop"
    ) -> tuple[KafkaSource, Rounds]:
        source = KafkaSource(replace(self.settings, on_lost_offset=policy), recheck_ms=100)
        self.sources.append(source)
        return source, Rounds(source, states)

    def counted(self) -> dict[str, Any]:
        """What a checkpoint holds when all has been read."""
        source, rounds = self.read()
        states = rounds.until(Rounds.caught_up).states()
        source.close()
        return states


@pytest.fixture(params=["librdkafka", "public"])
def log(request: pytest.FixtureRequest, kafka: KafkaBroker) -> Iterator[Log]:
    made = Log(kafka, kafka.create_topic(1), request.param)
    made.append(numbered(BEFORE))
    yield made
    for source in made.sources:
        source.close()


def refused(log: Log, states: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The sentence with which reading on from `states` ends, and what the checkpoint holds then."""
    source, rounds = log.read(states)
    after = rounds.until(lambda rounds: source.outcome == "failed").states()
    assert rounds.to_end().records() == 0
    with pytest.raises(SourceError) as failure:
        source.check()
    return str(failure.value), after


def test_reading_goes_on_behind_the_last_record_that_was_counted(log: Log) -> None:
    states = log.counted()
    log.append(numbered(5, BEFORE))
    _, rounds = log.read(states)
    assert rounds.until(Rounds.caught_up).values(0) == numbered(5, BEFORE)


@pytest.mark.parametrize("more", [1, 100])
def test_a_topic_made_anew_with_more_records_is_refused_at_every_start(log: Log, more: int) -> None:
    states = log.counted()
    log.make_anew(numbered(BEFORE - 1 + more, 1000))
    for _ in range(3):  # also once it has grown
        sentence, states = refused(log, states)
        assert f"topic {log.topic} partition 0: the topic was deleted and made anew (its id was " in sentence
        assert "start with --on-lost-offset earliest" in sentence
        log.append(numbered(10))


def test_another_record_in_the_place_of_the_last_one_counted_is_refused_at_every_start(log: Log) -> None:
    """As after an unclean leader election, where the topic keeps its id."""
    states = log.counted()
    log.make_anew(numbered(100, 1000))
    states = {name: (*state[:4], None) for name, state in states.items()}
    for _ in range(2):
        sentence, states = refused(log, states)
        assert f"topic {log.topic} partition 0: its log is not the one that was read" in sentence
        assert f"at offset {BEFORE - 1} stands one of leader epoch 0" in sentence
        states = {name: (*state[:4], None) for name, state in states.items()}


def test_a_topic_made_anew_with_fewer_records_is_refused_and_so_it_is_when_it_has_grown(log: Log) -> None:
    states = log.counted()
    log.make_anew(numbered(3, 1000))
    sentence, states = refused(log, states)
    assert "made anew" in sentence
    log.append(numbered(BEFORE, 1003))
    sentence, states = refused(log, states)
    assert "made anew" in sentence


@pytest.mark.parametrize(("policy", "expected"), [("earliest", numbered(50, 1000)), ("latest", [])])
def test_another_log_is_read_from_where_the_operator_chooses(
    log: Log, policy: Literal["earliest", "latest"], expected: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    states = log.counted()
    log.make_anew(numbered(50, 1000))
    source, rounds = log.read(states, policy)
    assert rounds.until(Rounds.caught_up).values(0) == expected
    assert "the topic was deleted and made anew" in caplog.text
    log.append([b"new"])
    rounds.until(lambda rounds: rounds.values(0)[-1:] == [b"new"])
    states = rounds.until(Rounds.caught_up).states()
    source.close()
    log.append([b"newer"])
    _, rounds = log.read(states)  # the choice has been made
    assert rounds.until(Rounds.caught_up).values(0) == [b"newer"]


@pytest.mark.parametrize("more", [3, 200])
def test_a_topic_made_anew_while_it_is_read_ends_the_run(log: Log, more: int) -> None:
    source, rounds = log.read()
    rounds.until(Rounds.caught_up)
    log.make_anew(numbered(more, 1000))
    rounds.until(lambda rounds: source.outcome == "failed").to_end()
    with pytest.raises(SourceError, match=f"topic {log.topic} .*made anew"):
        source.check()


def test_a_last_record_that_is_gone_by_its_age_is_no_loss(log: Log) -> None:
    states = log.counted()
    log.delete_before(BEFORE)
    log.append(numbered(5, BEFORE))
    _, rounds = log.read(states)
    assert rounds.until(Rounds.caught_up).values(0) == numbered(5, BEFORE)


def test_records_that_are_gone_unread_are_named_as_ever(log: Log) -> None:
    states = log.counted()
    log.append(numbered(10, BEFORE))
    log.delete_before(BEFORE + 4)
    sentence, _ = refused(log, states)
    assert f"4 records ({BEFORE} to {BEFORE + 3}) were deleted before they were read" in sentence


def test_a_checkpoint_of_the_earlier_version_is_read_and_gets_a_proof(log: Log) -> None:
    _, rounds = log.read({part_name(0): (1, log.topic, 12)})
    states = rounds.until(Rounds.caught_up).states()
    assert rounds.values(0) == numbered(BEFORE - 12, 12)
    version, _, offset, proof, _ = states[part_name(0)]
    assert (version, offset, proof[0]) == (2, BEFORE, BEFORE - 1)


def test_markers_and_aborted_records_behind_the_last_one_counted_are_no_other_log(log: Log) -> None:
    producer = Producer({"bootstrap.servers": log.kafka.bootstrap_servers, "transactional.id": log.topic})
    producer.init_transactions(60)
    for finish in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(log.topic, b"of a transaction", partition=0)
        producer.flush(60)
        finish(60)
    producer.close()
    states = log.counted()
    _, _, offset, proof, _ = states[part_name(0)]
    assert (offset, proof[0]) == (BEFORE + 4, BEFORE)
    _, rounds = log.read(states)
    assert rounds.until(Rounds.caught_up).records() == 0
    assert rounds.states() == states
    log.delete_before(BEFORE + 4)
    log.append([b"next"])
    _, rounds = log.read(states)
    assert rounds.until(Rounds.caught_up).values(0) == [b"next"]


def test_a_record_is_known_by_its_epoch_time_and_content() -> None:
    proof = Proof(7, 3, 1_000, 99)
    same = [proof, proof._replace(epoch=-1)]
    others = [proof._replace(epoch=4), proof._replace(timestamp_ms=1_001), proof._replace(checksum=98)]
    assert [proof.fits(found) for found in [*same, *others]] == [True, True, False, False, False]
