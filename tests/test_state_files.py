from __future__ import annotations

import errno
import os
import time
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
    files = StateFiles(tmp_path)
    history = History(files, None)
    written = [history.write([b"%d" % epoch]) for epoch in range(10)]
    files.close()
    assert names(tmp_path) == set(written[-KEPT:])


def test_the_file_that_a_run_goes_on_from_stays_until_the_run_has_stored_epochs_of_its_own(tmp_path: Path) -> None:
    before = History(StateFiles(tmp_path), None).write([b"before"])
    files = StateFiles(tmp_path)
    history = History(files, before)
    for _ in range(KEPT - 1):
        history.write([b"after"])
        assert before in names(tmp_path)
    history.write([b"after"])
    files.close()
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
    second.close()
    assert not lost & names(tmp_path)
    assert len(names(tmp_path)) == 2 * KEPT


def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    name = files.write([b"state"])
    files.forget(name)
    with pytest.raises(CheckpointError, match=f"{name}.*restore the whole folder"):
        files.read(name)


def test_the_last_shard_of_an_epoch_waits_for_the_files_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safe: set[str] = set()
    sync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.05)
        sync(descriptor)
        safe.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", slow)
    files = StateFiles(tmp_path)
    histories = [History(files, None) for _ in range(3)]
    for _ in range(2 * KEPT):
        written = {history.write([b"state"]) for history in histories}
        assert written | {tmp_path.name} <= safe
        safe.clear()


def test_a_disk_that_fails_when_it_is_waited_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        History(StateFiles(tmp_path), None).write([b"state"])


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
