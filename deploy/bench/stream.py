"""The topic that is measured: a seeded stream of a product's events, the same bytes for the same numbers.

Events are made in the order in which they arrive at Kafka, `rate` a second of simulated time; an event's own
time lies its delay before that. So any prefix of a stream is a smaller stream, and a topic can be measured, grown and
measured again.

The first `users` events introduce each user once, in random order; then users come by Zipf's law (with Mandelbrot's
shift, which keeps the most frequent user to a few per cent). So the number of known users is a given, not a matter of
luck.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from flows.audit import Record
from flows.config.model import Config

START_MS: Final = 1_774_742_400_000  # 2026-03-29T00:00:00Z
CHUNK: Final = 20_000
"""Events made at once, each chunk from a generator of its own; a copy and its original lie in the same chunk."""
SHIFT: Final = 50
IN_FLIGHT: Final = 200_000
SEND_SECONDS: Final = 60.0

DISORDERED, LATE, DUPLICATES, BROKEN = 0.38, 0.02, 0.005, 0.001
"""Shares of the events: those delayed within the lateness, beyond it, sent again, and unreadable."""
DELAY_MS: Final = (1, 8_000)
LATE_MS: Final = (20_000, 300_000)
COPY_WITHIN: Final = 2_000  # events between an event and its copy

SUBSCRIPTION: Final = b'"track","event":"Subscription Changed"'
KINDS: Final = (  # share, JSON of type and name
    (0.38, b'"track","event":"Product Viewed"'),
    (0.12, b'"track","event":"Product Added"'),
    (0.07, b'"track","event":"Checkout Started"'),
    (0.05, b'"track","event":"Order Completed"'),
    (0.02, SUBSCRIPTION),
    (0.05, b'"track","event":"Signed In"'),
    (0.08, b'"track","event":"Feature Used"'),
    (0.18, b'"page","name":"Catalogue"'),
    (0.03, b'"screen","name":"Basket"'),
    (0.02, b'"identify"'),
)
PLATFORMS: Final = ((0.5, b"web"), (0.28, b"ios"), (0.2, b"android"), (0.02, b"television"))
PLANS: Final = ((0.7, b"free"), (0.2, b"team"), (0.07, b"business"), (0.03, b"trial"))
AWAY: Final = 0.05
"""A user has one platform and one plan; so often an event comes from some other platform."""
STATUSES: Final = ((0.8, b"active"), (0.1, b"past_due"), (0.1, b"cancelled"))

TEMPLATE: Final = (
    b'{"messageId":"%08x-5b1d-4c57-%012x","type":%b,"userId":"user-%08d","timestamp":"%bZ",'
    b'"context":{"device":{"type":"%b"},"locale":"de-DE"},"properties":{"plan":"%b","path":"/items/%d","value":%d.99}}'
)
STATE: Final = (
    b'"subscription_id":"s-%d","status":"%b","amount":"%d.00","interval":"month","currency":"USD","quantity":1,"plan":'
)
"""What the properties of a subscription's event begin with, besides."""


