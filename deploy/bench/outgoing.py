"""Hands records to librdkafka by whole arrays: what feeds a bench must not need more of a core than what it measures.

confluent-kafka takes a Python object for each record; librdkafka itself takes an array of where they lie. Records
lie one behind the other in one buffer, in which their ids and times are written anew before each use; librdkafka
copies them when it takes them.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from flows.kafka.librdkafka import Signatures, handle, library

SIGNATURES: Final[Signatures] = {
    "rd_kafka_topic_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]),
    "rd_kafka_produce_batch": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int, ctypes.c_void_p, ctypes.c_int],
    ),
}
COPY: Final = 2  # RD_KAFKA_MSG_F_COPY
MESSAGE: Final = np.dtype(  # rd_kafka_message_t
    {
        "names": ["err", "topic", "partition", "payload", "length", "key", "key_length", "offset", "private"],
        "formats": [np.int32, np.uint64, np.int32, np.uint64, np.uint64, np.uint64, np.uint64, np.int64, np.uint64],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56, 64],
        "itemsize": 72,
    }
)

HEAD: Final = b'{"messageId":"00000000-5b1d-4c57-000000000000","timestamp":0000000000000,'
"""What stands before the body of each record; the zeros are written over."""
ID_AT: Final = np.array([*range(14, 22), *range(37, 45)])  # the last eight digits of both numbers of the id
TIME_AT: Final = np.arange(HEAD.index(b"timestamp") + 11, HEAD.index(b"timestamp") + 24)
HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
SHIFTS: Final = np.arange(28, -1, -4)


class Bodies:
    """The records of one partition, used over and over."""

    def __init__(self, bodies: list[bytes]) -> None:
        lengths = np.array([len(HEAD) + len(body) for body in bodies], np.uint64)
        self.buffer: NDArray[np.uint8] = np.frombuffer(b"".join(HEAD + body for body in bodies), np.uint8).copy()
        self.starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.starts)

    def stamp(self, begin: int, end: int, first: int, due_ms: int) -> None:
        """Give records `begin` to `end` the ids from `first` (below 2**32) on, and the time `due_ms`."""
        starts = self.starts[begin:end, None]
        numbers = np.arange(first, first + end - begin)
        digits = HEX[numbers[:, None] >> SHIFTS & 15]
        self.buffer[starts + ID_AT] = np.concatenate([digits, digits], axis=1)
        self.buffer[starts + TIME_AT] = np.frombuffer(b"%013d" % due_ms, np.uint8)

    def values(self, begin: int, end: int) -> list[bytes]:
        """These records as they are now."""
        places = zip(self.starts[begin:end].tolist(), self.lengths[begin:end].tolist(), strict=True)
        return [self.buffer[start : start + int(length)].tobytes() for start, length in places]


class Outgoing:
    """Sends the records of bodies to one topic, by a producer whose `client.id` is `name`."""

    def __init__(self, producer: Producer, name: str, topic: str) -> None:
        self._library: Any = library(SIGNATURES)
        self._topic = self._library.rd_kafka_topic_new(handle(producer, name), topic.encode(), None)

    def send(self, bodies: Bodies, begin: int, end: int, partition: int) -> None:
        """Hand over records `begin` to `end`; RuntimeError when there is no room for them in the producer's queue."""
        messages = np.zeros(end - begin, MESSAGE)
        messages["payload"] = bodies.buffer.ctypes.data + bodies.starts[begin:end]
        messages["length"] = bodies.lengths[begin:end]
        taken = self._library.rd_kafka_produce_batch(self._topic, partition, COPY, messages.ctypes.data, len(messages))
        if taken != len(messages):
            raise RuntimeError(f"the producer took {taken} of {len(messages)} records")
