"""A steady feed of a product's events of now, with copies and broken records, into a topic whose brokers may fail."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from random import Random
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

DELIVERY_SECONDS = 300  # how long a producer holds on to a record that no broker takes; no outage of a test is longer
JITTER_MS = 1_500  # events are sent so late at most
COPIES = 0.01
PAUSE_SECONDS = 0.005


class Stored(NamedTuple):
    """A record that Kafka has acknowledged."""

    partition: int
    offset: int
    value: bytes
    delay_seconds: float  # from when it was sent until Kafka has said so


class Feed:
    """Sends `rate` events a second until `stop`, from one producer for each codec; `broken`: the share of bad records.

    Producers are idempotent and wait for all in-sync replicas, so what is acknowledged may be lost by an unclean
    election only, and comes once and in order.
    """

    def __init__(
        self, servers: str, topic: str, *, rate: float, broken: float, codecs: tuple[str, ...], seed: int
    ) -> None:
        self.stored: list[Stored] = []
        self.stopped = False
        self.sent = 0
        self._topic = topic
        self._rate = rate
        self._broken = broken
        self._refused: list[KafkaError] = []
        self._failure: BaseException | None = None
        self._chance = Random(seed)
        self._seed = seed
        self._producers = [Producer(_options(servers, codec)) for codec in codecs]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return once everything that was sent is stored; AssertionError when Kafka has refused anything."""
        self.stopped = True
        self._over.set()
        self._thread.join(2 * DELIVERY_SECONDS)
        for producer in self._producers:
            left = producer.flush(DELIVERY_SECONDS)
            producer.close()
            assert left == 0, f"{left} records could not be sent"
        if self._failure is not None:
            raise self._failure
        assert not self._refused, self._refused[0]

    def abandon(self) -> None:
        """Stop, whatever is not stored yet."""
        self._over.set()
        self._thread.join(DELIVERY_SECONDS)
        for producer in self._producers:
            producer.purge()
            producer.close()

    def _run(self) -> None:
        try:
            began, number = time.monotonic(), 0
            while not self._over.wait(PAUSE_SECONDS):
                while number < (time.monotonic() - began) * self._rate:
                    self._one(number)
                    number += 1
                for producer in self._producers:
                    producer.poll(0)
        except BaseException as failure:
            self._failure = failure

    def _one(self, number: int) -> None:
        chance = self._chance
        user = int(600 * chance.random() ** 2)
        event = {
            "messageId": f"s{self._seed}m{number}",
            "type": "track",
            "event": chance.choice(["Viewed", "Viewed", "Added", "Bought", "Left"]),
            "userId": f"u{user}",
            "timestamp": int(time.time() * 1000) - chance.choice([0, 0, 0, chance.randint(0, JITTER_MS)]),
            "context": {"device": {"type": chance.choice(["web", "ios", "tv"])}},
        }
        value = json.dumps(event).encode()
        values = [value] * (2 if chance.random() < COPIES else 1)
        values += [b"{broken %d" % number] * (chance.random() < self._broken)
        producer = self._producers[user % len(self._producers)]
        for each in values:
            producer.produce(
                self._topic, each, key=f"u{user}", on_delivery=partial(self._on_delivery, time.monotonic())
            )
            self.sent += 1

    def _on_delivery(self, sent: float, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused.append(error)
        else:
            place = message.partition() or 0, message.offset() or 0
            self.stored.append(Stored(*place, message.value() or b"", time.monotonic() - sent))


def _options(servers: str, codec: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": servers,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        "compression.type": codec,
        "message.timeout.ms": DELIVERY_SECONDS * 1000,
        "retry.backoff.max.ms": 500,
        "reconnect.backoff.max.ms": 500,
        "socket.timeout.ms": 10_000,
        "log_level": "0",
    }
