"""Keeps a copy of every record that could not be used, with the reason: in a Kafka topic, or in a file.

At least once: after a crash the records since the last checkpoint are read, judged and copied again. Topic,
partition and offset say which copies are of the same record.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from flows.connectors.kafka_client import Link, options
from flows.records import Rejected
from flows.settings import Settings

PAYLOAD_BYTES: Final = 32 * 1024
"""So much of a payload is kept, whatever size of record the job accepts."""

DELIVERY_SECONDS: Final = 30.0
CREATE_SECONDS: Final = 10.0
_SAY_SECONDS: Final = 60.0
_logger = logging.getLogger(__name__)


class DeadLetterError(RuntimeError):
    """A rejected record could not be kept; the message is one sentence for the operator."""


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON of one dead letter."""

    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    timestamp: int  # Kafka record timestamp, ms; -1: unknown
    payload: str
    payload_encoding: str | None = None  # "base64" where the payload is not UTF-8


def to_json(rejected: Rejected) -> bytes:
    """One line of JSON; the payload is text if it is UTF-8 up to where it is cut, else base64. Total."""
    payload = rejected.payload[:PAYLOAD_BYTES]
    encoding = None
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and len(payload) >= PAYLOAD_BYTES:
            text = payload[: error.start].decode()  # the cut went through a character
        else:
            text, encoding = base64.b64encode(payload).decode(), "base64"
    letter = DeadLetter(
        reason=rejected.reason,
        message=_clean(rejected.message),
        topic=rejected.topic,
        partition=rejected.partition,
        offset=rejected.offset,
        timestamp=rejected.timestamp_ms,
        payload=text,
        payload_encoding=encoding,
    )
    return msgspec.json.encode(letter)


def _clean(text: str) -> str:
    """`text` without lone surrogates, which no encoding can carry."""
    return text.encode(errors="replace").decode()


