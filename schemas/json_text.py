"""JSON as records have it: what a text is, the members of an object, and what is refused before anything is read.

Values stay JSON texts (`msgspec.Raw`) until somebody needs one: most of a record is nobody's business.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from schemas.event import Container

MAX_NESTING: Final = 500
"""Deeper records are refused: a limit of our own, for that of the parser depends on the depth of the call."""

WHITESPACE: Final = b" \t\n\r"
_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes of strings; group 1 is a surrogate without its other half."""
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_anything: Final = msgspec.json.Decoder(msgspec.Raw)
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string: Final = msgspec.json.Decoder(str)


class Wrong(Exception):  # noqa: N818 - it is not an error of the program
    """Leaves the checks of one event at the first that fails; whoever called the check turns it into a `Problem`."""

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
    kind = kind_of(value.strip(WHITESPACE))
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
