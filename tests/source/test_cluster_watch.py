"""What is asked of the cluster, how often, what follows from each answer, and that servers give these answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from flows.config.settings import Settings
from flows.demo.embedded import EmbeddedKafka
from flows.source.cluster_watch import ClusterWatch
from flows.source.librdkafka_questions import LibrdkafkaQuestions
from flows.source.outages import Outages
from flows.source.public_questions import PublicQuestions
from flows.source.questions import (
    FIRST,
    LATEST,
    NEWEST,
    Answer,
    Keepers,
    Offsets,
    Questions,
    Topic,
    TopicOptions,
    Unanswered,
)
from tests.services import DEADLINE_SECONDS

ALL = frozenset({1, 2, 3})
ANSWER_SECONDS = 2.0


class NotedQuestions:
    """Notes what is asked; answers come when a test gives them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: list[Answer] = []
        self.open: set[int] = set()
        self._number = 0

    def _ask(self, *question: Any) -> int:
        self._number += 1
        self.asked.append(question)
        self.open.add(self._number)
        return self._number

    def ask_topic(self, broker: int | None, seconds: float) -> int:
        return self._ask("topic", broker)

    def ask_options(self, broker: int | None, seconds: float) -> int:
        return self._ask("options")

    def ask_offsets(self, which: int, partitions: Iterable[int], seconds: float) -> int:
        return self._ask(which, tuple(partitions))

    def is_open(self, number: int | None) -> bool:
        return number in self.open

    def answer(self, seconds: float = 0.0) -> Answer | None:
        return self.answers.pop(0) if self.answers else None

    def close(self) -> None:
        self.open.clear()


class Watching:
    def __init__(self) -> None:
        self.now = 100.0
        self.questions: Any = NotedQuestions()
        self.outages = Outages(45_000, lambda: self.now)
        self.outages.add([0, 1, 2])
        self.brokers = [2, 1]
        self.watch = ClusterWatch(self.questions, lambda: self.brokers, self.outages, lambda _: 10, lambda: self.now)

    def look(self, *answers: Answer, later: float = 0.0) -> list[tuple[Any, ...]]:
        """What is asked after these answers, so much later."""
        self.now += later
        self.questions.answers += answers
        self.questions.open.clear()
        self.questions.asked.clear()
        self.watch.look()
        asked: list[tuple[Any, ...]] = self.questions.asked
        return asked

    def described(self) -> Topic:
        return Topic("id", {number: Keepers(1 + number % 2, ALL, ALL) for number in range(3)})


@pytest.fixture
def watching() -> Watching:
    return Watching()


def test_once_a_second_one_broker_is_asked_of_the_topic_and_each_leader_of_its_partitions(watching: Watching) -> None:
    assert watching.look() == [("topic", 2)]
    assert watching.look(watching.described()) == [("options",), (NEWEST, (0, 2)), (NEWEST, (1,))]
    assert watching.look(later=0.5) == []
    assert watching.look(later=0.5) == [("topic", 2), (NEWEST, (0, 2)), (NEWEST, (1,))]
    assert watching.look(later=1.0)[0] == ("topic", 1)  # they take turns


def test_where_no_broker_is_known_any_is_asked(watching: Watching) -> None:
    watching.brokers.clear()
    assert watching.look() == [("topic", None)]


def test_a_question_that_is_open_is_not_asked_again(watching: Watching) -> None:
    watching.watch.look()
    watching.now += 10
    watching.watch.look()
    assert watching.questions.asked == [("topic", 2)]


def test_a_partition_whose_newest_record_cannot_be_seen_is_asked_for_any(watching: Watching) -> None:
    watching.look()
    watching.look(watching.described())
    assert watching.look(Offsets(NEWEST, (0, 2), {0: 7, 2: -1})) == [(FIRST, (2,))]
    watching.look(Offsets(FIRST, (2,), {2: 3}))
    watching.look(Offsets(NEWEST, (0, 2), {0: 7, 2: -1}), later=1.0)
    watching.outages.look()
    held = watching.outages.hold(2)
    assert held is not None
    assert held.reason == "withheld"


def test_a_kafka_that_cannot_tell_a_newest_record_is_asked_for_its_high_watermark(watching: Watching) -> None:
    watching.look()
    watching.look(watching.described())
    assert watching.look(Unanswered(9, KafkaError._UNSUPPORTED_FEATURE), later=1.0)[1:] == [
        (LATEST, (0, 2)),
        (LATEST, (1,)),
    ]


