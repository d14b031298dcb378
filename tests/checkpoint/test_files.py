from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.local import wait_until
from flows.checkpoint.files import KEPT, SUFFIX, History, StateFiles
from flows.checkpoint.layout import CheckpointError


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(f"*{SUFFIX}")}


def file_of(name: str) -> str:
    return name.partition("#")[0]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    many = [b"%d," % number for number in range(3_000)]
    written: list[Sequence[bytes | memoryview]] = [[b"one"], [b"", memoryview(b"two"), b"", b"three"], many]
    for pieces in written:
        assert bytes(StateFiles(tmp_path).read(files.write(pieces, over=files.new()))) == b"".join(pieces)


def test_a_state_is_written_over_an_outdated_one_whatever_their_lengths(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    name = files.write([b"a first state"], over=files.new())
    for state in (b"longer than the first state was", b"", b"short", b"x" * 100_000):
        before, name = name, files.write([state], over=name)
        assert bytes(files.read(name)) == state
        with pytest.raises(CheckpointError, match="it holds state"):
            files.read(before)
    assert len(files_in(tmp_path)) == 1


def test_a_file_is_private(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    name = files.write([b"state"], over=files.new())
    assert (tmp_path / file_of(name)).stat().st_mode & 0o777 == 0o600


def test_the_states_of_the_last_epochs_stay_while_the_next_one_is_written(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    history = History(files, None)
    written = []
    for epoch in range(4 * KEPT):
        written.append(history.write([b"%d" % epoch]))
        last = range(max(0, epoch + 1 - KEPT), epoch + 1)
        assert [bytes(files.read(written[one])) for one in last] == [b"%d" % one for one in last]
    assert len(set(written)) == len(written)
    assert len(files_in(tmp_path)) == KEPT + 1


def test_the_file_that_a_run_goes_on_from_stays_until_the_run_has_stored_epochs_of_its_own(tmp_path: Path) -> None:
    before = History(StateFiles(tmp_path), None).write([b"before"])
    files = StateFiles(tmp_path)
    history = History(files, before)
    for _ in range(KEPT - 1):
        history.write([b"after"])
        assert bytes(files.read(before)) == b"before"
    history.write([b"after"])
    files.close()
    assert file_of(before) not in files_in(tmp_path)


def test_what_a_killed_run_has_left_goes_when_nothing_can_refer_to_it(tmp_path: Path) -> None:
    """Two shards; the first run was killed between writing states and the engine's storing their names."""
    first = StateFiles(tmp_path)
    stored = [first.write([b"stored"], over=first.new()) for _ in range(2)]
    lost = {file_of(first.write([b"lost"], over=first.new())) for _ in range(2)}
    second = StateFiles(tmp_path)
    histories = [History(second, name) for name in stored]
    for epoch in range(KEPT):
        for history in histories:
            history.write([b"%d" % epoch])
        assert lost <= files_in(tmp_path)
    for history in histories:
        history.write([b"one more"])
    second.close()
    assert not lost & files_in(tmp_path)
    assert len(files_in(tmp_path)) == 2 * (KEPT + 1)


def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    name = files.write([b"state"], over=files.new())
    files.forget(name)
    with pytest.raises(CheckpointError, match=f"{file_of(name)}.*restore the whole folder"):
        files.read(name)


def test_a_checkpoint_of_a_shard_that_grows_evenly_makes_no_file_and_finds_no_blocks(tmp_path: Path) -> None:
    """What a journal would have to hold makes the disk wait for other writers, and new pages of memory are dear."""

    def sizes() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_blocks) for path in tmp_path.iterdir()}

    files = StateFiles(tmp_path)
    history = History(files, None)
    for epoch in range(3 * KEPT):
        wait_until(lambda: all(growing.done() for growing in files._growing.values()), "room for the next state")
        before = sizes()
        written = tmp_path / file_of(history.write([b"x" * (1 + epoch) * 100_000]))
        if epoch > 0:  # it was not known before how it grows
            assert sizes()[written] == before[written]
    files.close()


def test_a_file_that_cannot_grow_leaves_the_room_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.pwrite

    def full(descriptor: int, content: bytes, offset: int) -> int:
        if offset > 2_000_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", full)
    files = StateFiles(tmp_path)
    name = files.write([b"first"], over=files.new())
    size = (tmp_path / file_of(name)).stat().st_size
    files.settle()
    files.make_room(name, 10_000_000)
    assert files._growing[file_of(name)].exception() is None
    assert (tmp_path / file_of(name)).stat().st_size == size
    assert bytes(files.read(files.write([b"second"], over=name))) == b"second"
    files.close()


def test_a_run_that_goes_on_has_room_for_its_first_state(tmp_path: Path) -> None:
    before = History(StateFiles(tmp_path), None).write([b"x" * 100_000])
    files = StateFiles(tmp_path)
    history = History(files, before)
    wait_until(lambda: all(growing.done() for growing in files._growing.values()), "room for the next state")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes[file_of(history.write([b"after"]))] > 100_000


def test_the_last_shard_of_an_epoch_waits_for_the_files_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safe: set[str] = set()
    known: set[str] = set()  # files that were there before
    sync = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(0.05)
        sync(descriptor)
        safe.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", slow)
    files = StateFiles(tmp_path)
    histories = [History(files, None) for _ in range(3)]
    for _ in range(2 * KEPT):
        written = {file_of(history.write([b"state"])) for history in histories}
        assert written <= safe
        assert tmp_path.name in safe or written <= known
        known |= written
        safe.clear()


def test_a_disk_that_fails_when_it_is_waited_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        History(StateFiles(tmp_path), None).write([b"state"])


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, pieces: list[memoryview]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space left"):
        StateFiles(tmp_path).write([b"state"], over="it#0")
    assert files_in(tmp_path) == set()


def test_a_write_that_takes_only_a_part_goes_on_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda descriptor, pieces: os.write(descriptor, b"".join(pieces)[:3]))
    files = StateFiles(tmp_path)
    assert bytes(files.read(files.write([b"ab", b"", b"cdefg", b"h"], over=files.new()))) == b"abcdefgh"
