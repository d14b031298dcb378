"""Packed arrays come back to the bit, in fewer bytes where there is anything to save."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.checkpoint.packing import BLOCK, NOTHING_WIDE, most, pack, unpack
from flows.messages.columns import NEVER, NO_TIME

NOW = 1_774_742_400_000
MIXED = np.dtype([("ts", "i8"), ("slot", "i4"), ("seen", "u2"), ("score", "f8"), ("parts", "u1", (3,)), ("open", "?")])
INTEGERS = ["i8", "u8", "i4", "u4", "i2", "u2", "i1", "u1"]


def packed(array: NDArray[Any]) -> NDArray[np.uint8]:
    room = np.full(most(array), 0xAA, np.uint8)
    return room[: pack(array, room) + NOTHING_WIDE]


def assert_comes_back(array: NDArray[Any]) -> None:
    stored = packed(array)
    assert len(stored) <= most(array)
    stored.flags.writeable = False  # as it is in a file
    found = unpack(stored, array.dtype, array.size)
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@given(st.data(), st.sampled_from(INTEGERS))
def test_integers_of_every_type_and_size_come_back(data: st.DataObject, kind: str) -> None:
    limits = np.iinfo(kind)
    some = data.draw(st.integers(int(limits.min), int(limits.max)))
    near = st.integers(max(int(limits.min), some - 300), min(int(limits.max), some + 300))
    wide = st.integers(int(limits.min), int(limits.max))
    nothing = st.sampled_from(
        [value for value in (NO_TIME, -1, 0, NEVER, NEVER + NOW) if limits.min <= value <= limits.max]
    )
    values = data.draw(st.lists(near | nothing, max_size=50) | st.lists(near | wide | nothing, max_size=50))
    assert_comes_back(np.array(values, kind))


@given(st.binary(max_size=60 * MIXED.itemsize))
def test_rows_of_any_bytes_come_back(content: bytes) -> None:
    rows = np.frombuffer(content[: len(content) // MIXED.itemsize * MIXED.itemsize], MIXED)
    found = unpack(packed(rows), MIXED, len(rows))
    assert found.tobytes() == rows.tobytes()


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_blocks_of_all_lengths_come_back(count: int) -> None:
    chance = np.random.default_rng(count)
    rows = np.zeros(count, MIXED)
    rows["ts"] = np.where(chance.random(count) < 0.3, NO_TIME, NOW - chance.integers(0, 10**10, count))
    rows["slot"] = chance.integers(-1, 9, count)
    rows["score"] = chance.random(count)
    rows["parts"] = chance.integers(0, 255, (count, 3))
    assert_comes_back(rows)


@pytest.mark.parametrize(
    ("values", "width"),
    [
        ([7] * 100, 0),  # all the same
        ([0, *range(1, 250)] * 2 + [-1], 1),  # 0 and -1 are as near as any
        ([NO_TIME, 0, -1, NEVER] * 25, 1),  # nothing in four ways
        ([NOW + i % 250 for i in range(100)], 1),
        ([NO_TIME, *(NOW + i % 250 for i in range(99))], 1),
        ([NOW + 60_000 * i for i in range(100)], 3),
        ([NEVER + i % 100 + NOW * (i % 2) for i in range(100)], 6),
        ([NOW + i for i in range(50)] + [NEVER + NOW + i for i in range(50)], 1),
        ([0, *(NOW + i for i in range(49))] + [NEVER + NOW + i for i in range(50)], 1),
        ([-NOW - i for i in range(100)], 8),  # below 0 nothing is saved
        ([2**63 - 1 - i for i in range(100)], 1),
        ([2**63 - 1] * 99 + [NEVER - 1], 1),
    ],
)
def test_a_block_takes_as_many_bytes_as_its_range_needs(values: list[int], width: int) -> None:
    array = np.array(values, np.int64)
    assert len(packed(array)) == 17 + len(values) * width + NOTHING_WIDE
    assert_comes_back(array)
