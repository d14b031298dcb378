from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from flows.checkpoint import CheckpointError
from flows.state_files import KEPT, SUFFIX, History, StateFiles


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(f"*{SUFFIX}")}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    many = [b"%d," % number for number in range(3_000)]
    for pieces in ([b"one"], [b"", memoryview(b"two"), b"", b"three"], many):
        assert bytes(StateFiles(tmp_path).read(files.write(pieces))) == b"".join(pieces)


def test_a_file_is_private(tmp_path: Path) -> None:
    name = StateFiles(tmp_path).write([b"state"])
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_the_files_of_the_last_epochs_stay_and_older_ones_go(tmp_path: Path) -> None:
    history = History(StateFiles(tmp_path), None)
    written = [history.write([b"%d" % epoch]) for epoch in range(10)]
    assert names(tmp_path) == set(written[-KEPT:])


def test_the_file_that_a_run_goes_on_from_stays_until_the_run_has_stored_epochs_of_its_own(tmp_path: Path) -> None:
    before = History(StateFiles(tmp_path), None).write([b"before"])
    history = History(StateFiles(tmp_path), before)
    for _ in range(KEPT - 1):
        history.write([b"after"])
        assert before in names(tmp_path)
    history.write([b"after"])
    assert before not in names(tmp_path)


def test_what_a_killed_run_has_left_goes_when_nothing_can_refer_to_it(tmp_path: Path) -> None:
    """Two shards; the first run was killed between writing files and the engine's storing their names."""
    first = StateFiles(tmp_path)
    stored = [first.write([b"stored"]), first.write([b"stored"])]
    lost = {first.write([b"lost"]), first.write([b"lost"])}
    second = StateFiles(tmp_path)
    histories = [History(second, name) for name in stored]
    for epoch in range(KEPT):
        for history in histories:
            history.write([b"%d" % epoch])
        assert lost <= names(tmp_path)
    for history in histories:
        history.write([b"one more"])
    assert not lost & names(tmp_path)
    assert len(names(tmp_path)) == 2 * KEPT


def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    name = files.write([b"state"])
    files.forget(name)
    with pytest.raises(CheckpointError, match=f"{name}.*restore the whole folder"):
        files.read(name)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, pieces: list[memoryview]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space left"):
        StateFiles(tmp_path).write([b"state"])
    assert names(tmp_path) == set()


def test_a_write_that_takes_only_a_part_goes_on_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda descriptor, pieces: os.write(descriptor, b"".join(pieces)[:3]))
    files = StateFiles(tmp_path)
    assert bytes(files.read(files.write([b"ab", b"", b"cdefg", b"h"]))) == b"abcdefgh"
