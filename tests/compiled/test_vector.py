from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from flows.compiled.vector import WIDTH, first_mark_at, first_mark_of


@given(st.binary(max_size=3 * WIDTH), st.integers(0, WIDTH))
@example(b"a" * 3 * WIDTH, 0)
@example(b"a" * (WIDTH - 1) + b'"', 0)
@example(b"a\\" + b"a" * WIDTH, 1)
@example(b"\x1f\x20\x7f\x80\xff", 0)
def test_a_string_is_plain_up_to_the_byte_where_the_definition_ends(text: bytes, at: int) -> None:
    buffer = np.frombuffer(bytearray(text.ljust(2 * WIDTH, b"a")), np.uint8)
    assert first_mark_at(buffer, at) == first_mark_of(buffer, at)


def test_every_byte_is_judged_in_every_place() -> None:
    for byte in range(256):
        for place in range(WIDTH):
            buffer = np.full(2 * WIDTH, ord("a"), np.uint8)
            buffer[place] = byte
            assert first_mark_at(buffer, 0) == first_mark_of(buffer, 0)
