from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from flows.decode.hashing import id_hash, id_hash_of, id_hashes
from flows.messages.raw import PADDING
from tests.services import DEADLINE_SECONDS

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(st.lists(TEXTS, max_size=20))
def test_the_hash_is_xxh64_with_seed_0(texts: list[str]) -> None:
    assert id_hashes(texts).tolist() == [xxhash.xxh64_intdigest(text.encode()) for text in texts]
    assert [id_hash(text) for text in texts] == id_hashes(texts).tolist()


def test_every_length_up_to_several_blocks_is_right() -> None:
    texts = ["tidegauge"[index % 9] * index for index in range(140)]
    assert id_hashes(texts).tolist() == [xxhash.xxh64_intdigest(text.encode()) for text in texts]


def test_hashes_never_change() -> None:
    # They decide which shard keeps a user, in checkpoints that are older than the code that reads them.
    assert id_hash("user-1") == 0xA173746B114C6BE8
    assert id_hash("利用者") == 0x7C5711783CA887B6


def test_an_empty_list_has_no_hashes() -> None:
    assert id_hashes([]).shape == (0,)


def test_no_id_hashes_to_0_which_means_no_id() -> None:
    # The 8 bytes whose XXH64 is 0, found by running its steps backwards.
    zero = bytes.fromhex("7385807d8f0b5339")
    buffer = np.frombuffer(zero + bytes(PADDING), np.uint8)
    assert xxhash.xxh64_intdigest(zero) == 0
    assert id_hash_of(buffer, 0, 8) == 1


def test_without_the_compiler_the_hashes_are_the_same() -> None:
    program = "from flows.decode.hashing import id_hashes; print(id_hashes(['', 'a', 'ab' * 40, 'é' * 17]).tolist())"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    plain = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    assert plain.stdout.strip() == str(id_hashes(["", "a", "ab" * 40, "é" * 17]).tolist())