class Allowance:
    """At most `per_second` dead letters a second, on average and in one burst; counts those beyond it.

    A topic of nothing but broken records would otherwise be written a second time, at full speed.
    """

    def __init__(self, per_second: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.copied = 0
        self.skipped = 0
        self._per_second = per_second
        self._monotonic = monotonic
        self._left = float(per_second)
        self._at = monotonic()
        self._said_at = float("-inf")

    def grant(self, letters: list[Rejected]) -> list[Rejected]:
        """As many of the letters as may be copied now."""
        now = self._monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        granted = letters[: int(self._left)]
        self._left -= len(granted)
        self.copied += len(granted)
        if len(granted) < len(letters):
            self.skipped += len(letters) - len(granted)
            if now - self._said_at >= _SAY_SECONDS:
                self._said_at = now
                _logger.warning(
                    "more than %d records a second are rejected: %d of them have not been copied to the dead "
                    "letters so far (they are counted all the same)",
                    self._per_second,
                    self.skipped,
                )
        return granted


def dead_letter_topic(settings: Settings) -> KafkaLetters | NoLetters:
    """The topic of dead letters, made if it is missing; nowhere when none may be written. Raises DeadLetterError."""
    allowance = Allowance(settings.limits.dead_letters_per_second)
    return NoLetters(allowance) if settings.limits.dead_letters_per_second == 0 else KafkaLetters(settings, allowance)


class NoLetters:
    """Counts only."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance

    def write(self, rejected: list[Rejected]) -> None:
        self.allowance.grant(rejected)

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass


class FileLetters:
    """One JSON line per rejected record in a file, which is begun anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.touch(mode=0o600)  # it holds whole records, and so whatever of people is in them
            self._file = path.open("wb")
        except OSError as error:
            raise _unwritable(path, error) from error

    def write(self, rejected: list[Rejected]) -> None:
        try:
            self._file.writelines(to_json(one) + b"\n" for one in rejected)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def settle(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        self._file.close()


class KafkaLetters:
    """Sends letters to a topic while the flow goes on, and waits for Kafka's word once per checkpoint.

    What Kafka does not take within 30 s ends the process with a `DeadLetterError`, for a rejected record must not
    vanish.
    """

    def __init__(self, settings: Settings, allowance: Allowance, *, delivery_seconds: float = DELIVERY_SECONDS) -> None:
        self.topic = settings.dead_letter_topic or f"{settings.topic}.dead"
        self.allowance = allowance
        self._seconds = delivery_seconds
        self._link = Link(settings)
        self._refused: KafkaError | None = None
        configuration = options(
            settings,
            {"linger.ms": 5, "compression.type": "lz4"},
            {
                "acks": "all",
                "message.timeout.ms": int(delivery_seconds * 1000),  # librdkafka itself tries again until then
                "error_cb": self._link.on_error,
            },
        )
        self._producer = Producer(configuration)
        _ensure_topic(self._producer, configuration, self.topic)

    def write(self, rejected: list[Rejected]) -> None:
        deadline = time.monotonic() + self._seconds
        for letter in self.allowance.grant(rejected):
            self._produce(letter, deadline)
        self._producer.poll(0)  # hears of earlier ones
        self._check()

    def settle(self) -> None:
        # librdkafka gives each letter up at its own timeout; a second more lets it say so.
        left = self._producer.flush(self._seconds + 1.0)
        self._check()
        if left:
            raise self._gave_up("")

    def close(self) -> None:
        self._producer.close()

    def _check(self) -> None:
        if self._refused is not None:
            raise self._gave_up(self._refused.str())

    def _produce(self, letter: Rejected, deadline: float) -> None:
        headers: list[tuple[str, str | bytes | None]] = [
            ("reason", letter.reason.encode()),
            ("message", _clean(letter.message).encode()),
        ]
        while True:
            try:
                self._producer.produce(self.topic, to_json(letter), headers=headers, on_delivery=self._on_delivery)
                return
            except BufferError as full:
                if time.monotonic() > deadline:
                    raise self._gave_up("") from full
                self._producer.poll(0.1)
            except KafkaException as error:
                raise self._gave_up(error.args[0].str()) from error

    def _gave_up(self, reason: str) -> DeadLetterError:
        return DeadLetterError(
            f"rejected records could not be written to topic {self.topic} within {self._seconds:g} s: "
            f"{reason or self._link.reason or 'no answer'}"
        )

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused = error


def _ensure_topic(producer: Producer, configuration: dict[str, Any], topic: str) -> None:
    """Create the topic, with the broker's defaults, if missing; `DeadLetterError` says why that failed."""
    try:
        found = producer.list_topics(topic, timeout=CREATE_SECONDS).topics.get(topic)
    except KafkaException as error:
        reason = error.args[0].str()
        raise DeadLetterError(f"Kafka does not say whether topic {topic} exists: {reason}") from error
    if found is not None and found.error is None:
        return
    if found is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise DeadLetterError(
            f"Kafka does not allow this user to write rejected records to topic {topic}: grant Write on it, "
            "or set limits.dead_letters_per_second to 0"
        )
    admin = AdminClient({name: value for name, value in configuration.items() if name != "error_cb"})
    try:
        admin.create_topics([NewTopic(topic, -1, -1)], operation_timeout=CREATE_SECONDS)[topic].result(CREATE_SECONDS)
        _logger.info("created topic %s for rejected records", topic)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise DeadLetterError(
                f"topic {topic} for rejected records does not exist and could not be created "
                f"({error.args[0].str()}); create it, or set limits.dead_letters_per_second to 0"
            ) from error
    except TimeoutError as error:
        raise DeadLetterError(
            f"topic {topic} for rejected records was not created within {CREATE_SECONDS:g} s"
        ) from error


def _unwritable(path: Path, error: OSError) -> DeadLetterError:
    return DeadLetterError(f"dead letters cannot be written to {path}: {error.strerror}")
