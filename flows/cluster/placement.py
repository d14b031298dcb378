"""Which process of a cluster gets which shard: names of shards that the engine's hash deals out evenly.

The engine sends a key to worker `hash(key) % workers`. Plain numbers fall 9 to 7 on two workers, and a cluster is as
fast as its busiest process. So each shard's name ends in a number that makes its hash equal to the shard's number
modulo 240: 2, 3, 4, 5, 6, 8, 10, 12, 15 or 16 processes then get shards in turn.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Final

EVENLY: Final = 240
_MASK: Final = 2**64 - 1


@cache
def shard_keys(shards: int) -> list[str]:
    """The state keys of all shards: frozen names, the address of their state in a checkpoint."""
    return [placed(f"{index:03d}", index) for index in range(shards)]


def placed(name: str, place: int) -> str:
    """A key that begins with `name` and goes to worker `place` modulo their number."""
    keys = (f"{name}.{number}" for number in itertools.count())
    return next(key for key in keys if engine_hash(key) % EVENLY == place % EVENLY)


def engine_hash(key: str) -> int:
    """As the engine hashes a state key: Rust's default hasher, SipHash-1-3 with a key of zeros, over the text and 0xFF.

    Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
    """
    data = key.encode() + b"\xff"
    v0, v1, v2, v3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[place : place + 8], "little") for place in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
        v0 ^= word
    v2 ^= 0xFF
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & _MASK
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 = (v2 + v3) & _MASK
    v3 = _rotated(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = _rotated(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = _rotated(v1, 17) ^ v2
    return v0, v1, _rotated(v2, 32), v3


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & _MASK
