"""Reads a Kafka topic plainly: each partition from one offset to another, or what is written to it from now on.

Nothing is shared with the job's reader, for this is what its numbers are checked with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.audit import Record
from flows.config.settings import Settings
from flows.kafka.client import FoundTopic, Link, options, wait_for_topic
from flows.kafka.trouble import explain, unreadable
from flows.process.outcomes import SourceError

BATCH: Final = 1_000
WAIT_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 60.0
"""Records are there, so Kafka is away when none comes for so long."""
ANSWER_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1
MOST_BEHIND: Final = 20_000
"""Records that wait in a partition; of what is written faster than it can be looked at, the newest is looked at."""

Spans = Mapping[int, tuple[int, int]]
"""Partition -> offset of the first record to read, and of the one before which reading ends."""


def records_between(settings: Settings, spans: Spans) -> Iterator[Record]:
    """The records of all partitions in `spans`, mixed, each partition's in order.

    Raises SourceError with one sentence, at once where not all of them are there any more.
    """
    link = Link(settings)
    consumer = _consumer(settings, link, "tidegauge-audit")
    try:
        _check(consumer, settings, link, spans)
        consumer.assign([TopicPartition(settings.topic, number, first) for number, (first, _) in spans.items()])
        yield from _read(consumer, settings, link, {number: behind for number, (_, behind) in spans.items()})
    except KafkaException as error:
        raise SourceError(f"topic {settings.topic} cannot be read: {error.args[0].str()}") from None
    finally:
        consumer.close()


@dataclass(frozen=True, slots=True)
class Arrived:
    """What has been written since the last look: nothing, where `records` is empty."""

    records: Sequence[Record]
    skipped: int  # records before these that were too many to look at


def records_as_they_come(settings: Settings) -> Iterator[Arrived]:
    """What is written to the topic from now on, for ever, in the order of its time within each look; nothing at first.

    Partitions that are added later are not read. Raises SourceError with one sentence.
    """
    link = Link(settings)
    consumer = _consumer(settings, link, "tidegauge-tap")
    try:
        partitions = range(_found(consumer, settings, link).partitions)
        ends = [_watermarks(consumer, settings, number)[1] for number in partitions]
        consumer.assign([TopicPartition(settings.topic, number, ends[number]) for number in partitions])
        yield Arrived([], 0)
        while True:
            yield _look(consumer, settings)
    except KafkaException as error:
        raise SourceError(f"topic {settings.topic} cannot be read: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _look(consumer: Consumer, settings: Settings) -> Arrived:
    records: list[Record] = []
    skipped = 0
    for message in consumer.consume(BATCH, LOOK_SECONDS):
        number, offset, error = message.partition(), message.offset(), message.error()
        if error is None:
            assert number is not None
            assert offset is not None
            records.append(Record(message.value(), number, offset, _timestamp(message)))
        elif error.code() in (KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC):
            raise SourceError(f"topic {settings.topic} has disappeared from Kafka")
        elif not error.retriable() and error.code() not in (KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN):
            raise SourceError(f"partition {number} of topic {settings.topic} cannot be read: {error.str()}")
    for place in consumer.position(consumer.assignment()):
        known = consumer.get_watermark_offsets(place, cached=True)
        if known is not None and place.offset >= 0 and (behind := known[1] - place.offset) > MOST_BEHIND:
            consumer.seek(TopicPartition(settings.topic, place.partition, known[1]))
            skipped += behind
    return Arrived(sorted(records, key=lambda record: record.timestamp_ms), skipped)


def _consumer(settings: Settings, link: Link, group: str) -> Consumer:
    required = {
        "group.id": group,  # offsets are given and none is committed, so nobody sees this group
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "error_cb": link.on_error,
    }
    try:
        return Consumer(options(settings, {}, required))
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise SourceError(unreadable(settings) or f"Kafka cannot be used with these options: {reason}") from None


def _found(consumer: Consumer, settings: Settings, link: Link) -> FoundTopic:
    try:
        return wait_for_topic(consumer, settings.topic, link, serve=lambda: consumer.poll(0), stopping=lambda: False)
    except TimeoutError as error:
        raise SourceError(str(error)) from None


def _check(consumer: Consumer, settings: Settings, link: Link, spans: Spans) -> None:
    topic = settings.topic
    found = _found(consumer, settings, link)
    if (last := max(spans, default=0)) >= found.partitions:
        raise SourceError(
            f"the numbers count records of partition {last}, which topic {topic} does not have: "
            "it is not the one that was counted"
        )
    for number, (first, behind) in spans.items():
        low, high = _watermarks(consumer, settings, number)
        name = f"partition {number} of topic {topic}"
        if low > first:
            raise SourceError(
                f"{name} begins at offset {low} now, and the numbers count from offset {first}: Kafka has deleted "
                f"{low - first} offsets of it (retention), so they cannot be computed again"
            )
        if high < behind:
            raise SourceError(
                f"{name} ends before offset {high}, and the numbers count up to offset {behind - 1}: "
                "it is not the one that was counted"
            )


def _watermarks(consumer: Consumer, settings: Settings, number: int) -> tuple[int, int]:
    found = consumer.get_watermark_offsets(TopicPartition(settings.topic, number), timeout=ANSWER_SECONDS)
    if found is None:
        raise SourceError(f"Kafka does not tell the offsets of partition {number} of topic {settings.topic}")
    low, high = found
    return int(low), int(high)


def _read(consumer: Consumer, settings: Settings, link: Link, ends: dict[int, int]) -> Iterator[Record]:
    """Until every partition has been read to before its end."""
    heard_s = time.monotonic()

    def finish(number: int) -> None:
        del ends[number]
        consumer.pause([TopicPartition(settings.topic, number)])

    while ends:
        messages: list[Any] = consumer.consume(BATCH, WAIT_SECONDS)
        if messages:
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > SILENCE_SECONDS:
            raise SourceError(explain(link.reason, settings))
        for message in messages:
            number, offset, error = message.partition(), message.offset(), message.error()
            if number not in ends:
                continue
            if error is None:
                if offset < ends[number]:
                    yield Record(message.value(), number, offset, _timestamp(message))
                if offset + 1 >= ends[number]:
                    finish(number)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise SourceError(f"partition {number} of topic {settings.topic} cannot be read: {error.str()}")
            elif offset >= ends[number]:  # markers of transactions may be the last offsets
                finish(number)


def _timestamp(message: Any) -> int:
    """When Kafka says the record was made, ms; -1: it does not."""
    known, at_ms = message.timestamp()
    return int(at_ms) if known else -1