def config() -> Config:
    """What the bench measures: all families, a funnel of four steps, two breakdowns of everything that has them."""
    return Config.model_validate(
        {
            "product": "bench",
            "key_actions": ["Order Completed"],
            "events": ["Signed In", "Feature Used", "Subscription Changed"],
            "funnels": {
                "checkout": {
                    "window": "1h",
                    "steps": ["Product Viewed", "Product Added", "Checkout Started", "Order Completed"],
                }
            },
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["web", "ios", "android"]},
                "plan": {"field": "properties.plan", "values": ["free", "team", "business"]},
            },
            "subscriptions": {"currency": "USD", "plans": ["free", "team", "business"]},
        }
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive events of a stream, in the order of arrival."""

    values: list[bytes]
    partitions: list[int]
    users: list[int]
    arrivals_ms: list[int]  # Kafka's CreateTime


class Moments(NamedTuple):
    """Who does something when, of the events of one chunk."""

    places: NDArray[np.int64]  # in the stream
    users: NDArray[np.int64]
    times: list[bytes]  # of the events: ISO 8601, without the zone
    home: NDArray[np.float64]  # from 0 to 1, the same for a user in all chunks


@dataclass(frozen=True)
class Stream:
    """An endless stream; two with the same fields are the same."""

    users: int
    seed: int = 1
    rate: float = 500.0  # events per second of simulated time
    partitions: int = 8
    _order: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _shares: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chance = np.random.default_rng(self.seed)
        object.__setattr__(self, "_order", chance.permutation(self.users))
        weights = np.cumsum(1.0 / (np.arange(self.users) + SHIFT))
        object.__setattr__(self, "_shares", weights / weights[-1])

    def chunks(self, begin: int, end: int) -> Iterator[Chunk]:
        """Events `begin` to `end`, exclusive."""
        for number in range(begin // CHUNK, -(-end // CHUNK)):
            first = number * CHUNK
            low, high = max(begin - first, 0), min(end - first, CHUNK)
            whole = self._chunk(number)
            yield Chunk(
                whole.values[low:high],
                whole.partitions[low:high],
                whole.users[low:high],
                whole.arrivals_ms[low:high],
            )

    def records(self, count: int) -> list[Record]:
        """The first `count` events as the reference takes them."""
        offsets = [0] * self.partitions
        records = []
        for chunk in self.chunks(0, count):
            for value, partition, arrival in zip(chunk.values, chunk.partitions, chunk.arrivals_ms, strict=True):
                records.append(Record(value, partition, offsets[partition], arrival))
                offsets[partition] += 1
        return records

    def _chunk(self, number: int) -> Chunk:
        chance = np.random.default_rng((self.seed, number))
        places = np.arange(number * CHUNK, (number + 1) * CHUNK)
        users = np.searchsorted(self._shares, chance.random(CHUNK))
        introduced = places < self.users
        users[introduced] = self._order[places[introduced]]
        arrivals = self._arrivals(places)
        luck = chance.random(CHUNK)
        delays = np.where(luck < DISORDERED, chance.integers(*DELAY_MS, CHUNK), 0)
        delays = np.where(luck > 1 - LATE, chance.integers(*LATE_MS, CHUNK), delays)
        times = np.datetime_as_string((arrivals - delays).astype("datetime64[ms]")).astype("S23").tolist()
        # A user's own choice follows from the number alone (Knuth's multiplicative hash), so that it stays.
        home = (users * 2_654_435_761 % 2**32) / 2**32
        values = self._values(chance, Moments(places, users, times, home))
        broken = np.flatnonzero(chance.random(CHUNK) < BROKEN).tolist()
        taste = random.Random(number)
        for place in broken:
            values[place] = _spoilt(values[place], taste)
        for place in np.flatnonzero(chance.random(CHUNK) < DUPLICATES).tolist():
            original = max(0, place - taste.randint(1, COPY_WITHIN))
            values[place], users[place] = values[original], users[original]
        return Chunk(values, (users % self.partitions).tolist(), users.tolist(), arrivals.tolist())

    def _arrivals(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """When the events of `places` come to Kafka, in ms."""
        return START_MS + (places * 1000 / self.rate).astype(np.int64)

    def _values(self, chance: np.random.Generator, chunk: Moments) -> list[bytes]:
        """The events of a chunk, each as it is meant."""
        kinds = chosen(KINDS, chance.random(CHUNK))
        values = [
            TEMPLATE % row
            for row in zip(
                chunk.places.tolist(),
                chance.integers(0, 2**48, CHUNK).tolist(),
                kinds,
                chunk.users.tolist(),
                chunk.times,
                chosen(PLATFORMS, np.where(chance.random(CHUNK) < AWAY, chance.random(CHUNK), chunk.home)),
                chosen(PLANS, chunk.home * 97 % 1),
                chance.integers(0, 100_000, CHUNK).tolist(),
                chance.integers(0, 500, CHUNK).tolist(),
                strict=True,
            )
        ]
        statuses = chosen(STATUSES, chance.random(CHUNK))
        for place in [place for place, kind in enumerate(kinds) if kind == SUBSCRIPTION]:
            user = int(chunk.users[place])
            state = STATE % (user, statuses[place], 20 + user % 5)
            values[place] = values[place].replace(b'"plan":', state, 1)
        return values


def chosen(choices: Sequence[tuple[float, bytes]], luck: NDArray[np.float64]) -> list[bytes]:
    """One of `choices`, each with its share, for every number from 0 to 1."""
    bounds = np.cumsum([share for share, _ in choices])
    texts = np.array([text for _, text in choices], object)
    chosen: list[bytes] = texts[np.searchsorted(bounds[:-1], luck, side="right")].tolist()
    return chosen


def _spoilt(value: bytes, taste: random.Random) -> bytes:
    return taste.choice(
        [
            b"",
            value[: len(value) // 2],
            value.replace(b'"userId":"', b'"nobody":"'),
            value.replace(b'"timestamp":"20', b'"timestamp":"99'),
            b"\xff\xfe" + value,
            b"[" + value + b"]",
        ]
    )


def send(bootstrap_servers: str, topic: str, stream: Stream, begin: int, end: int) -> None:
    """Append events `begin` to `end` to the topic; RuntimeError when Kafka does not take them in time."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "enable.idempotence": True,  # in order, each once
            "linger.ms": 50,
            "batch.size": 512 * 1024,
            "queue.buffering.max.messages": 2 * IN_FLIGHT,
            "queue.buffering.max.kbytes": 512 * 1024,
            "log_level": 2,
        }
    )
    produce = producer.produce
    for chunk in stream.chunks(begin, end):
        for value, partition, user, arrival in zip(
            chunk.values, chunk.partitions, chunk.users, chunk.arrivals_ms, strict=True
        ):
            produce(topic, value, b"user-%08d" % user, partition, timestamp=arrival)
        while len(producer) > IN_FLIGHT:
            producer.poll(0.05)
    if producer.flush(SEND_SECONDS):
        raise RuntimeError(f"Kafka did not take all events within {SEND_SECONDS:.0f} s")
