"""Signs by which the format of a record is told: how its bytes begin, how its text is laid out, which fields it has.

A sign is a question to a `Sample`, which opens a record as far as it can be opened. A record that is no JSON, broken
JSON or the beginning of a long one is a sample like any other: nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

LOOKED_AT: Final = 16 * 1024
"""Bytes of a record that are looked at: every format shows itself in far fewer."""

_ABSENT: Final = object()
# Possessive: a text without an end costs one walk, not one for each quote in it.
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)
_CLOSERS: Final = {"{": "}", "[": "]"}
_KINDS: Final[dict[str, type]] = {"array": list, "object": dict, "text": str, "null": type(None)}
_DEEPEST: Final = 100
"""Nested deeper than any format; each level costs."""

# Numbers are looked at by no sign, and Python refuses to read those of thousands of digits.
_json: Final = json.JSONDecoder(strict=False, parse_int=float)


class Sample:
    """One record, cut at `LOOKED_AT`, as bytes, as text and as what its JSON says."""

    def __init__(self, record: bytes) -> None:
        self.bytes = record[:LOOKED_AT]

    @cached_property
    def text(self) -> str:
        """The record as text; empty when it is not UTF-8, but for a character that the cut went through."""
        try:
            return self.bytes.decode()
        except UnicodeDecodeError as error:
            return self.bytes[: error.start].decode() if len(self.bytes) - error.start < 4 else ""

    @cached_property
    def json(self) -> Any:
        """The first JSON value of the text, without the unfinished rest where it is cut; None: it holds none."""
        return self._first[0]

    @cached_property
    def rest(self) -> str:
        """What follows the first JSON value, or all of a text without one; empty when the value is cut."""
        return self._first[1]

    @cached_property
    def _first(self) -> tuple[Any, str]:
        text = self.text.strip(" \t\r\n\ufeff")
        try:
            value, end = _json.raw_decode(text)
            return value, text[end:].lstrip(" \t\r\n")
        except (ValueError, RecursionError):
            pass
        try:
            return _json.decode(_closed(text)) or None, ""
        except (ValueError, RecursionError):
            return None, text

    def field(self, path: str) -> Any:
        """The value at a path such as `data.object` or `batch.0.type`; `_ABSENT` when there is none."""
        value = self.json
        for part in path.split("."):
            if isinstance(value, dict):
                value = value.get(part, _ABSENT)
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                return _ABSENT
        return value


def _closed(text: str) -> str:
    """The beginning of a JSON text made whole: cut behind its last finished member, and what is open closed."""
    opened: list[str] = []
    end, closers = 0, ""
    for token in _TOKENS.finditer(text):
        mark = token[0]
        if mark in _CLOSERS:
            opened.append(_CLOSERS[mark])
            end, closers = token.end(), "".join(reversed(opened))
        elif mark in ("}", "]") and opened:
            opened.pop()
        elif mark == ",":
            end, closers = token.start(), "".join(reversed(opened))
        if len(opened) > _DEEPEST:
            break
    return text[:end] + closers


Sign = Callable[[Sample], bool]


def opens(*beginnings: bytes) -> Sign:
    """The record begins with one of these bytes."""
    return lambda sample: sample.bytes.startswith(beginnings)


def bytes_like(pattern: bytes) -> Sign:
    """A regular expression matches at the beginning of the bytes."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda sample: compiled.match(sample.bytes) is not None


def text_like(pattern: str) -> Sign:
    """A regular expression matches at the beginning of the text, behind white space, and the text is no whole JSON."""
    compiled = re.compile(pattern)
    return lambda sample: (
        (sample.json is None or sample.rest != "") and compiled.match(sample.text.lstrip()) is not None
    )


def columns(separator: str, least: int) -> Sign:
    """One line of at least so many columns, with no brace or bracket before the first separator."""
    compiled = re.compile(rf"[^{{\[<\r\n\0{separator}]*(?:{separator}[^\r\n\0{separator}]*){{{least - 1},}}\r?$")
    return lambda sample: (sample.json is None or sample.rest != "") and compiled.match(sample.text) is not None


def holds_json(kind: str) -> Sign:
    """The record is a JSON value of a kind (`array`, `object`, `text`)."""
    return lambda sample: isinstance(sample.json, _KINDS[kind])


def follows(pattern: str) -> Sign:
    """Behind a whole JSON value comes something more, at whose beginning a regular expression matches."""
    compiled = re.compile(pattern)
    return lambda sample: sample.json is not None and compiled.match(sample.rest) is not None


def fields(*wanted: str) -> Sign:
    """A JSON object has all of these fields.

    `a.b` has to be there, `!a.b` must not; `a.b:array` has to be an array (or `object`, `text`, `null`); `a.b=x|y` has
    to be one of these texts, which are in lower case while the record's may have any. The first item of a list is
    `list.0`.
    """
    conditions = [_condition(text) for text in wanted]
    return lambda sample: isinstance(sample.json, dict) and all(holds(sample) for holds in conditions)


def _condition(text: str) -> Sign:
    if text.startswith("!"):
        return lambda sample: sample.field(text[1:]) is _ABSENT
    if "=" in text:
        path, _, listed = text.partition("=")
        values = listed.split("|")
        return lambda sample: isinstance(value := sample.field(path), str) and value.lower() in values
    if ":" in text:
        path, _, kind = text.partition(":")
        return lambda sample: isinstance(sample.field(path), _KINDS[kind])
    return lambda sample: sample.field(text) is not _ABSENT
