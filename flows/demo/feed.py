"""Sends the simulated records to Kafka at their pace, and tells a witness of each one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import KafkaError, Producer

from flows.demo.simulator import Record

PAUSE_S = 0.02  # between looks at the clock while live: finer than any reader's poll
SEND_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Start:
    """When the product goes live, by its own clock and by the monotonic one, and how fast its clock runs."""

    wall_ms: int
    monotonic_s: float
    speed: float = 1.0


class Witness(Protocol):
    """Who is told of every record, in the order in which they are sent."""

    def record(self, record: Record) -> None:
        """Take note of it."""


class Nobody:
    """A witness that keeps nothing, for a product that runs for ever."""

    def record(self, record: Record) -> None:
        """Forget it."""


class Feed:
    """A producer with its own thread; the `witness` is told of every record handed to Kafka, in that order.

    Times are counted on the monotonic clock from the start, so that a corrected wall clock neither floods
    nor starves the stream. `close()` raises RuntimeError when anything was not delivered.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        records: Iterator[Record],
        witness: Witness,
        start: Start,
        kafka: Mapping[str, str] | None = None,  # further librdkafka options, such as those of TLS
    ) -> None:
        self._topic = topic
        self._records = records
        self._next = next(records)
        self._witness = witness
        self._start = start
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._failure: Exception | None = None
        self._undelivered = 0
        self._closed = False
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "client.id": "tidegauge-demo",
                "enable.idempotence": True,  # a retry must not send a record twice: the witness has it once
                "linger.ms": 5,
                "compression.type": "lz4",  # the embedded broker keeps 5 MiB per partition, as they were sent
                **(kafka or {}),
            }
        )

    def send_history(self) -> None:
        """Send everything up to the start at full speed, and return when it is all in Kafka."""
        self._send_until(self._start.wall_ms)
        self._flush()

    def skip_history(self) -> None:
        """Go on from the start as if everything before it had been sent."""
        while self._next.arrival_ms <= self._start.wall_ms:
            self._next = next(self._records)

    def start(self) -> None:
        """Go live."""
        self._thread.start()

    def check(self) -> None:
        """RuntimeError when the thread has failed."""
        if self._failure is not None:
            raise RuntimeError(f"the simulated product stopped: {self._failure!r}") from self._failure

    def close(self) -> None:
        """Stop sending and return when everything sent is in Kafka; calling it again does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._closed:
            self._closed = True
            try:
                self._flush()
            finally:
                self._producer.purge()
                self._producer.close()  # it would look for its broker for ever
        self.check()

    def _now_ms(self) -> int:
        passed_s = (time.monotonic() - self._start.monotonic_s) * self._start.speed
        return self._start.wall_ms + round(passed_s * 1000)

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_S):
                self._send_until(self._now_ms())
                self._producer.poll(0)
        except Exception as failure:  # shown by the thread that watches
            self._failure = failure

    def _send_until(self, now_ms: int) -> None:
        while self._next.arrival_ms <= now_ms and not self._stopping.is_set():
            self._witness.record(self._next)
            self._send(self._next)
            self._next = next(self._records)

    def _send(self, record: Record) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    record.value,
                    record.key,
                    record.partition,
                    on_delivery=self._delivered,
                    timestamp=record.arrival_ms,
                )
                return
            except BufferError:  # the local queue is full: let it drain
                self._producer.poll(0.05)

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._undelivered += 1

    def _flush(self) -> None:
        flush: Callable[[float], int] = self._producer.flush
        waiting = flush(SEND_DEADLINE_S)
        if waiting or self._undelivered:
            raise RuntimeError(f"Kafka did not take {waiting + self._undelivered} records")
