"""The task that all peers are given: a few numbers that most of them can express, and topics that tempt them to err.

Events and active users of the trailing 5 minutes and hour, sessions that closed in the last hour and how many of them
bounced, and how far the attempts at a funnel of four steps came that were begun in the last hour.

    trailing window       60 panes, the current one included, as of a sliding window that slides by one pane
    sessions              a gap of more than 30 minutes ends one; it closes 30 minutes after its last event
    bounced               closed, no longer than 10 s, fewer than two views, no order
    funnel                from the first step, at most an hour to the last one, one attempt at a time
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from deploy.bench.stream import DELAY_MS, Chunk, Stream
from flows.audit import Record, Result, recompute
from flows.audit.clock import judge
from flows.audit.parse import parse
from flows.audit.records import Event
from flows.config.model import Config

STEPS: Final = ("Product Viewed", "Product Added", "Checkout Started", "Order Completed")
TRAFFIC: Final = ("events.5m", "events.1h")
ACTIVE: Final = ("active_users.5m", "active_users.1h")
SESSIONS: Final = ("sessions.closed.1h", "sessions.bounced.1h")
FUNNEL: Final = (
    "funnel.checkout.01_product_viewed.1h",
    "funnel.checkout.02_product_added.1h",
    "funnel.checkout.03_checkout_started.1h",
    "funnel.checkout.04_order_completed.1h",
)
CELLS: Final = (*TRAFFIC, *ACTIVE, *SESSIONS, *FUNNEL)
ARRIVAL: Final = (*TRAFFIC, *ACTIVE)

WINDOWS_MS: Final = {"5m": 300_000, "1h": 3_600_000}
PANES: Final = 60
LATENESS_MS: Final = 10_000


def config() -> Config:
    """The task as Tidegauge's configuration, which the reference goes by too."""
    return Config.model_validate(
        {
            "product": "peers",
            "windows": ["5m", "1h"],
            "ratio_windows": ["5m", "1h"],
            "key_actions": ["Order Completed"],
            "funnels": {"checkout": {"window": "1h", "steps": list(STEPS)}},
        }
    )


@dataclass(frozen=True)
class Faulty(Stream):
    """A stream with none but the chosen faults: `disorder`, `late`, `duplicates`, `broken`.

    What else is wrong in the stream is left out, so that each story tells of one thing. Without disorder the events of
    a partition come in the order of their times.
    """

    faults: frozenset[str] = frozenset()

    def chunks(self, begin: int, end: int) -> Iterator[Chunk]:
        """As those of Stream, by the places that events had before some were left out."""
        for chunk in super().chunks(begin, end):
            yield self._chosen(chunk)

    def records(self, count: int) -> list[Record]:
        """What the topic holds of the first `count` places."""
        offsets = [0] * self.partitions
        records = []
        for chunk in self.chunks(0, count):
            for value, partition, arrival in zip(chunk.values, chunk.partitions, chunk.arrivals_ms, strict=True):
                records.append(Record(value, partition, offsets[partition], arrival))
                offsets[partition] += 1
        return records

    def _chosen(self, chunk: Chunk) -> Chunk:
        plain = config()
        seen: set[str] = set()
        copied = {value for value, times in Counter(chunk.values).items() if times > 1}
        kept: list[tuple[int, int]] = []  # time and place
        for place, (value, arrival) in enumerate(zip(chunk.values, chunk.arrivals_ms, strict=True)):
            event = parse(Record(value, timestamp_ms=arrival), plain)
            if not isinstance(event, Event) or event.message is None:
                if "broken" in self.faults:
                    kept.append((arrival, place))
            elif event.message not in seen and self._wants(event, arrival):
                seen.add(event.message)
                # A copy follows its original at once: one that comes late is the story of late events.
                kept += [(event.ts, place)] * (1 + (value in copied and "duplicates" in self.faults))
        if not self.faults & {"disorder", "late"}:
            kept.sort()
        places = [place for _, place in kept]
        return Chunk(
            [chunk.values[place] for place in places],
            [chunk.partitions[place] for place in places],
            [chunk.users[place] for place in places],
            [chunk.arrivals_ms[place] for place in places],
        )

    def _wants(self, event: Event, arrival_ms: int) -> bool:
        if event.ts < arrival_ms - DELAY_MS[1]:
            return "late" in self.faults
        return "disorder" in self.faults or event.ts == arrival_ms


