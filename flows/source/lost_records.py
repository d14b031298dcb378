"""What is done where the next record cannot be read any more, or the log is not the one that was read.

Wherever reading begins, and after every doubt, the last record counted is read once more and compared (`log_identity`).
What would have to be read next and is gone ends the run, or it goes on where the operator has chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Literal

from flows.process.outcomes import SourceError
from flows.source.log_identity import proof_of
from flows.source.partition import Partition
from flows.source.queues import Batch
from flows.source.topic_consumer import TopicConsumer

Policy = Literal["stop", "earliest", "latest"]
_OTHER_LOG: Final = "its log is not the one that was read (an unclean leader election, or was the topic made anew?)"
_logger = logging.getLogger(__name__)


class LostRecords:
    """Decides for the partitions that `consumer` fetches."""

    def __init__(self, consumer: TopicConsumer, policy: Policy) -> None:
        self.topic_id: str | None = None  # of the topic whose records have been counted; None: not known
        self._consumer = consumer
        self._policy: Policy = policy

    def is_the_same(self, part: Partition, batch: Batch) -> bool:
        """Whether what is read first is what was counted last; where that is gone by its age, nothing can be said."""
        proof, part.unproven = part.proof if part.unproven else None, False
        if proof is None or batch.offsets[0] != proof.offset or proof.fits(found := proof_of(batch, 0)):
            return True
        low, high = self._consumer.watermarks(part.number)
        self._give_up(
            part,
            f"{_OTHER_LOG}: at offset {proof.offset} stands {found.text()}, while the record counted was "
            f"{proof.text()}, so records that were counted, up to that one, are no more",
            low,
            high,
        )
        return False

    def compare_topic(self, found: str | None, parts: Iterable[Partition]) -> None:
        """Whether the topic is still the one whose records have been counted; None: nothing new is known."""
        if found is None or found == self.topic_id:
            return
        for part in parts if self.topic_id is not None else ():
            low, high = self._consumer.watermarks(part.number)
            loss = f"the topic was deleted and made anew (its id was {self.topic_id}, it is {found}), so records that "
            self._give_up(part, loss + "were counted are no more", low, high)
        self.topic_id = found  # only now: until the operator has chosen, every start says the same

    def look_for(self, part: Partition) -> None:
        """The next record is not in Kafka, or was not when Kafka was asked: look whether it ever will be."""
        low, high = self._consumer.watermarks(part.number)
        if max(part.fetched, part.reached) < low:
            gone = f"{part.fetched} to {low - 1}"
            self._give_up(part, f"{low - part.fetched} records ({gone}) were deleted before they were read", low, high)
        elif part.fetched > high:
            gone = f"{high} to {part.fetched - 1}"
            loss = f"{_OTHER_LOG}: it ends at offset {high}, so records {gone}, which were counted, are no more"
            self._give_up(part, loss, low, high)
        else:  # a leader was behind for a moment, or another log has grown as long: the proof will tell
            if part.proof is not None and part.proof.offset < low:
                part.proof = None
                part.fetched = max(part.fetched, low)
            self._consumer.assign([part])

    def _give_up(self, part: Partition, loss: str, low: int, high: int) -> None:
        """What would have to be read next cannot be: stop, or go on where the operator has chosen."""
        name = f"topic {self._consumer.topic} partition {part.number}"
        if self._policy == "stop":
            raise SourceError(
                f"{name}: {loss}; start with --on-lost-offset earliest to go on with the oldest record there "
                f"is, latest to go on with new ones, or with an empty state folder to count from scratch"
            )
        part.fetched = part.reached = low if self._policy == "earliest" else high
        part.proof = None
        part.at_end = False
        _logger.error("%s: %s; going on at offset %d (--on-lost-offset %s)", name, loss, part.fetched, self._policy)
        self._consumer.assign([part])
