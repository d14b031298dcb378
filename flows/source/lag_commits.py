"""Offsets committed to the consumer group, for lag tools: the checkpoint says where to go on, and not these."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

COMMIT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.010
_logger = logging.getLogger(__name__)


class LagCommits:
    """What one consumer of `topic` commits, every 5 s at most, and whether Kafka took it; a failure is only said."""

    def __init__(self, topic: str) -> None:
        self.open: dict[int, int] = {}  # by partition, the next offset that Kafka has not acknowledged
        self.refused = False  # the last answer was an error
        self.sent_at = -math.inf  # monotonic s
        self._topic = topic

    def commit(self, consumer: Consumer, offsets: Mapping[int, int]) -> None:
        """A checkpoint holds these next offsets."""
        self.open.update(offsets)
        if self.open and time.monotonic() - self.sent_at >= COMMIT_SECONDS:
            self._send(consumer)

    def settle(self, consumer: Consumer) -> None:
        """Send what is open, if anything, and wait for the answer, 2 s at most."""
        if not self.open:
            return
        self._send(consumer)
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.open and not self.refused and time.monotonic() < deadline:
            consumer.poll(0)
            time.sleep(LOOK_SECONDS)  # librdkafka would wait by the system clock, and a step back prolong it
        if self.open and not self.refused:
            _logger.warning("the last offsets may not be known to lag tools: no answer for %g s", ANSWER_SECONDS)

    def _send(self, consumer: Consumer) -> None:
        self.sent_at = time.monotonic()
        offsets = [TopicPartition(self._topic, number, offset) for number, offset in self.open.items()]
        try:
            consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.on_answer(error.args[0], [])

    def on_answer(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """The consumer's `on_commit`."""
        problem = error or next((one.error for one in offsets if one.error), None)
        if problem is None:
            self.refused = False
            for one in offsets:
                if self.open.get(one.partition) == one.offset:
                    del self.open[one.partition]
        elif not self.refused:
            self.refused = True
            _logger.warning("offsets cannot be committed for lag tools (nothing else needs them): %s", problem.str())