@pytest.mark.parametrize(
    ("code", "holds"),
    [
        (KafkaError._UNSUPPORTED_FEATURE, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
        (KafkaError._TIMED_OUT, True),
    ],
)
def test_only_a_cluster_that_cannot_describe_the_topic_is_not_waited_for(
    watching: Watching, code: int, holds: bool
) -> None:
    watching.look()
    watching.look(Unanswered(1, code))
    watching.outages.look()
    assert (watching.outages.hold(0) is not None) == holds


def test_min_insync_replicas_is_heeded(watching: Watching) -> None:
    watching.look()
    watching.look(watching.described())
    watching.look(TopicOptions({"min.insync.replicas": "3"}))
    assert watching.outages.min_in_sync == 3
    watching.look(TopicOptions({}))  # a user that may not see it
    assert watching.outages.min_in_sync == 3


def test_the_id_is_told_once_for_each_time_that_it_is_wanted(watching: Watching) -> None:
    watching.look()
    watching.look(watching.described())
    assert watching.watch.topic_id() == "id"
    watching.look(watching.described(), later=1.0)
    assert watching.watch.topic_id() is None
    watching.watch.ask_id()
    watching.look(watching.described(), later=1.0)
    assert watching.watch.topic_id() == "id"


# What servers answer


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"events": 2}) as kafka:
        yield kafka


BOTH_APIS = pytest.mark.parametrize("api", ["librdkafka", "public"])


def answers(api: str, servers: str, topic: str) -> list[Answer]:
    """To all questions of two partitions, in no order."""
    name = "curious"
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "client.id": name, "log_level": "2"})
    try:
        broker = min(consumer.list_topics(topic, timeout=DEADLINE_SECONDS).brokers)
        questions: Questions = (
            LibrdkafkaQuestions(consumer, name, topic)
            if api == "librdkafka"
            else PublicQuestions(Settings(bootstrap_servers=servers, topic=topic))
        )
        asked = [questions.ask_topic(broker, ANSWER_SECONDS), questions.ask_options(broker, ANSWER_SECONDS)]
        asked += [questions.ask_offsets(which, [0, 1], ANSWER_SECONDS) for which in (NEWEST, FIRST, LATEST)]
        assert all(questions.is_open(number) for number in asked)
        found = []
        while (answer := questions.answer(DEADLINE_SECONDS)) is not None:
            found.append(answer)
        assert not any(questions.is_open(number) for number in asked)
        questions.close()
        return found
    finally:
        consumer.close()


@BOTH_APIS
def test_a_real_kafka_answers_every_question(kafka: Any, api: str) -> None:
    topic = kafka.create_topic(2, {"min.insync.replicas": "1"})
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for _ in range(3):
        producer.produce(topic, b"x", partition=1)
    assert producer.flush(DEADLINE_SECONDS) == 0
    found = answers(api, kafka.bootstrap_servers, topic)
    described = [answer for answer in found if isinstance(answer, Topic)]
    (options,) = (answer for answer in found if isinstance(answer, TopicOptions))
    offsets = {answer.which: answer.found for answer in found if isinstance(answer, Offsets)}
    alone = Keepers(1, frozenset({1}), frozenset({1}))
    assert {one.id for one in described} - {None} == {topic_id(kafka, topic)}
    assert [one.partitions for one in described if one.partitions] == [{0: alone, 1: alone}]
    assert options.values["min.insync.replicas"] == "1"
    assert offsets[FIRST] == {0: -1, 1: 0}
    assert offsets[LATEST] == {0: 0, 1: 3}
    assert offsets[NEWEST][0] == -1
    assert 0 <= offsets[NEWEST][1] < 3


def topic_id(kafka: Any, topic: str) -> str:
    """As Kafka tells it; a checkpoint of either API is compared with it."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    return str(admin.describe_topics(TopicCollection([topic]))[topic].result(DEADLINE_SECONDS).topic_id)


@BOTH_APIS
def test_the_embedded_kafka_answers_so_that_nothing_is_held(embedded: EmbeddedKafka, api: str) -> None:
    found = answers(api, embedded.bootstrap_servers, "events")
    outages = Outages(45_000)
    outages.add([0, 1])
    for answer in found:
        if isinstance(answer, Topic):
            outages.described(answer.partitions)
        elif isinstance(answer, Offsets) and answer.which == FIRST:
            for partition, offset in answer.found.items():
                outages.shows(partition, any_record=offset >= 0)
        elif isinstance(answer, Offsets) and answer.which == NEWEST:
            for partition, offset in answer.found.items():
                outages.told(partition, newest=offset >= 0, high=0)
    outages.look()
    assert (outages.hold(0), outages.hold(1)) == (None, None)
