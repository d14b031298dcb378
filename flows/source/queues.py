"""How the reader receives records: from one queue for each partition, as arrays.

Two implementations pass the same tests, and the reader does not know which it has:

* `librdkafka_queues` empties librdkafka's own queues in a compiled loop. It makes no Python object of a record, and
  leans on a private part of confluent-kafka (where a client keeps its handle).
* `public_queues` uses `Consumer.consume()` alone. It costs more, and works with every confluent-kafka.

`connection` chooses between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from confluent_kafka import KafkaError
from numpy.typing import NDArray

from flows.messages.raw import PADDING


@dataclass(frozen=True, slots=True)
class News:
    """What a partition's queue says between records: its end, or an error."""

    code: int  # rd_kafka_resp_err_t
    offset: int  # negative: none is told
    after: int  # how many records of the same batch came before


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in the order of their offsets; the arrays as in `Raw`."""

    buffer: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    news: tuple[News, ...]
    epochs: tuple[int, int] = (-1, -1)  # of the leaders that wrote the first and the last record; -1: not known

    def __len__(self) -> int:
        return len(self.offsets)

    def between(self, first: int, last: int) -> Batch:
        """The records `first` to before `last`; the buffer is shared."""
        if first == 0 and last == len(self):
            return self
        return Batch(
            self.buffer,
            self.bounds[first : last + 1],
            self.offsets[first:last],
            self.timestamps_ms[first:last],
            self.news,
            (self.epochs[0] if first == 0 else -1, self.epochs[1] if last == len(self) else -1),
        )


NOTHING: Final = Batch(
    np.zeros(PADDING, np.uint8), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), ()
)


class RecordQueue(Protocol):
    """What has been fetched of one partition and waits. Nobody need take it: a full queue stops the fetching."""

    def __len__(self) -> int:
        """Records and news that wait."""

    def take(self, most: int) -> Batch:
        """At most `most` of what waits; never waits for more. Errors come behind all records of their batch."""

    def restart(self) -> None:
        """Drop what waits: the partition is about to be assigned anew, maybe at another offset."""

    def stop(self) -> None:
        """Drop what waits and fetch no more, for good."""

    def close(self) -> None:
        """Give the queue back; call before its consumer is closed."""


class RecordQueues(Protocol):
    """The queues of one consumer."""

    more: bool
    """Whether records wait that no queue holds yet, so that the next round should come at once."""

    def queue(self, topic: str, partition: int) -> RecordQueue:
        """The queue of a partition; ask for it before the partition is assigned."""

    def receive(self) -> Iterable[tuple[KafkaError, int | None]]:
        """Begin a round: run the client's callbacks and let records come; never waits.

        Yields errors that are not the news of a partition's queue, each with its partition, if it has one.
        """

    def close(self) -> None:
        """Call when the consumer is closed, and after its queues are."""
