"""Offsets committed to the consumer group, for lag tools: the checkpoint says where to go on, and not these.

They have a client of their own. librdkafka starts no partition of a consumer while one of its commits waits for an
answer, and each stall has partitions fetched anew; beside a coordinator that cannot be reached some commit always
waits, so reading would stand still for as long.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.config.settings import Settings
from flows.kafka.client import options

COMMIT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.010
_logger = logging.getLogger(__name__)


class LagCommits:
    """What a process commits for its topic, every 5 s at most, and whether Kafka took it; a failure is only said."""

    def __init__(self, settings: Settings, group_id: str) -> None:
        self.open: dict[int, int] = {}  # by partition, the next offset that Kafka has not acknowledged
        self.refused = False  # the last answer was an error
        self.sent_at = -math.inf  # monotonic s
        self._settings = settings
        self._group_id = group_id
        self._client: Consumer | None = None  # until the first commit

    def hear(self) -> None:
        """Take answers that have come; the client's errors are those of the one that reads, which says them."""
        if self._client is not None:
            self._client.poll(0)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """A checkpoint holds these next offsets."""
        self.open.update(offsets)
        if self.open and time.monotonic() - self.sent_at >= COMMIT_SECONDS:
            self._send()

    def settle(self) -> None:
        """Send what is open, if anything, and wait for the answer, 2 s at most."""
        if not self.open:
            return
        self._send()
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.open and not self.refused and time.monotonic() < deadline:
            self.hear()
            time.sleep(LOOK_SECONDS)  # librdkafka would wait by the system clock, and a step back prolong it
        if self.open and not self.refused:
            _logger.warning("the last offsets may not be known to lag tools: no answer for %g s", ANSWER_SECONDS)

    def close(self) -> None:
        """Leave Kafka; waits 2 s at most."""
        if self._client is not None:
            # With a commit under way and no broker, librdkafka would wait in here for ever.
            leaving = threading.Thread(target=self._client.close, name="commits-goodbye", daemon=True)
            leaving.start()
            leaving.join(ANSWER_SECONDS)
            self._client = None

    def on_answer(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """What Kafka says of a commit."""
        problem = error or next((one.error for one in offsets if one.error), None)
        if problem is None:
            self.refused = False
            for one in offsets:
                if self.open.get(one.partition) == one.offset:
                    del self.open[one.partition]
        elif not self.refused:
            self.refused = True
            _logger.warning("offsets cannot be committed for lag tools (nothing else needs them): %s", problem.str())

    def _send(self) -> None:
        self.sent_at = time.monotonic()
        offsets = [TopicPartition(self._settings.topic, number, offset) for number, offset in self.open.items()]
        try:
            self._client = self._client or self._connected()
            self._client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.on_answer(error.args[0], [])

    def _connected(self) -> Consumer:
        required = {"group.id": self._group_id, "enable.auto.commit": False, "on_commit": self.on_answer}
        return Consumer(options(self._settings, {}, required))
