"""Keeps a copy of every record that could not be used, with the reason: in a Kafka topic (`dead_letter_topic`), or here
in a file.

At least once: after a crash the records since the last checkpoint are read, judged and copied again. Topic,
partition and offset say which copies are of the same record.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from flows.messages.errors import RecoverableError
from flows.messages.raw import Rejected

PAYLOAD_BYTES: Final = 32 * 1024
"""So much of a payload is kept, whatever size of record the job accepts."""

_SAY_SECONDS: Final = 60.0
_logger = logging.getLogger(__name__)


class DeadLetterError(RecoverableError):
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
        message=rejected.message.encode(errors="replace").decode(),  # no encoding carries a lone surrogate,
        topic=rejected.topic,
        partition=rejected.partition,
        offset=rejected.offset,
        timestamp=rejected.timestamp_ms,
        payload=text,
        payload_encoding=encoding,
    )
    return msgspec.json.encode(letter)


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


def _unwritable(path: Path, error: OSError) -> DeadLetterError:
    return DeadLetterError(f"dead letters cannot be written to {path}: {error.strerror}")
