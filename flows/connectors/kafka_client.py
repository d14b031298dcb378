"""How any part of the job talks to Kafka: options, reaching the cluster, and errors as sentences."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException

from flows.settings import Settings

START_SECONDS: Final = 30.0
"""How long a cluster may take to answer, or a topic to appear, before the job gives up starting."""

_ATTEMPT_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.2
_logger = logging.getLogger(__name__)

_COMMON: Final = {
    "client.id": "tidegauge",
    # librdkafka would print every lost connection to stderr; `Link` says it once instead.
    "log_level": "2",
    "log.connection.close": "false",
    "reconnect.backoff.max.ms": "1000",  # default 10 s: too long for numbers that are a second old
    "socket.keepalive.enable": "true",
    "socket.timeout.ms": "10000",  # a black-holed connection is given up after this
    "allow.auto.create.topics": "false",
}
_REFUSALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
_OUTAGES: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}) | _REFUSALS


class MetadataClient(Protocol):
    """What `wait_for_topic` needs of a Kafka client."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Metadata of the cluster, or of one topic."""


class Link:
    """The state of a client's connection, from its error callback; says each change once.

    librdkafka itself tries for ever to get back.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._down = False
        self.reason = ""  # the last thing that went wrong, in librdkafka's words
        self.fatal: KafkaError | None = None
        self.refusal: KafkaError | None = None  # wrong password, certificate, ...: trying again will not help

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's `error_cb`; never raises."""
        if error.fatal():
            self.fatal = error
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.reason = error.str()
        if error.code() in _REFUSALS:
            self.refusal = error
        if error.code() in _OUTAGES and not self._down:
            self._down = True
            _logger.warning(
                "Kafka at %s cannot be reached, still trying: %s",
                self.bootstrap_servers,
                self.reason or error.str(),
            )

    def on_answer(self) -> None:
        """Something has come from the cluster."""
        self.refusal = None
        if self._down:
            self._down = False
            _logger.warning("Kafka at %s answers again", self.bootstrap_servers)

    @property
    def down(self) -> bool:
        """Whether no broker can be reached now, as far as is known."""
        return self._down


def options(settings: Settings, tuned: dict[str, Any], required: dict[str, Any]) -> dict[str, Any]:
    """librdkafka options: what `tuned` suggests, the user's own over it, and what correctness requires
    over both.
    """
    return {**_COMMON, **tuned, **settings.kafka, "bootstrap.servers": settings.bootstrap_servers, **required}


def wait_for_topic(
    client: MetadataClient,
    topic: str,
    link: Link,
    *,
    serve: Callable[[], object],
    stopping: Callable[[], bool],
    seconds: float = START_SECONDS,
) -> int:
    """The number of partitions of `topic`, waiting for the cluster and the topic up to `seconds`.

    `serve` runs the client's callbacks. Raises TimeoutError with one sentence that says what is missing, and
    InterruptedError when `stopping()` turns true.
    """
    deadline = time.monotonic() + seconds
    said = False
    while True:
        missing = _what_is_missing(client, topic, link, serve)
        if isinstance(missing, int):
            link.on_answer()
            return missing
        if stopping():
            raise InterruptedError("stopped while waiting for Kafka")
        if link.refusal is not None:
            raise TimeoutError(f"{missing}: {link.refusal.str()}")
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{missing}; gave up after {seconds:g} s")
        if not said:
            said = True
            _logger.warning("%s; waiting up to %g s", missing, seconds)
        time.sleep(_PAUSE_SECONDS)


def _what_is_missing(client: MetadataClient, topic: str, link: Link, serve: Callable[[], object]) -> int | str:
    """The number of partitions, or a sentence on why it is not known."""
    try:
        found = client.list_topics(topic, timeout=_ATTEMPT_SECONDS).topics.get(topic)
    except KafkaException as unreachable:
        serve()
        reason = link.reason or unreachable.args[0].str()
        return f"Kafka at {link.bootstrap_servers} cannot be reached ({reason})"
    if found is None or found.error is not None:
        reason = "unknown topic" if found is None else found.error.str()
        return f"topic {topic} cannot be read from Kafka at {link.bootstrap_servers} ({reason})"
    if not found.partitions:
        return f"topic {topic} has no partitions yet"
    return len(found.partitions)