def window_end(now_ms: int, window_ms: int) -> int:
    """The end of the pane that holds `now_ms`: where a sliding window ends whose value is the trailing one."""
    pane = window_ms // PANES
    return (now_ms // pane + 1) * pane


@dataclass(frozen=True)
class Truth:
    """What is right after some records: as they arrived, with late ones in counts and active users but in nothing else;
    as if sorted, so that none is late; and without the late ones.

    They are held at the end of the stream's own time for numbers that are read as they stand, and for those of
    windows at the end of the window that is under way.
    """

    now_ms: int
    arrived: Result
    sorted: Result
    without_late: Result
    arrived_at_window_end: Result
    sorted_at_window_end: Result


def truth(records: Sequence[Record]) -> Truth:
    """By the slow reference; the records in the order of reading."""
    product = config()
    timed = [(_time(record, product), record) for record in records]
    in_order = [record for _, record in sorted(timed, key=lambda pair: pair[0])]
    in_time = judge(records, [parse(record, product) for record in records], product, None).on_time
    places = {(event.partition, event.offset) for event in in_time}
    arrived = recompute(records, product)
    if arrived.as_of_ms is None:
        raise ValueError("there is no event among the records")
    later = window_end(arrived.as_of_ms, WINDOWS_MS["1h"]) - 1 + LATENESS_MS
    return Truth(
        arrived.as_of_ms,
        arrived,
        recompute(in_order, product),
        recompute([record for record in records if (record.partition, record.offset) in places], product),
        recompute(records, product, later),
        recompute(in_order, product, later),
    )


def _time(record: Record, product: Config) -> int:
    event = parse(record, product)
    return event.ts if isinstance(event, Event) else record.timestamp_ms


@dataclass(frozen=True, slots=True)
class Error:
    """One number that is wrong."""

    cell: str
    found: int | None
    right: int

    @property
    def share(self) -> float:
        """How far off it is; 1 where it is missing."""
        return abs((self.found or 0) - self.right) / max(1, self.right)


def errors(fields: Mapping[str, str], cells: Collection[str], right: Truth) -> list[Error]:
    """Which of `cells` are wrong in what a peer has published.

    A field is a cell's name, for a number as it stands, or `<cell>@<end in ms>`, for that of a window. A number is
    right when it is the one of the records as they arrived, of the sorted stream, or of the stream without what came
    late: each is an answer that somebody may want.
    """
    found = []
    for cell in cells:
        stands = cell in fields
        end = window_end(right.now_ms, WINDOWS_MS[cell.rpartition(".")[2]])
        text = fields.get(cell if stands else f"{cell}@{end}")
        got = None if text is None else int(float(text))
        if stands or cell in ARRIVAL:
            answers = [result.cells[cell] for result in (right.arrived, right.sorted, right.without_late)]
        else:
            answers = [result.cells[cell] for result in (right.arrived_at_window_end, right.sorted_at_window_end)]
        if (got or 0) not in answers or (got is None and answers[0]):
            found.append(Error(cell, got, int(answers[0])))
    return found


def counted(fields: Mapping[str, str]) -> int:
    """The events that have been counted, as far as the fields show: in any window of 5 minutes."""
    return max((int(float(value)) for name, value in fields.items() if name.split("@")[0] == "events.5m"), default=0)


def records_of(bootstrap_servers: str, topic: str) -> list[Record]:
    """Everything in a topic, by time of arrival."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False})
    try:
        numbers = consumer.list_topics(topic, 10).topics[topic].partitions
        parts = [TopicPartition(topic, number, 0) for number in numbers]
        left = sum(consumer.get_watermark_offsets(part, 10)[1] for part in parts)
        consumer.assign(parts)
        records: list[Record] = []
        while left > 0:
            for message in consumer.consume(10_000, 1.0):
                partition, offset = message.partition(), message.offset()
                if message.error() is not None or partition is None or offset is None:
                    raise RuntimeError(f"the topic {topic} cannot be read: {message.error()}")
                records.append(Record(message.value(), partition, offset, message.timestamp()[1]))
                left -= 1
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.timestamp_ms, record.partition, record.offset))


def size_of(bootstrap_servers: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False})
    try:
        numbers = consumer.list_topics(topic, 10).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1] for number in numbers)
    finally:
        consumer.close()
