from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flows.checkpoint.folder import CheckpointFolder, FolderError
from flows.checkpoint.layout import VERSION, CheckpointError, pieces, unpack
from flows.config.model import Config
from flows.measure.shard import Shard
from flows.metrics.family import HELD

CONFIG = Config(shards=2)


def test_arrays_come_back_as_they_were() -> None:
    arrays = {
        "numbers": np.arange(6, dtype=np.int32).reshape(2, 3),
        "rows": np.ones(2, HELD),
        "none": np.zeros(0, np.uint64),
    }
    back = unpack(b"".join(pieces(arrays, "a config")), "a config")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


def test_a_checkpoint_of_another_config_is_refused() -> None:
    frozen = Shard(CONFIG).freeze()
    with pytest.raises(CheckpointError, match="another config"):
        Shard(Config(shards=2, lateness="11s")).thaw(frozen)


def test_a_checkpoint_of_another_version_is_refused() -> None:
    frozen = Shard(CONFIG).freeze().replace(f'"version": {VERSION}'.encode(), b'"version": 9', 1)
    with pytest.raises(CheckpointError, match="format 9"):
        Shard(CONFIG).thaw(frozen)


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        Shard(CONFIG).thaw(b"something else")


def test_a_new_folder_is_private_and_holds_no_checkpoint(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", CONFIG) as folder:
        assert not folder.resumed
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with CheckpointFolder(tmp_path / "state", CONFIG) as folder:
        assert folder.resumed


def test_a_folder_remembers_the_fencing_token_of_its_last_run(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", CONFIG) as folder:
        assert folder.last_token() == 0
        folder.remember_token(41)
        folder.remember_token(42)
    with CheckpointFolder(tmp_path / "state", CONFIG) as folder:
        assert folder.last_token() == 42


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        CheckpointFolder(tmp_path / "state", CONFIG),
        pytest.raises(FolderError, match="in use by another run"),
        CheckpointFolder(tmp_path / "state", CONFIG),
    ):
        pass


def test_a_folder_of_another_config_is_refused_with_what_differs(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "state", CONFIG):
        pass
    with (
        pytest.raises(FolderError, match="lateness was 10s, is 11s"),
        CheckpointFolder(tmp_path / "state", Config(shards=2, lateness="11s")),
    ):
        pass


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(FolderError, match="chmod 700"), CheckpointFolder(tmp_path / "state", CONFIG):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12345, 12345)
    with pytest.raises(FolderError, match="belongs to user id 12345"), CheckpointFolder(tmp_path / "state", CONFIG):
        pass
