"""What both readers of a poll share: texts in a scanned batch that are ids, and what becomes of a record."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined
from flows.decode import scanner as scan
from flows.messages.raw import Raw, Rejected
from schemas import event as rules
from schemas.event import Problem

# What has become of a record so far: its fate, once it is known.
ROW: Final = 0
REJECTED: Final = 1
EXCLUDED: Final = 2  # and on from there, by the position in EXCLUSIONS
UNSURE: Final = 254  # the slow path decides
UNREAD: Final = 255  # scanned, but not read yet, or with a spelling that has not been learnt

SPELLINGS: Final = 8192
"""Slots of a table of spellings, a power of two."""

SPELLINGS_KEPT: Final = 4096
"""With more spellings a table is emptied before the next batch, and fills again with those in use."""

_PLACEHOLDER_WORDS: Final = np.array(
    [
        int.from_bytes(text.encode(), "little") | (0x2020202020202020 >> (64 - 8 * len(text)))
        for text in sorted(rules.PLACEHOLDERS)
        if 1 <= len(text) <= 8
    ]
    + [int.from_bytes(text.encode()[:8], "little") for text in sorted(rules.PLACEHOLDERS) if len(text) == 9],
    np.uint64,
)
"""The first 8 bytes of placeholders with bit 32 set in each, which makes letters lower case."""

SALT: Final = np.uint64(0x9E3779B97F4A7C15)
_LOWER: Final = np.uint64(0x2020202020202020)
_ZEROS: Final = np.uint64(int.from_bytes(b"00000000", "little"))


@inlined
def low_bytes(buffer: NDArray[np.uint8], begin: Number, length: Number) -> Number:
    """Up to 8 bytes from `begin` as a word, zeros above."""
    head = scan.word(buffer, begin)
    if length < 8:
        head &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    return head


@inlined
def may_be_placeholder(buffer: NDArray[np.uint8], begin: Number, end: Number, kind: Number) -> bool:
    """Never False for a placeholder; the slow path decides about the rest."""
    length = end - begin
    if kind == scan.STRING_UTF_8:
        return bool(length <= 12)  # a letter outside ASCII can have its lower case inside: the Kelvin sign
    if length == 36:
        return bool(scan.word(buffer, begin) == _ZEROS)
    if length > 9:
        return False
    if length == 0:
        return True
    head = low_bytes(buffer, begin, length)
    head |= _LOWER >> np.uint64(64 - 8 * min(length, 8))
    found = False
    for index in range(len(_PLACEHOLDER_WORDS)):
        found |= _PLACEHOLDER_WORDS[index] == head
    return found


def rejection(raw: Raw, index: int, problem: Problem, limit_bytes: int) -> Rejected:
    """Record `index` of a poll, with its payload as far as records may be long."""
    return Rejected(
        reason=problem.reason,
        message=problem.message,
        topic=raw.topic,
        partition=raw.partition,
        offset=int(raw.offsets[index]),
        timestamp_ms=int(raw.timestamps_ms[index]),
        payload=raw.value(index)[:limit_bytes],
    )
