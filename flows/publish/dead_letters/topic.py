"""Sends dead letters to a topic, without anything of the flow ever waiting for Kafka.

`write` puts letters into a spool, from which a thread of its own sends them. `settle`, before each checkpoint, waits
for the disk alone. Any partition will do for a letter: one whose leader does not take it is avoided for a while, and
the letter goes elsewhere. What Kafka does not take waits, within `limits.dead_letters_waiting_bytes`; when that is
used up, letters are dropped and counted, or the run ends, as `on_dead_letters_full` says.

A letter may come twice: after a crash, and when its partition took it and could not say so in time.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from flows.config.settings import Settings
from flows.kafka.client import START_SECONDS, Link, options
from flows.messages.raw import Rejected
from flows.process.health import DeadLetterCounts
from flows.publish.dead_letters.letters import Allowance, DeadLetterError, to_json
from flows.publish.dead_letters.partitions import Partitions
from flows.publish.dead_letters.spool import Letter, Spool, SpoolInUseError

ATTEMPT_SECONDS: Final = 5.0
"""How long a partition has for a letter; then the letter goes to another one."""

CREATE_SECONDS: Final = 10.0
_TROUBLE_SECONDS: Final = 10.0  # that a letter waits until the log says so
_SAY_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0  # between attempts when no partition has taken anything
_METADATA_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.2  # between two looks at whether the run ends
_CLOSE_SECONDS: Final = 1.0
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
_AT_ONCE: Final = 200  # letters on their way: what a partition that fails holds up
_MEBIBYTE: Final = 1 << 20
_logger = logging.getLogger(__name__)


def dead_letter_topic(settings: Settings, *, process: int = 0, processes: int = 1) -> KafkaLetters | NoLetters:
    """Where this process sends its dead letters; nowhere when none may be sent.

    The topic is made if it is missing. Raises DeadLetterError when Kafka refuses that, or when the state folder's
    letters cannot be read; a Kafka that does not answer is no reason to.
    """
    allowance = Allowance(settings.limits.dead_letters_per_second)
    if settings.limits.dead_letters_per_second == 0:
        return NoLetters(allowance)
    return KafkaLetters(settings, allowance, process=process, processes=processes)


class NoLetters:
    """Counts only."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.fail: Callable[[str], None] = _ignore

    def make_room(self, *, stopping: Callable[[], bool]) -> None:
        pass

    def write(self, rejected: list[Rejected]) -> None:
        self.allowance.grant(rejected)

    def settle(self) -> None:
        pass

    def counts(self) -> DeadLetterCounts:
        """What became of the letters."""
        return DeadLetterCounts(skipped=self.allowance.skipped)

    def close(self, seconds: float) -> None:
        pass


