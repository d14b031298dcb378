"""Integers of all sizes at any place, compiled and as they are defined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.compiled.words import put_word, put_word_of, word_at, word_of


@compiled
def _read(buffer: NDArray[np.uint8], at: int, size: int, signed: int) -> int:
    found: int = word_at(buffer, at, size, signed)
    return found


@compiled
def _write(buffer: NDArray[np.uint8], at: int, size: int, value: int) -> None:
    put_word(buffer, at, size, value)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@given(st.binary(min_size=16, max_size=16), st.integers(0, 8), st.integers(-(2**63), 2**63 - 1))
def test_what_is_compiled_is_what_is_defined(size: int, content: bytes, at: int, value: int) -> None:
    buffer = np.frombuffer(content, np.uint8).copy()
    for signed in (False, True)[size == 8 :]:
        assert _read(buffer, at, size, signed) == word_of(buffer, at, size, signed)
    other = buffer.copy()
    _write(buffer, at, size, value)
    put_word_of(other, at, size, value)
    assert buffer.tolist() == other.tolist()
