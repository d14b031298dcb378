"""From bytes to fields: the place that knows JSON and the rules of an event.

A batch goes through the compiled scanner (`scanner.py`), which tells where the needed fields of plain records
are. Whatever the scanner is unsure of, and whatever its caller finds doubtful in a field, is given to
`Decoder.explain`, one record at a time: the authority, which returns the event or the reason why it is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.decode import scanner as scan
from flows.decode.scanner import Scanned
from schemas import event as rules
from schemas.event import Container, Event, Exclusion, Problem
from schemas.json_text import WHITESPACE, Wrong, kind_of, members_of, opened, scalar_text, string_of
from schemas.timestamps import number_ms, text_ms


class Decoder:
    """Reads the envelope and the fields at `paths` (`("context", "device", "type")`, ...) of records up to
    `limit_bytes`.
    """

    def __init__(self, paths: Sequence[tuple[str, ...]], limit_bytes: int) -> None:
        self.paths = tuple(paths)
        self.limit_bytes = limit_bytes
        self.batch_records = 2048  # small enough for the cache
        self._tree, numbers = scan.tree_of((*(tuple(name.split(".")) for name in rules.ENVELOPE), *self.paths))
        self.fields = np.array([numbers[path] for path in self.paths], np.int32)  # the number of each path
        shape = (self.batch_records, self._tree.fields)
        self._kinds = np.zeros(shape, np.uint8)
        self._begins = np.zeros(shape, np.int32)
        self._ends = np.zeros(shape, np.int32)
        self._stack = np.zeros(scan.MAX_DEPTH, np.int32)

    def scan(self, buffer: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Scanned:
        """Scan at most `batch_records` records, `buffer[starts[i]:stops[i]]`, which PADDING bytes must follow.

        Empty and too large ones are never plain. What it returns is valid until the next `scan`.
        """
        scanned = Scanned(buffer, np.empty(len(starts), np.bool_), self._kinds, self._begins, self._ends)
        scan.scan(scanned, starts, stops, self.limit_bytes, self._tree, self._stack)
        return scanned

    def explain(self, value: bytes | None) -> Event | Exclusion | Problem:
        """The event, or why the record is none; total for any bytes."""
        if not value:
            return Exclusion("tombstone")
        if not value.strip(WHITESPACE):
            return Problem("empty", "nothing but white space")
        if len(value) > self.limit_bytes:
            return Problem("too_large", f"{len(value)} bytes, the limit is {self.limit_bytes}")
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return Problem("not_json", f"$: not UTF-8 at byte {error.start}")
        try:
            return self._event(*opened(value))
        except Wrong as wrong:
            return Problem(wrong.reason, wrong.message)
        except RecursionError:
            return Problem("not_json", "$: nested too deep")
        except Exception as error:  # malformed, or anything else that hostile bytes may provoke
            return Problem("not_json", f"$: {error}")

    def _event(self, members: dict[str, msgspec.Raw], marker: bytes) -> Event | Exclusion:
        if marker:
            self._refuse_marked(members, marker)
        type_, name = _type_and_name(members)
        if type_ in rules.OTHER_USES:
            return Exclusion(type_)
        user_id, anonymous_id = _id(members, "userId"), _id(members, "anonymousId")
        if user_id is not None:
            _check_id("userId", user_id)
        elif anonymous_id is not None:
            _check_id("anonymousId", anonymous_id)
        else:
            raise Wrong("missing_field", "$: neither userId nor anonymousId")
        message_id = _text(members, "messageId") or None
        if message_id is not None:
            _check_text("messageId", message_id, rules.MESSAGE_ID_CHARACTERS)
        context = _object(members, "context")
        for inner in ("properties", "traits"):
            _object(members, inner)
        return Event(
            type=type_,
            name=name,
            user_id=user_id,
            anonymous_id=anonymous_id,
            message_id=message_id,
            **_times(members),
            bot=_is_bot(context),
            values=tuple(_value(members, path) for path in self.paths),
        )

    def _refuse_marked(self, members: dict[str, msgspec.Raw], marker: bytes) -> None:
        """Refuse a lone surrogate where a text is needed, before any other check."""
        for text in (members.get(name) for name in rules.ENVELOPE[: rules.TIMESTAMP_FIELD]):
            if text is not None and bytes(text).startswith(b'"') and marker in bytes(text):
                raise Wrong("not_json", "$: a lone surrogate in a needed field")
        for path in self.paths:
            found = _walk(members, path)
            if found is not None and found.startswith(b'"') and marker in found:
                raise Wrong("not_json", "$: a lone surrogate in a needed field")


def is_event_name(text: str) -> bool:
    """Whether a text can be the `event` of a track."""
    return 1 <= len(text) <= rules.EVENT_NAME_CHARACTERS and "\0" not in text


def _present(members: dict[str, msgspec.Raw], name: str) -> bytes | None:
    """The JSON text of a field; None when it is missing or null."""
    raw = members.get(name)
    text = None if raw is None else bytes(raw)
    return None if text == b"null" else text


def _text(members: dict[str, msgspec.Raw], name: str) -> str | None:
    text = _present(members, name)
    if text is None:
        return None
    if kind_of(text) != "str":
        raise Wrong("bad_type", f"$.{name}: expected str, got {kind_of(text)}")
    return string_of(text)


def _id(members: dict[str, msgspec.Raw], name: str) -> str | None:
    """An id: a string, or the digits of an integer; None when it is missing, null or empty."""
    text = _present(members, name)
    if text is None:
        return None
    kind = kind_of(text)
    if kind == "int":
        return text.decode()
    if kind != "str":
        raise Wrong("bad_type", f"$.{name}: expected str or int, got {kind}")
    return string_of(text) or None


def _check_text(name: str, text: str, most: int) -> None:
    if not 1 <= len(text) <= most:
        raise Wrong("bad_type", f"$.{name}: expected 1 to {most} characters, got {len(text)}")
    if "\0" in text:
        raise Wrong("bad_type", f"$.{name}: contains a NUL character")


def _check_id(name: str, text: str) -> None:
    if len(text) > rules.ID_CHARACTERS:
        raise Wrong("bad_id", f"$.{name}: expected 1 to {rules.ID_CHARACTERS} characters, got {len(text)}")
    if "\0" in text:
        raise Wrong("bad_id", f"$.{name}: contains a NUL character")
    if text.lower() in rules.PLACEHOLDERS:
        raise Wrong("bad_id", f"$.{name}: a placeholder, not an id")


def _type_and_name(members: dict[str, msgspec.Raw]) -> tuple[str, str | None]:
    if "type" not in members:
        raise Wrong("missing_field", "$.type: missing")
    text = bytes(members["type"])
    expected = "expected one of " + " ".join(rules.TYPES)
    if kind_of(text) != "str":
        raise Wrong("bad_type", f"$.type: {expected}, got {kind_of(text)}")
    type_ = string_of(text)
    if type_ not in rules.TYPES and type_ not in rules.OTHER_USES:
        raise Wrong("bad_type", f"$.type: {expected}, got another str")
    if type_ != "track":
        return type_, None
    name = _text(members, "event")
    if name is None:
        raise Wrong("missing_field", "$.event: missing in a track")
    _check_text("event", name, rules.EVENT_NAME_CHARACTERS)
    return type_, name


def _object(members: dict[str, msgspec.Raw], name: str) -> dict[str, msgspec.Raw]:
    text = _present(members, name)
    if text is None:
        return {}
    if kind_of(text) != "object":
        raise Wrong("bad_type", f"$.{name}: expected object, got {kind_of(text)}")
    return members_of(text)


def _walk(members: dict[str, msgspec.Raw], parts: Sequence[str]) -> bytes | None:
    """The JSON text at a path; None where it is null, or the way to it is not made of objects."""
    for part in parts[:-1]:
        text = _present(members, part)
        if text is None or kind_of(text) != "object":
            return None
        members = members_of(text)
    return _present(members, parts[-1])


def _value(members: dict[str, msgspec.Raw], path: Sequence[str]) -> str | Container | None:
    text = _walk(members, path)
    return None if text is None else scalar_text(text)


def _is_bot(context: dict[str, msgspec.Raw]) -> bool:
    bot = bytes(context.get("bot", b""))
    return bot == b"true" or bot.startswith(b"{") or bytes(context.get("isBot", b"")) == b"true"


class Times(TypedDict):
    """The times that an event tells, ms UTC; see `Event`."""

    timestamp_ms: int | None
    original_timestamp_ms: int | None
    sent_at_ms: int | None
    received_at_ms: int | None


def _times(members: dict[str, msgspec.Raw]) -> Times:
    timestamp_ms = _event_time(members, "timestamp")
    read = _event_time if timestamp_ms is None else _time
    return Times(
        timestamp_ms=timestamp_ms,
        original_timestamp_ms=read(members, "originalTimestamp"),
        sent_at_ms=_time(members, "sentAt"),
        received_at_ms=_time(members, "receivedAt"),
    )


def _event_time(members: dict[str, msgspec.Raw], name: str) -> int | None:
    """The time that an event is to have; None when it is missing."""
    text = _present(members, name)
    if text is None:
        return None
    kind = kind_of(text)
    if kind not in ("str", "int", "float"):
        raise Wrong("bad_type", f"$.{name}: expected str or number, got {kind}")
    result = _time(members, name)
    if result is None:
        expected = "an RFC 3339 time with an offset" if kind == "str" else "s, ms, us or ns since 1970, from 1973 on"
        raise Wrong("bad_timestamp", f"$.{name}: expected {expected}")
    return result


def _time(members: dict[str, msgspec.Raw], name: str) -> int | None:
    """A time that is of use where it can be read; None where it cannot."""
    text = _present(members, name)
    if text is None:
        return None
    kind = kind_of(text)
    if kind == "str":
        return text_ms(string_of(text))
    return number_ms(text.decode()) if kind in ("int", "float") else None