class KafkaLetters:
    """The letters of one process, from their records to the topic.

    `fail` is called with one sentence when they are to end the run; it must not raise, for what is raised within the
    flow becomes a panic of the engine. Letters that come until the flow has ended are kept all the same.
    """

    def __init__(
        self,
        settings: Settings,
        allowance: Allowance,
        *,
        process: int = 0,
        processes: int = 1,
        attempt_seconds: float = ATTEMPT_SECONDS,
        end: Callable[[str], object] | None = None,
    ) -> None:
        self.topic = name_of(settings)
        self.allowance = allowance
        self.fail: Callable[[str], None] = _ignore
        self._settings = settings
        self._end = end or _end_at_once
        self._dropped = 0
        self._said_at = float("-inf")
        self._spool = _open_spool(settings, process, processes)
        try:
            self._sender = Sender(settings, self.topic, self._spool, attempt_seconds)
        except BaseException:
            self._spool.close()
            raise
        if self._spool.count:
            _logger.info(
                "%d dead letters of earlier runs are still to be sent to topic %s", self._spool.count, self.topic
            )
        self._sender.start()

    def make_room(self, *, stopping: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Where too many ends the run, send what earlier runs have left until half of the room is free.

        Returns at once when it is, or when `stopping()`; DeadLetterError after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while self._ends_when_full and self._spool.size > self._spool.limit_bytes / 2 and not stopping():
            if time.monotonic() > deadline:
                raise DeadLetterError(self._full())
            self._spool.wait_until_empty(_PAUSE_SECONDS)

    def write(self, rejected: list[Rejected]) -> None:
        for letter in self.allowance.grant(rejected):
            if self._spool.full and not self._ends_when_full:
                self._dropped += 1
            else:
                self._spool.put(to_json(letter))
        if self._spool.full and self._ends_when_full:
            # A burst is no reason to end: Kafka is taking them.
            while self._spool.full and self._sender.delivers:
                self._spool.wait_for_room(_PAUSE_SECONDS)
        if self._spool.full:
            self._say_full()

    def settle(self) -> None:
        """Return once every letter that Kafka does not have is on disk; without a state folder, at once."""
        try:
            self._spool.settle()
        except OSError as error:
            # The engine would store the checkpoint that is in the making, and nobody would have the letters.
            self._end(
                f"dead letters cannot be written to the state folder {self._settings.state}: {error.strerror}; the "
                "last checkpoint is whole, and with that mended the next run goes on from it"
            )

    def counts(self) -> DeadLetterCounts:
        """What became of the letters, and which wait."""
        return DeadLetterCounts(
            waiting=self._spool.count,
            waiting_bytes=self._spool.size,
            oldest_seconds=self._spool.oldest_seconds,
            delivered=self._sender.delivered,
            skipped=self.allowance.skipped,
            dropped=self._dropped,
        )

    def close(self, seconds: float) -> None:
        """Send for `seconds` more at most. The next run sends what is left; DeadLetterError where nothing keeps it."""
        self._spool.wait_until_empty(seconds)
        self._sender.close()
        left = self._spool.count
        self._spool.close()
        if left and self._settings.state is None:
            raise DeadLetterError(
                f"{left} dead letters are lost, for topic {self.topic} did not take them ({self._sender.reason}) and "
                "without a state folder (--state) nothing keeps them"
            )
        if left:
            _logger.warning(
                "%d dead letters are still to be sent; the next run on %s sends them to topic %s",
                left,
                self._settings.state,
                self.topic,
            )

    @property
    def _ends_when_full(self) -> bool:
        return self._settings.on_dead_letters_full == "stop"

    def _say_full(self) -> None:
        if self._ends_when_full:
            self.fail(self._full())
        elif self._dropped and time.monotonic() - self._said_at >= _SAY_SECONDS:
            self._said_at = time.monotonic()
            _logger.error("%s", self._full())

    def _full(self) -> str:
        limit = f"limits.dead_letters_waiting_bytes ({self._spool.limit_bytes / _MEBIBYTE:g} MiB)"
        soon = f"topic {self.topic} has not taken them yet"
        why = soon if self._sender.delivers else f"topic {self.topic} does not take them ({self._sender.reason})"
        then = (
            "mend that, raise the limit, or set on_dead_letters_full to drop"
            if self._ends_when_full
            else f"{self._dropped} copies of rejected records were dropped so far; the records are counted all the same"
        )
        return f"the dead letters that wait have reached {limit}, for {why}; {then}"


class Sender:
    """Takes letters from a spool to a topic, in a thread of its own, until `close`."""

    def __init__(self, settings: Settings, topic: str, spool: Spool, attempt_seconds: float) -> None:
        self.delivered = 0
        self._topic = topic
        self._spool = spool
        self._link = Link(settings)
        self._configuration = options(
            settings,
            {"linger.ms": 5, "compression.type": "lz4"},
            {
                "acks": "all",
                "message.timeout.ms": int(attempt_seconds * 1000),
                "error_cb": self._link.on_error,
            },
        )
        self._producer = Producer(self._configuration)
        self._partitions = Partitions()
        self._attempt_seconds = attempt_seconds
        self._trouble = ""  # the last reason of a failure, until something is delivered
        self._said = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
        self._learn(refusals=True)

    @property
    def reason(self) -> str:
        """Why letters wait, as far as is known."""
        return self._trouble or self._link.reason or "no answer"

    @property
    def delivers(self) -> bool:
        """Whether letters wait for no longer than an attempt may take, and the last one has not failed."""
        return not self._partitions.hopeless and self._spool.oldest_seconds < 2 * self._attempt_seconds

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what has not arrived stays in the spool."""
        self._over.set()
        self._spool.wake()
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():  # it waits for an answer of Kafka, and ends with the process
            return
        self._producer.purge()
        if self._producer.flush(_LOOK_SECONDS) == 0:  # which gives back what was purged
            self._producer.close()

    def _run(self) -> None:
        while not self._over.is_set():
            self._say()
            flying = len(self._producer)
            if self._partitions.hopeless:  # one letter tries, and the others wait for what becomes of it
                if flying:
                    self._producer.poll(_LOOK_SECONDS)
                    continue
                self._over.wait(_PAUSE_SECONDS)
            if letters := self._spool.take(max(0, _AT_ONCE - flying)):
                self._send(letters)
                self._producer.poll(0)
            elif flying:
                self._producer.poll(_LOOK_SECONDS)
            else:
                self._spool.wait_for_letters(_SAY_SECONDS)

    def _send(self, letters: Sequence[Letter]) -> None:
        if self._partitions.stale:
            self._learn()
        choice = self._partitions.choose()
        left = deque(letters)
        room = 0 if choice is None else 1 if choice.doubtful else len(left)
        while room and choice is not None:
            try:
                self._producer.produce(
                    self._topic,
                    left[0].text,
                    headers=_headers(left[0].text),
                    partition=choice.partition,
                    on_delivery=partial(self._on_delivery, left[0], choice.partition),
                )
            except BufferError:
                self._producer.poll(_LOOK_SECONDS)
                break
            except KafkaException as error:
                self._failed(left[0], choice.partition, error.args[0])
            left.popleft()
            room -= 1
        for letter in left:
            self._spool.give_back(letter)

    def _on_delivery(self, letter: Letter, place: int, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed(letter, place, error)
            return
        self._spool.delivered(letter)
        self._partitions.worked(place)
        self.delivered += 1
        self._trouble = ""

    def _failed(self, letter: Letter, place: int, error: KafkaError) -> None:
        self._spool.give_back(letter)
        if error.code() in _PURGED:
            return
        broker = self._partitions.did_not_work(place)
        unanswered = f"broker {broker}, which leads partition {place}, has not taken a letter in time"
        self._trouble = unanswered if error.code() == KafkaError._MSG_TIMED_OUT else error.str()

    def _learn(self, *, refusals: bool = False) -> None:
        """Who leads which partition; the topic is made if it is missing. Raises DeadLetterError for `refusals` only."""
        try:
            found = self._producer.list_topics(self._topic, timeout=CREATE_SECONDS if refusals else _METADATA_SECONDS)
            topic = found.topics[self._topic]
            if topic.error is not None:
                _make(self._configuration, self._topic, len(found.brokers), topic.error)
                topic = self._producer.list_topics(self._topic, timeout=_METADATA_SECONDS).topics[self._topic]
            self._partitions.learn({number: one.leader for number, one in topic.partitions.items()})
        except KafkaException as error:
            self._trouble = self._link.reason or error.args[0].str()
        except DeadLetterError as error:
            if refusals:
                raise
            self._trouble = str(error)

    def _say(self) -> None:
        """Once that letters wait, and once that they do no more."""
        late = self._spool.oldest_seconds > _TROUBLE_SECONDS
        if late and not self._said:
            self._said = True
            _logger.warning(
                "%d dead letters wait, for topic %s does not take them: %s; numbers are published all the same, and "
                "the letters are sent as soon as it does",
                self._spool.count,
                self._topic,
                self.reason,
            )
        elif self._said and not late:
            self._said = False
            _logger.info("topic %s takes dead letters again; %d wait", self._topic, self._spool.count)


def name_of(settings: Settings) -> str:
    """The topic of the dead letters."""
    return settings.dead_letter_topic or f"{settings.topic}.dead"


class _Why(msgspec.Struct):
    """What of a letter is in its headers as well."""

    reason: str
    message: str


def _headers(text: bytes) -> list[tuple[str, str | bytes | None]]:
    try:
        why = msgspec.json.decode(text, type=_Why)
    except msgspec.DecodeError:  # somebody has written to the spool's file; it is for a reader of the topic to judge
        return []
    return [("reason", why.reason.encode()), ("message", why.message.encode())]


def _open_spool(settings: Settings, process: int, processes: int) -> Spool:
    try:
        return Spool(settings.limits.dead_letters_waiting_bytes, settings.state, process=process, processes=processes)
    except SpoolInUseError as error:
        raise DeadLetterError(f"the dead letters in {error} are in use by another run; stop that one first") from None
    except OSError as error:
        raise DeadLetterError(
            f"the dead letters in the state folder {settings.state} cannot be read: {error.strerror}"
        ) from error


def _make(configuration: dict[str, Any], topic: str, brokers: int, missing: KafkaError) -> None:
    """Create the topic, a partition for each broker to lead; `DeadLetterError` says why that failed."""
    if missing.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise DeadLetterError(
            f"Kafka does not allow this user to write rejected records to topic {topic}: grant Write on it, "
            "or set limits.dead_letters_per_second to 0"
        )
    admin = AdminClient({name: value for name, value in configuration.items() if name != "error_cb"})
    wanted = NewTopic(topic, brokers, -1)
    try:
        admin.create_topics([wanted], operation_timeout=CREATE_SECONDS)[topic].result(CREATE_SECONDS)
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


def _ignore(_reason: str) -> None:
    """Nobody is to be told."""


def _end_at_once(reason: str) -> NoReturn:
    _logger.error("%s", reason)
    logging.shutdown()
    os._exit(1)
