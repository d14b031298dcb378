"""What the source asks the cluster without waiting: questions go out, answers are taken later.

Three questions are known: who keeps each partition of a topic, where some partitions end, and how a topic is
configured. As with the queues there are two implementations: `librdkafka_questions`, through the consumer's own
connections, and `public_questions`, through an `AdminClient`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

LATEST: Final = -1
"""Asks for the high watermark, which every Kafka tells."""
FIRST: Final = 0
"""Asks for the first record that can be read: the first one with at least this timestamp."""
NEWEST: Final = -3
"""Asks for the record with the largest timestamp; no offset is told for one that readers may not see yet."""


@dataclass(frozen=True, slots=True)
class Keepers:
    """The brokers of one partition."""

    leader: int  # -1: none
    in_sync: frozenset[int]
    replicas: frozenset[int]


@dataclass(frozen=True, slots=True)
class Topic:
    """The answer to `ask_topic`; its two parts may come one after the other."""

    id: str | None  # None: this Kafka gives none, or it is not in this answer
    partitions: Mapping[int, Keepers]


@dataclass(frozen=True, slots=True)
class Offsets:
    """The answer to `ask_offsets`: by partition that its leader spoke of, an offset, or -1."""

    which: int  # FIRST, NEWEST or LATEST
    asked: Sequence[int]
    found: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """The answer to `ask_options`; empty where this user may not see them."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Instead of an answer to question `number`."""

    number: int
    code: int  # of a KafkaError


Answer = Topic | Offsets | TopicOptions | Unanswered


class Questions(Protocol):
    """About one topic. Each question is open for so many `seconds` at most."""

    def ask_topic(self, broker: int | None, seconds: float) -> int:
        """Ask `broker`, or any (None), who keeps each partition; the number of the question."""

    def ask_offsets(self, which: int, partitions: Iterable[int], seconds: float) -> int:
        """FIRST, NEWEST or LATEST of these partitions; all should have the same leader."""

    def ask_options(self, broker: int | None, seconds: float) -> int:
        """Ask `broker`, or any (None), how the topic is configured."""

    def is_open(self, number: int | None) -> bool:
        """Whether the answer to this question is still to come."""

    def answer(self, seconds: float = 0.0) -> Answer | None:
        """What has come; None: nothing has within so long."""

    def close(self) -> None:
        """Ask no more; call before the consumer is closed."""
