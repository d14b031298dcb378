"""Reads the values that top lists count: of every accepted event, the text of each listed field, as a hash.

A value is the text of a single JSON value, without what follows a `?` (a query string says who somebody is, and makes
every value another) and cut at VALUE_CHARACTERS. Missing, null and empty are no value, and neither are objects and
arrays. Its hash decides which shard counts it. A poll brings the text of each value once or a few times, so that no
table has to know which texts a shard has; the loop reads texts from the scanned bytes, also those with escapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined, steady
from flows.config.top import VALUE_CHARACTERS
from flows.decode import scanner as scan
from flows.decode.hashing import id_hash, id_hash_of
from flows.decode.scanner import Scanned
from flows.decode.texts import ROW, SALT, low_bytes
from flows.messages.columns import TEXT, TEXTS, VALUE, WORDS_OF_TEXT
from flows.messages.raw import PADDING
from schemas.event import Container

MOST_BYTES: Final = 4 * VALUE_CHARACTERS + 4
"""What is read of an escaped text: more than is kept of any."""
_SENT: Final = 4096
"""Slots of the texts that a poll has brought already, by hash; one that is overwritten is brought again."""
_PIECE: Final = 8 * WORDS_OF_TEXT
"""Bytes of text in a piece."""
_QUESTION, _BACKSLASH, _U = (ord(character) for character in "?\\u")
_ESCAPED: Final = np.zeros(128, np.uint8)
_ESCAPED[[ord(character) for character in '"\\/bfnrt']] = [ord(character) for character in '"\\/\b\f\n\r\t']


class Values:
    """The values of some lists, for one poll after another."""

    def __init__(self, lists: Sequence[str], fields: NDArray[np.int32]) -> None:
        """`fields`: the numbers of their scanned fields."""
        self._lists = [f"values.{name}" for name in lists]
        self._fields = fields
        self._keys = np.zeros((0, len(lists)), np.uint64)  # by record; 0: it has no value
        self._sent = np.zeros(_SENT, np.uint64)
        self._pieces = np.zeros((256, TEXT.itemsize // 8), np.uint64)
        self._counts = np.zeros(2, np.int64)  # pieces written; the record to go on with
        self._text = np.zeros(MOST_BYTES + 4 + PADDING, np.uint8)

    def __len__(self) -> int:
        return len(self._lists)

    def begin(self, records: int) -> None:
        """A poll of so many records begins."""
        self._keys = np.zeros((records, len(self._lists)), np.uint64)
        self._sent[:] = 0
        self._counts[0] = 0

    def find(self, scanned: Scanned, part: slice, fates: NDArray[np.uint8]) -> None:
        """Read the values of those records of a batch that are rows."""
        self._counts[1] = 0
        keys = self._keys[part]
        while True:
            _find(scanned, self._fields, fates, keys, self._sent, self._pieces, self._counts, self._text)
            if self._counts[1] == len(fates):
                return
            self._grow()

    def take(self, record: int, found: Sequence[str | Container | None]) -> None:
        """The values of one record, as the decoder gives them."""
        for place, one in enumerate(found):
            text = value_of(one) if isinstance(one, str) else ""
            if text:
                self._keys[record, place] = key = id_hash(text)
                self._bring(key, text.encode())

    def _bring(self, key: int, text: bytes) -> None:
        for begin in range(0, len(text), _PIECE):
            if self._counts[0] == len(self._pieces):
                self._grow()
            piece = self._pieces[self._counts[0]]
            piece[:2] = key, len(text) - begin
            piece[2:] = np.frombuffer(text[begin : begin + _PIECE].ljust(_PIECE, b"\0"), np.uint64)
            self._counts[0] += 1

    def _grow(self) -> None:
        self._pieces = np.concatenate([self._pieces, np.zeros_like(self._pieces)])

    def completed(
        self, fates: NDArray[np.uint8], places: NDArray[np.int64], rows: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        """By kind: VALUE rows of each list in offset order, and the texts; `places`: of each record among `rows`."""
        found: dict[str, NDArray[Any]] = {}
        for place, kind in enumerate(self._lists):
            records = np.flatnonzero((self._keys[:, place] != 0) & (fates == ROW))
            if len(records):
                found[kind] = np.zeros(len(records), VALUE)
                _complete(found[kind], self._keys[records, place], places[records], rows)
        if found:
            found[TEXTS] = self._pieces[: self._counts[0]].copy().reshape(-1).view(TEXT)
        return found


def value_of(text: str) -> str:
    """What is listed of a text; "": nothing."""
    return text.partition("?")[0][:VALUE_CHARACTERS]


@inlined
def _kept_end(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """Where the value ends that a text in UTF-8 is."""
    characters = 0
    for at in range(begin, end):
        byte = buffer[at]
        if byte == _QUESTION:
            return at
        if byte & 0xC0 != 0x80:
            if characters == VALUE_CHARACTERS:
                return at
            characters += 1
    return end


@inlined
def _write_character(text: NDArray[np.uint8], at: Number, point: Number) -> Number:
    """Write a code point in UTF-8; returns the position after it."""
    if point < 0x80:
        text[at] = point
        return at + 1
    if point < 0x800:
        text[at] = 0xC0 | point >> 6
        text[at + 1] = 0x80 | point & 63
        return at + 2
    if point < 0x10000:
        text[at] = 0xE0 | point >> 12
        text[at + 1] = 0x80 | point >> 6 & 63
        text[at + 2] = 0x80 | point & 63
        return at + 3
    text[at] = 0xF0 | point >> 18
    text[at + 1] = 0x80 | point >> 12 & 63
    text[at + 2] = 0x80 | point >> 6 & 63
    text[at + 3] = 0x80 | point & 63
    return at + 4


@inlined
def _unescaped(buffer: NDArray[np.uint8], begin: Number, end: Number, text: NDArray[np.uint8]) -> Number:
    """Write the text of a string that the scanner takes, as far as it may be kept; returns its bytes."""
    at = begin
    size = 0
    while at < end and size < MOST_BYTES:
        byte = buffer[at]
        if byte != _BACKSLASH:
            text[size] = byte
            size += 1
            at += 1
        elif buffer[at + 1] != _U:
            text[size] = _ESCAPED[buffer[at + 1] & 127]
            size += 1
            at += 2
        else:
            point = scan.hex_digits(buffer, at + 2)
            at += 6
            if 0xD800 <= point <= 0xDFFF:  # the scanner has seen to it that the other half follows
                point = 0x10000 + ((point - 0xD800) << 10) + (scan.hex_digits(buffer, at + 2) - 0xDC00)
                at += 6
            size = _write_character(text, size, point)
    return size


@inlined
def _write_pieces(
    buffer: NDArray[np.uint8], begin: Number, end: Number, key: Number, pieces: NDArray[np.uint64], first: Number
) -> Number:
    """Write a text to the pieces from `first` on; returns the one after them."""
    at = begin
    piece = first
    while at < end:
        pieces[piece, 0] = key
        pieces[piece, 1] = np.uint64(end - at)
        for number in range(WORDS_OF_TEXT):
            left = end - at
            pieces[piece, 2 + number] = low_bytes(buffer, at, min(left, 8)) if left > 0 else np.uint64(0)
            at += 8
        piece += 1
    return piece


@inlined
def _note(
    buffer: NDArray[np.uint8],
    begin: Number,
    text_end: Number,
    sent: NDArray[np.uint64],
    pieces: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> Number:
    """The key of the value that a text is, 0: it is none; its own text is written to the pieces unless it was sent."""
    end = _kept_end(buffer, begin, text_end)
    if end == begin:
        return np.uint64(0)
    key = id_hash_of(buffer, begin, end)
    slot = np.int64(key & np.uint64(_SENT - 1))
    if sent[slot] != key:
        sent[slot] = key
        counts[0] = _write_pieces(buffer, begin, end, key, pieces, counts[0])
    return key


@steady
def _find(
    scanned: Scanned,
    fields: NDArray[np.int32],
    fates: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    sent: NDArray[np.uint64],
    pieces: NDArray[np.uint64],
    counts: NDArray[np.int64],
    text: NDArray[np.uint8],
) -> None:
    """Write the keys of records that are ROW, from record `counts[1]` on, and the pieces of texts not yet `sent`.

    Stops where there may not be enough room for pieces; `counts` says how many there are, and where to go on.
    """
    for record in range(counts[1], len(fates)):
        counts[1] = record
        if fates[record] != ROW:
            continue
        if counts[0] + len(fields) * (MOST_BYTES // _PIECE + 1) > len(pieces):
            return
        for place in range(len(fields)):
            kind = scanned.kinds[record, fields[place]]
            if kind <= scan.NULL or kind >= scan.ARRAY:
                continue
            begin = np.int64(scanned.begins[record, fields[place]])
            end = np.int64(scanned.ends[record, fields[place]])
            if kind == scan.STRING_ESCAPED:
                size = _unescaped(scanned.buffer, begin + 1, end - 1, text)
                keys[record, place] = _note(text, 0, size, sent, pieces, counts)
            elif kind >= scan.STRING:
                keys[record, place] = _note(scanned.buffer, begin + 1, end - 1, sent, pieces, counts)
            else:
                keys[record, place] = _note(scanned.buffer, begin, end, sent, pieces, counts)
    counts[1] = len(fates)


@compiled
def _complete(values: NDArray[Any], keys: NDArray[np.uint64], places: NDArray[np.int64], rows: NDArray[Any]) -> None:
    """Write what the events at `places` of `rows` say to the values that they show."""
    for i in range(len(values)):
        value, row = values[i], rows[places[i]]
        message = np.uint64(row["message"])
        if message != np.uint64(0):
            message = max(message ^ (keys[i] * SALT), np.uint64(1))
        value["key"] = keys[i]
        value["user"] = row["user"]
        value["message"] = message
        value["ts"] = row["ts"]
        value["clock"] = row["clock"]
        value["offset"] = row["offset"]
        value["partition"] = row["partition"]
