"""What peers have published, wherever that is, as fields by name: `<cell>` or `<cell>@<end of its window in ms>`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import redis
from confluent_kafka import Consumer, KafkaException, TopicPartition

from deploy.bench.peers.peer import Servers
from deploy.bench.peers.task import PANES, WINDOWS_MS

HASH: Final = "peers"
MINUTE_MS: Final = 60_000
FLINK_CELLS: Final = {
    "traffic.5m": ("events.5m", "active_users.5m"),
    "traffic.1h": ("events.1h", "active_users.1h"),
    "sessions.1h": ("sessions.closed.1h", "sessions.bounced.1h"),
}


def from_redis(servers: Servers, _topic: str, key: str = HASH) -> Mapping[str, str]:
    """The fields of a hash."""
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        fields: dict[str, str] = client.hgetall(key)
    return fields


def hours_of_minutes(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Adds, to the numbers of minutes (`<cell>.1m@<end>`), the hours that they make up, up to the last minute."""
    minutes: dict[str, dict[int, int]] = {}
    for name, value in fields.items():
        cell, _, end = name.partition("@")
        if cell.endswith(".1m"):
            minutes.setdefault(cell.removesuffix(".1m"), {})[int(end) // MINUTE_MS] = int(value)
    hours = {}
    for cell, numbers in minutes.items():
        for last in range(min(numbers), max(numbers) + 1):
            hours[f"{cell}.1h@{last * MINUTE_MS}"] = str(sum(numbers.get(last - back, 0) for back in range(60)))
    return {name: value for name, value in fields.items() if ".1m@" not in name} | hours


def windows_of_panes(fields: Mapping[str, str]) -> Mapping[str, str]:
    """From the numbers of panes by partition (`<cell>@<end>/<partition>`) the trailing windows that end with each."""
    panes: dict[str, dict[int, int]] = {}
    for name, value in fields.items():
        cell, _, place = name.partition("@")
        end = int(place.partition("/")[0])
        of_cell = panes.setdefault(cell, {})
        of_cell[end] = of_cell.get(end, 0) + int(value)
    windows = {}
    for cell, numbers in panes.items():
        pane = WINDOWS_MS[cell.rpartition(".")[2]] // PANES
        for end in range(min(numbers), max(numbers) + 1, pane):
            windows[f"{cell}@{end}"] = str(sum(numbers.get(end - back * pane, 0) for back in range(PANES)))
    return windows


def flink_fields(rows: Iterable[bytes]) -> Mapping[str, str]:
    """The rows that the job has written, as fields; of two for one window the later counts."""
    fields = {}
    for row in rows:
        value = json.loads(row)
        end = round(datetime.fromisoformat(value["window_end"] + "+00:00").timestamp() * 1000)
        for cell, number in zip(FLINK_CELLS[value["cell"]], (value["number"], value["other"]), strict=True):
            fields[f"{cell}@{end}"] = str(number)
    return fields


@dataclass
class _Reader:
    """One topic, as far as it has been read."""

    consumer: Consumer
    offsets: dict[int, int] = field(default_factory=dict)
    values: list[bytes] = field(default_factory=list)


_READERS: Final[dict[tuple[str, str], _Reader]] = {}


def everything_in(bootstrap_servers: str, topic: str) -> list[bytes]:
    """All values in a topic so far; none while it does not exist."""
    reader = _READERS.get((bootstrap_servers, topic))
    if reader is None:
        settings = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "results",
            "enable.auto.commit": False,
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 5,
            "log_level": 2,
        }
        reader = _READERS[bootstrap_servers, topic] = _Reader(Consumer(settings))
    if not reader.offsets:
        try:
            found = reader.consumer.list_topics(topic, 5).topics[topic]
        except KafkaException:
            return []
        if found.error is not None or not found.partitions:
            return []
        reader.offsets = dict.fromkeys(found.partitions, 0)
        reader.consumer.assign([TopicPartition(topic, number, 0) for number in found.partitions])
    ends = {
        number: reader.consumer.get_watermark_offsets(TopicPartition(topic, number), 5)[1] for number in reader.offsets
    }
    while any(reader.offsets[number] < end for number, end in ends.items()):
        for message in reader.consumer.consume(1_000, 0.5):
            value, offset, partition = message.value(), message.offset(), message.partition()
            if message.error() is None and value is not None and offset is not None and partition is not None:
                reader.offsets[partition] = offset + 1
                reader.values.append(value)
    return reader.values
