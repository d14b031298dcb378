"""How any part of the job talks to Kafka: options, reaching the cluster, and errors as sentences."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException

from flows.config.settings import Settings
from flows.kafka.trouble import explain, sentence, unreadable
from flows.process.outcomes import SourceError

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

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._answered = False  # before that, who waits for the first answer says what is wrong
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
            if self._answered:
                _logger.warning("%s; still trying", sentence(self.reason or error.str(), self.settings))

    def on_answer(self) -> None:
        """Something has come from the cluster."""
        self.refusal = None
        if self._down and self._answered:
            _logger.warning("Kafka at %s answers again", self.settings.bootstrap_servers)
        self._down, self._answered = False, True

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
) -> FoundTopic:
    """What is known of `topic`, waiting for the cluster and the topic up to `seconds`.

    `serve` runs the client's callbacks. Raises TimeoutError with one sentence that says what is missing, and
    InterruptedError when `stopping()` turns true.
    """
    deadline = time.monotonic() + seconds
    said = after_outage = False
    while True:
        missing = _look_for(client, topic, link, serve)
        if isinstance(missing, FoundTopic):
            link.on_answer()
            return replace(missing, after_outage=after_outage)
        after_outage |= not missing.answered
        if stopping():
            raise InterruptedError("stopped while waiting for Kafka")
        if link.refusal is not None:
            raise TimeoutError(explain(link.refusal.str(), link.settings))
        if missing.lasting:
            raise TimeoutError(missing.sentence)
        if time.monotonic() >= deadline:
            told = missing.sentence if missing.answered else explain(link.reason, link.settings)
            raise TimeoutError(f"{told}; gave up after {seconds:g} s")
        if not said:
            said = True
            _logger.warning("%s; waiting up to %g s", missing.sentence, seconds)
        time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """What the first answer says."""

    partitions: int
    brokers: frozenset[int]  # of the cluster
    after_outage: bool = False  # the cluster could not be reached at first


@dataclass(frozen=True, slots=True)
class _Missing:
    """Why the number of partitions is not known."""

    sentence: str
    answered: bool = True  # the cluster has, with this
    lasting: bool = False  # only an operator can end it


def _look_for(client: MetadataClient, topic: str, link: Link, serve: Callable[[], object]) -> FoundTopic | _Missing:
    """The topic, or why it is not known."""
    try:
        cluster = client.list_topics(topic, timeout=_ATTEMPT_SECONDS)
        found = cluster.topics.get(topic)
    except KafkaException as unreachable:
        serve()
        reason = link.reason or unreachable.args[0].str()
        return _Missing(sentence(reason, link.settings), answered=False)
    where = link.settings.bootstrap_servers
    if found is not None and found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        user = link.settings.kafka.get("sasl.username") or "without a name"
        return _Missing(
            f"Kafka at {where} does not allow user {user} to read topic {topic}: grant Read on it", lasting=True
        )
    if found is None or found.error is not None:
        reason = "unknown topic" if found is None else found.error.str()
        return _Missing(f"topic {topic} cannot be read from Kafka at {where} ({reason})")
    if not found.partitions:
        return _Missing(f"topic {topic} has no partitions yet")
    return FoundTopic(len(found.partitions), frozenset(cluster.brokers))


def check_access(settings: Settings, *, stopping: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Return once the topic can be seen with these options, or `stopping()`; else `SourceError`, within `seconds`.

    To be called before anything is taken over from another run: one that cannot read must not end one that can.
    """
    link = Link(settings)
    required = {"group.id": "none", "enable.auto.commit": False, "error_cb": link.on_error}
    try:
        client = Consumer(options(settings, {}, required))
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise SourceError(unreadable(settings) or f"Kafka cannot be used with these options: {reason}") from None
    try:
        wait_for_topic(client, settings.topic, link, serve=lambda: client.poll(0), stopping=stopping, seconds=seconds)
    except TimeoutError as error:
        raise SourceError(str(error)) from None
    except InterruptedError:
        return
    finally:
        client.close()
