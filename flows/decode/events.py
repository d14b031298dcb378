"""From bytes to fields: the place that knows JSON and the rules of an event.

A batch goes through the compiled scanner (`scan.py`), which tells where the needed fields of plain records
are. Whatever the scanner is unsure of, and whatever its caller finds doubtful in a field, is given to
`Decoder.explain`, one record at a time: the authority, which returns the event or the reason why it is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.decode import scanner as scan
from schemas import event as rules
from schemas.event import Container, Event, Exclusion, Problem
from schemas.timestamps import number_ms, text_ms

MAX_NESTING: Final = 500
"""Deeper records are refused: a limit of our own, for that of the parser depends on the depth of the call."""

_WHITESPACE: Final = b" \t\n\r"
_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes of strings; group 1 is a surrogate without its other half."""
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_anything: Final = msgspec.json.Decoder(msgspec.Raw)
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string: Final = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Where the fields of a batch are; valid until the decoder's next `scan`.

    `kinds`, `begins` and `ends` have the shape (records or more, fields); see `scan.py` for their meaning.
    """

    buffer: NDArray[np.uint8]
    plain: NDArray[np.bool_]  # shape (records,); where False, the record's row is worth nothing
    kinds: NDArray[np.uint8]
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]


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

        Empty and too large ones are never plain.
        """
        plain = np.empty(len(starts), np.bool_)
        tree = self._tree
        scan.scan(
            buffer,
            starts,
            stops,
            self.limit_bytes,
            tree.parents,
            tree.lengths,
            tree.heads,
            tree.texts,
            tree.children,
            tree.bytes_,
            tree.containers,
            self._stack,
            plain,
            self._kinds,
            self._begins,
            self._ends,
        )
        return Scanned(buffer, plain, self._kinds, self._begins, self._ends)

    def explain(self, value: bytes | None) -> Event | Exclusion | Problem:
        """The event, or why the record is none; total for any bytes."""
        if not value:
            return Exclusion("tombstone")
        if not value.strip(_WHITESPACE):
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


class Wrong(Exception):  # noqa: N818 - it is not an error of the program
    """Leaves the checks of one event at the first that fails; nothing outside `schemas` sees it."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message


def opened(value: bytes) -> tuple[dict[str, msgspec.Raw], bytes]:
    """The members of the object that a record is, and the mark that stands for lone surrogates (b"": it has none).

    Raises Wrong when it is another JSON value or nested too deep, and others when it is no JSON.
    """
    marker = b""
    members = None
    try:
        members = _members.decode(value)
    except msgspec.DecodeError:  # no JSON, no object, or a lone surrogate
        value, marker = _without_lone_surrogates(value)
    if value.count(b"[") + value.count(b"{") > MAX_NESTING and _nesting(value) > MAX_NESTING:
        raise Wrong("not_json", f"$: nested deeper than {MAX_NESTING}")
    kind = kind_of(value.strip(_WHITESPACE))
    if kind != "object":
        raise Wrong("not_an_object", f"$: expected object, got {kind}")
    return _members.decode(value) if members is None else members, marker


def _without_lone_surrogates(value: bytes) -> tuple[bytes, bytes]:
    """Valid JSON with marks in the place of lone surrogates, and the mark; raises when there is more to refuse.

    msgspec refuses a lone surrogate anywhere, even in a text that nobody needs: where a browser cut an emoji in two.
    """
    try:
        _anything.decode(value)
    except msgspec.DecodeError:
        value, marker = _marked(value)
        if not marker:
            raise
        _anything.decode(value)
        return value, marker
    return value, b""


def _marked(value: bytes) -> tuple[bytes, bytes]:
    """The text with a character that occurs nowhere in it for every lone surrogate, and that character.

    b"" for the character when there is no lone surrogate, or none of a few characters is free.
    """
    if not any(match[1] for match in _ESCAPES.finditer(value)):
        return value, b""
    lower = value.lower()
    free = [
        character.encode()
        for character in map(chr, range(0xE000, 0xE010))  # private use
        if character.encode() not in value and f"\\u{ord(character):04x}".encode() not in lower
    ]
    if not free:
        return value, b""
    return _ESCAPES.sub(lambda match: free[0] if match[1] else match[0], value), free[0]


def _nesting(value: bytes) -> int:
    """How deep arrays and objects are nested in a JSON text."""
    deepest = depth = 0
    for token in _TOKENS.finditer(value):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            depth -= 1
    return deepest


def kind_of(text: bytes) -> str:
    """What a JSON text without surrounding whitespace is, in the words of messages: `str`, `int`, `object`,
    ...
    """
    first = text[:1]
    if first in (b"t", b"f"):
        return "bool"
    if first in (b'"', b"{", b"[", b"n"):
        return {b'"': "str", b"{": "object", b"[": "array", b"n": "null"}[first]
    return "float" if any(mark in text for mark in (b".", b"e", b"E")) else "int"


def scalar_text(text: bytes) -> str | Container | None:
    """A JSON value as `Event.values` holds it."""
    kind = kind_of(text)
    if kind == "str":
        return _string.decode(text) or None
    if kind == "null":
        return None
    return Container.FOUND if kind in ("object", "array") else text.decode()


def members_of(text: bytes) -> dict[str, msgspec.Raw]:
    """The members of the JSON object that a text is."""
    return _members.decode(text)


def string_of(text: bytes) -> str:
    """The string that a JSON string is."""
    return _string.decode(text)


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
    return _string.decode(text)


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
    return _string.decode(text) or None


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
    type_ = _string.decode(text)
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
    return _members.decode(text)


def _walk(members: dict[str, msgspec.Raw], parts: Sequence[str]) -> bytes | None:
    """The JSON text at a path; None where it is null, or the way to it is not made of objects."""
    for part in parts[:-1]:
        text = _present(members, part)
        if text is None or kind_of(text) != "object":
            return None
        members = _members.decode(text)
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
        return text_ms(_string.decode(text))
    return number_ms(text.decode()) if kind in ("int", "float") else None
