"""Asks once a second who keeps each partition and whether its leader lets readers see all, and tells `Outages`.

Each question is open for two seconds at most, and nothing waits for an answer. Brokers that are heard take turns in
being asked of the topic. A Kafka that cannot answer a question (one older than 3.0, of another maker, or embedded) is
not asked what depends on it, and holds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

from confluent_kafka import KafkaError

from flows.source.outages import Outages
from flows.source.questions import FIRST, LATEST, NEWEST, Offsets, Questions, Topic, Unanswered

_EVERY_SECONDS: Final = 1.0
_OPTIONS_EVERY_SECONDS: Final = 60.0
_OPEN_SECONDS: Final = 2.0
_UNREACHABLE: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})
"""Says nothing of what the cluster can answer."""
_MIN_IN_SYNC: Final = "min.insync.replicas"


class ClusterWatch:
    """Through `questions` to `brokers`, as they are when asked; `high_watermark` knows that of a partition, as its last
    fetch told (negative: not known).
    """

    def __init__(
        self,
        questions: Questions,
        brokers: Callable[[], Collection[int]],
        outages: Outages,
        high_watermark: Callable[[int], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._questions = questions
        self._brokers = brokers
        self._outages = outages
        self._high_watermark = high_watermark
        self._monotonic = monotonic
        self._turn = 0
        self._id: str | None = None
        self._id_wanted = True
        self._newest = NEWEST  # or LATEST, of a Kafka that cannot tell a newest record
        self._begun: dict[object, float] = {}  # when each question was asked last
        self._numbers: dict[object, int] = {}

    def look(self) -> None:
        """Hear what has been answered, and ask what is due; never waits."""
        while self._hear(0.0):
            pass
        if self._is_due("topic", _EVERY_SECONDS):
            self._numbers["topic"] = self._questions.ask_topic(self._next_broker(), _OPEN_SECONDS)
        leaders = self._outages.leaders()
        if leaders and self._is_due("options", _OPTIONS_EVERY_SECONDS):
            self._numbers["options"] = self._questions.ask_options(self._next_broker(), _OPEN_SECONDS)
        suspects = self._outages.suspects()
        for leader, partitions in leaders.items():
            if self._is_due((leader, NEWEST), _EVERY_SECONDS):
                self._numbers[leader, NEWEST] = self._questions.ask_offsets(self._newest, partitions, _OPEN_SECONDS)
            dubious = [partition for partition in partitions if partition in suspects]
            if dubious and self._is_due((leader, FIRST), _EVERY_SECONDS):
                self._numbers[leader, FIRST] = self._questions.ask_offsets(FIRST, dubious, _OPEN_SECONDS)

    def ask_id(self, seconds: float = 0.0) -> None:
        """Have the next answer told as `topic_id`; wait so long at most for one."""
        self._id_wanted = True
        if seconds:
            self._begun["topic"] = self._monotonic()
            self._numbers["topic"] = self._questions.ask_topic(self._next_broker(), seconds)
            deadline = time.monotonic() + seconds
            while self._id is None and self._hear(max(0.0, deadline - time.monotonic())):
                pass

    def topic_id(self) -> str | None:
        """The id that was wanted, once; None: nothing new is known."""
        found, self._id = self._id, None
        return found

    def _next_broker(self) -> int | None:
        brokers = sorted(self._brokers())
        self._turn += 1
        return brokers[self._turn % len(brokers)] if brokers else None

    def _is_due(self, question: object, every_seconds: float) -> bool:
        now = self._monotonic()
        if (
            self._questions.is_open(self._numbers.get(question))
            or now - self._begun.get(question, -1e9) < every_seconds
        ):
            return False
        self._begun[question] = now
        return True

    def _hear(self, seconds: float) -> bool:
        answer = self._questions.answer(seconds)
        if answer is None:
            return False
        if isinstance(answer, Topic):
            if self._id_wanted and answer.id is not None:
                self._id, self._id_wanted = answer.id, False
            self._outages.described(answer.partitions)
        elif isinstance(answer, Unanswered):
            if answer.number == self._numbers.get("topic") and answer.code not in _UNREACHABLE:
                self._outages.undescribed()
            elif answer.code == KafkaError._UNSUPPORTED_FEATURE:
                self._newest = LATEST
        elif not isinstance(answer, Offsets):
            if answer.values.get(_MIN_IN_SYNC, "").isdecimal():
                self._outages.min_in_sync = int(answer.values[_MIN_IN_SYNC])
        elif answer.which == FIRST:
            for partition, offset in answer.found.items():
                self._outages.shows(partition, any_record=offset >= 0)
        else:
            for partition, offset in answer.found.items():
                self._outages.told(partition, newest=offset >= 0, high=self._high_watermark(partition))
        return True
