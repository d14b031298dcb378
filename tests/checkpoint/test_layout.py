from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from flows.checkpoint.folder import ChangesRefused, CheckpointFolder, FolderError
from flows.checkpoint.layout import MAGIC, VERSION, CheckpointError, State, pieces, unpack
from flows.checkpoint.packing import Scratch
from flows.config.model import Config
from flows.measure.shard import Shard
from flows.measure.stored import Stored
from flows.metrics.family import HELD
from flows.metrics.parts import definitions
from flows.metrics.sessions import Sessions
from flows.state.queue import Queue

CONFIG = Config(shards=2)
MADE_WITH = definitions(CONFIG)


def test_arrays_come_back_as_they_were() -> None:
    arrays = {
        "numbers": np.arange(6, dtype=np.int32).reshape(2, 3),
        "rows": np.ones(2, HELD),
        "none": np.zeros(0, np.uint64),
        "many": np.arange(90_000).reshape(300, 300) % 7,  # packed
        "more": np.ones(2_000, HELD),
    }
    state = State("definitions", {"events": 7}, "{}", arrays)
    found = unpack(b"".join(pieces(state, Scratch())))
    assert (found.definitions, found.since, found.legends) == ("definitions", {"events": 7}, "{}")
    back = found.arrays
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("other", [Config(shards=3), Config(shards=2, product="shop")])
def test_a_checkpoint_of_another_product_or_of_other_shards_is_refused(other: Config) -> None:
    frozen = Shard(CONFIG).freeze()
    with pytest.raises(CheckpointError, match="cannot go on"):
        Shard(other).thaw(frozen)


def test_a_part_that_the_code_keeps_otherwise_starts_afresh_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = Shard(CONFIG).freeze()
    monkeypatch.setattr(Sessions, "LAYOUT", 99)
    stored = Stored(frozen, definitions(CONFIG))
    assert not stored.keeps("sessions")
    assert all(stored.keeps(part) for part in MADE_WITH.parts if part != "sessions")


def test_arrays_of_other_types_under_the_same_layout_are_refused() -> None:
    frozen = Shard(CONFIG).freeze()
    with pytest.raises(CheckpointError, match="holds users otherwise"):
        Stored(frozen, MADE_WITH).load("users", Queue(2), 64)


def test_a_checkpoint_of_another_version_is_refused() -> None:
    frozen = Shard(CONFIG).freeze().replace(f'"version": {VERSION}'.encode(), b'"version": 9', 1)
    with pytest.raises(CheckpointError, match="format 9"):
        Shard(CONFIG).thaw(frozen)


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        Shard(CONFIG).thaw(b"something else")


def test_a_new_folder_is_private_and_holds_no_checkpoint(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", MADE_WITH) as folder:
        assert not folder.resumed
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with CheckpointFolder(tmp_path / "state", MADE_WITH) as folder:
        assert folder.resumed


def test_a_folder_remembers_the_fencing_token_of_its_last_run(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", MADE_WITH) as folder:
        assert folder.last_token() == 0
        folder.remember_token(41)
        folder.remember_token(42)
    with CheckpointFolder(tmp_path / "state", MADE_WITH) as folder:
        assert folder.last_token() == 42


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        CheckpointFolder(tmp_path / "state", MADE_WITH),
        pytest.raises(FolderError, match="in use by another run"),
        CheckpointFolder(tmp_path / "state", MADE_WITH),
    ):
        pass


def test_a_folder_of_another_product_is_refused_even_where_changes_are_accepted(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", MADE_WITH):
        pass
    other = definitions(Config(shards=2, product="shop"))
    with (
        pytest.raises(FolderError, match="product was product, is shop"),
        CheckpointFolder(tmp_path / "state", other, accept_changes=True),
    ):
        pass


def test_what_would_lose_something_is_refused_by_name_until_it_is_accepted(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", MADE_WITH):
        pass
    other = definitions(Config(shards=2, sessions={"timeout": "20m"}))
    for _ in range(2):
        with (
            pytest.raises(
                ChangesRefused, match=r"- sessions starts afresh: sessions.timeout was 30m, is 20m\n.*--accept"
            ),
            CheckpointFolder(tmp_path / "state", other),
        ):
            pass
    with CheckpointFolder(tmp_path / "state", other, accept_changes=True):
        pass
    with CheckpointFolder(tmp_path / "state", other):  # said once, it is known
        pass


def test_what_loses_nothing_needs_no_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with CheckpointFolder(tmp_path / "state", MADE_WITH):
        pass
    with CheckpointFolder(tmp_path / "state", definitions(Config(shards=2, events=["Left"], lateness="11s"))):
        pass
    assert "event.left is new and begins now" in caplog.text
    assert "lateness was 10s, is 11s, for what is read from now on" in caplog.text


def test_a_folder_of_an_older_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", MADE_WITH):
        pass
    (tmp_path / "state" / "definitions.json").write_text('{"product": "product", "vocabulary": []}')
    with (
        pytest.raises(FolderError, match="made by an older version of tidegauge"),
        CheckpointFolder(tmp_path / "state", MADE_WITH),
    ):
        pass


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(FolderError, match="chmod 700"), CheckpointFolder(tmp_path / "state", MADE_WITH):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12345, 12345)
    with pytest.raises(FolderError, match="belongs to user id 12345"), CheckpointFolder(tmp_path / "state", MADE_WITH):
        pass


def test_a_checkpoint_of_the_version_before_is_read() -> None:
    rows = np.ones(2_000, HELD)
    header = {"version": 3, "definitions": "definitions", "since": {}, "legends": "{}"}
    header["arrays"] = [["rows", HELD.descr, rows.shape]]
    encoded = json.dumps(header).encode()
    frozen = MAGIC + len(encoded).to_bytes(4, "little") + encoded + rows.tobytes()
    assert unpack(frozen).arrays["rows"].tobytes() == rows.tobytes()
