"""Stable 64-bit hashes of ids: XXH64 with seed 0 over the UTF-8 bytes, in compiled loops.

The hash decides which shard a user lives in and is part of saved state, so it must never change and must not
depend on the process (as `hash()` does). 0 means "no id" in a row; an id that hashes to 0 is given 1. The
algorithm is the one of https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, little-endian.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, compiled, inlined
from flows.decode.scanner import word
from flows.messages.raw import PADDING

_PRIME_1: Final = np.uint64(0x9E3779B185EBCA87)
_PRIME_2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3: Final = np.uint64(0x165667B19E3779F9)
_PRIME_4: Final = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5: Final = np.uint64(0x27D4EB2F165667C5)
_LOW_HALF: Final = np.uint64(0xFFFFFFFF)


@inlined
def _rotated(value: Number, bits: Number) -> Number:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@inlined
def _round(lane: Number, value: Number) -> Number:
    return _rotated(lane + value * _PRIME_2, 31) * _PRIME_1


@inlined
def _merged(result: Number, lane: Number) -> Number:
    return (result ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4


@inlined
def xxh64(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """XXH64, seed 0, of `buffer[begin:end]`; at least PADDING bytes must follow `end`."""
    at = begin
    if end - begin >= 32:
        lane_1 = _PRIME_1 + _PRIME_2
        lane_2 = _PRIME_2
        lane_3 = np.uint64(0)
        lane_4 = np.uint64(0) - _PRIME_1
        while at + 32 <= end:
            lane_1 = _round(lane_1, word(buffer, at))
            lane_2 = _round(lane_2, word(buffer, at + 8))
            lane_3 = _round(lane_3, word(buffer, at + 16))
            lane_4 = _round(lane_4, word(buffer, at + 24))
            at += 32
        result = _rotated(lane_1, 1) + _rotated(lane_2, 7) + _rotated(lane_3, 12) + _rotated(lane_4, 18)
        result = _merged(result, lane_1)
        result = _merged(result, lane_2)
        result = _merged(result, lane_3)
        result = _merged(result, lane_4)
    else:
        result = _PRIME_5
    result = result + np.uint64(end - begin)
    while at + 8 <= end:
        result = _rotated(result ^ _round(np.uint64(0), word(buffer, at)), 27) * _PRIME_1 + _PRIME_4
        at += 8
    if at + 4 <= end:
        result = _rotated(result ^ ((word(buffer, at) & _LOW_HALF) * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
        at += 4
    while at < end:
        result = _rotated(result ^ (np.uint64(buffer[at]) * _PRIME_5), 11) * _PRIME_1
        at += 1
    result = (result ^ (result >> np.uint64(33))) * _PRIME_2
    result = (result ^ (result >> np.uint64(29))) * _PRIME_3
    return result ^ (result >> np.uint64(32))


@inlined
def id_hash_of(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """The hash of one id in a padded buffer: XXH64, but never 0."""
    result = xxh64(buffer, begin, end)
    return result if result != np.uint64(0) else np.uint64(1)


@compiled
def _hash_all(buffer: NDArray[np.uint8], offsets: NDArray[np.int64], hashes: NDArray[np.uint64]) -> None:
    for index in range(len(hashes)):
        hashes[index] = id_hash_of(buffer, offsets[index], offsets[index + 1])


def id_hashes(ids: list[str]) -> NDArray[np.uint64]:
    """The hash of every id (XXH64 of its UTF-8 bytes, 0 remapped to 1), shape (len(ids),)."""
    parts = [text.encode() for text in ids]
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    hashes = np.empty(len(parts), np.uint64)
    _hash_all(np.frombuffer(b"".join(parts) + bytes(PADDING), np.uint8), offsets, hashes)
    return hashes


@compiled
def _hash_one(buffer: NDArray[np.uint8]) -> Number:
    return id_hash_of(buffer, 0, len(buffer) - PADDING)


def id_hash(text: str) -> int:
    """The hash of one id; for many use `id_hashes`."""
    return int(_hash_one(np.frombuffer(text.encode() + bytes(PADDING), np.uint8)))
