"""What an error of the consumer means for reading: most pass, some hide records."""

from __future__ import annotations

from typing import Final, Literal

from confluent_kafka import KafkaError

Meaning = Literal["end", "lost", "no commits", "passes", "gone", "forbidden", "unreadable"]
"""Of a partition: its end, or the next record is not there. Of the group: it takes no commits, which lag tools alone
miss. Then: librdkafka mends it, the topic has disappeared, it may not be read, and whatever may hide records.
"""

_MEANINGS: Final[dict[int, Meaning]] = {
    KafkaError._PARTITION_EOF: "end",
    KafkaError._AUTO_OFFSET_RESET: "lost",
    KafkaError.OFFSET_OUT_OF_RANGE: "lost",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "no commits",
    KafkaError._TRANSPORT: "passes",
    KafkaError._ALL_BROKERS_DOWN: "passes",
    KafkaError._RESOLVE: "passes",
    KafkaError._TIMED_OUT: "passes",
    KafkaError._WAIT_COORD: "passes",
    KafkaError.LEADER_NOT_AVAILABLE: "passes",
    KafkaError.NOT_LEADER_FOR_PARTITION: "passes",
    KafkaError.REPLICA_NOT_AVAILABLE: "passes",
    KafkaError.COORDINATOR_NOT_AVAILABLE: "passes",
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS: "passes",
    KafkaError.NOT_COORDINATOR: "passes",
    KafkaError.REQUEST_TIMED_OUT: "passes",
    KafkaError.NETWORK_EXCEPTION: "passes",
}
_LASTING: Final[dict[int, Meaning]] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "gone",
    KafkaError._UNKNOWN_TOPIC: "gone",
    KafkaError._UNKNOWN_PARTITION: "gone",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "forbidden",
}


def meaning(error: KafkaError) -> Meaning:
    """What `error` means."""
    code = error.code()
    if code in _MEANINGS:
        return _MEANINGS[code]
    if error.retriable() and not error.fatal():
        return "passes"
    return _LASTING.get(code, "unreadable")
