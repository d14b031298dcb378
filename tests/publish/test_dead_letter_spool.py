from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.publish.dead_letters.spool import Spool, SpoolInUseError
from tests.services import ROOT


def texts(spool: Spool) -> list[bytes]:
    """What the spool has to send, all of it."""
    return [letter.text for letter in spool.take(1_000_000)]


def left_by_a_crash(folder: Path, process: int = 0) -> bytes:
    """The file as it is on disk."""
    return (folder / f"dead-letters-{process}.ndjson").read_bytes()


def test_letters_are_handed_out_in_their_order_and_those_given_back_come_last() -> None:
    spool = Spool(1_000_000)
    for number in range(3):
        spool.put(b"%d" % number)
    first = spool.take(1)[0]
    spool.give_back(first)
    assert texts(spool) == [b"1", b"2", b"0"]
    assert (spool.count, spool.size) == (3, 6)
    spool.delivered(first)
    assert (spool.count, spool.size) == (2, 4)


def test_what_waits_when_it_is_settled_is_there_after_a_crash(tmp_path: Path) -> None:
    spool = Spool(1_000_000, tmp_path)
    spool.put(b"one")
    spool.settle()
    spool.put(b"two")
    spool.settle()
    spool.put(b"never settled")
    assert left_by_a_crash(tmp_path) == b"one\ntwo\n"
    assert spool._file is not None
    spool._file.close()  # as the end of a process does
    assert texts(Spool(1_000_000, tmp_path)) == [b"one", b"two"]


def test_what_is_delivered_before_it_is_settled_never_comes_to_the_disk(tmp_path: Path) -> None:
    spool = Spool(1_000_000, tmp_path)
    spool.put(b"one")
    spool.delivered(spool.take(1)[0])
    spool.settle()
    assert left_by_a_crash(tmp_path) == b""


def test_the_file_is_empty_once_everything_is_delivered(tmp_path: Path) -> None:
    spool = Spool(1_000_000, tmp_path)
    spool.put(b"one")
    spool.settle()
    spool.delivered(spool.take(1)[0])
    spool.settle()
    assert left_by_a_crash(tmp_path) == b""


def test_the_file_is_bounded_whatever_passes_through_it(tmp_path: Path) -> None:
    limit = 256 * 1024
    spool = Spool(limit, tmp_path)
    spool.put(b"stays")
    stays = spool.take(1)[0]
    largest = 0
    for _ in range(100):
        spool.put(b"x" * 10_000)
        spool.settle()
        spool.delivered(spool.take(1)[0])
        largest = max(largest, len(left_by_a_crash(tmp_path)))
    assert 100_000 > largest > 10_000
    spool.give_back(stays)
    spool.settle()
    assert b"stays\n" in left_by_a_crash(tmp_path)


def test_a_full_spool_is_not_written_again_at_every_checkpoint(tmp_path: Path) -> None:
    spool = Spool(64 * 1024, tmp_path)
    while not spool.full:
        spool.put(b"x" * 1000)
    spool.settle()
    written = (tmp_path / "dead-letters-0.ndjson").stat()
    spool.settle()
    again = (tmp_path / "dead-letters-0.ndjson").stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_the_end_of_a_file_that_a_crash_has_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "dead-letters-0.ndjson").write_bytes(b"whole\nhal")
    spool = Spool(1_000_000, tmp_path)
    assert texts(spool) == [b"whole"]
    spool.put(b"next")
    spool.settle()
    assert left_by_a_crash(tmp_path) == b"whole\nnext\n"


def test_letters_of_processes_that_are_no_more_are_taken_over_by_one_that_is(tmp_path: Path) -> None:
    for process in range(5):
        (tmp_path / f"dead-letters-{process}.ndjson").write_bytes(b"of %d\n" % process)
    first = Spool(1_000_000, tmp_path, process=0, processes=2)
    second = Spool(1_000_000, tmp_path, process=1, processes=2)
    assert texts(first) == [b"of 0", b"of 2", b"of 4"]
    assert texts(second) == [b"of 1", b"of 3"]
    assert left_by_a_crash(tmp_path, 0) == b"of 0\nof 2\nof 4\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dead-letters-0.ndjson", "dead-letters-1.ndjson"]


def test_one_run_at_a_time_has_the_file(tmp_path: Path) -> None:
    spool = Spool(1_000_000, tmp_path)
    with pytest.raises(SpoolInUseError):
        Spool(1_000_000, tmp_path)
    spool.put(b"one")
    spool.settle()
    spool.put(b"x" * 200_000)
    spool.delivered(spool.take(1)[0])
    spool.take(1)
    spool.put(b"two")
    spool.settle()
    with pytest.raises(SpoolInUseError):  # also where a new file has replaced the old one
        Spool(1_000_000, tmp_path)
    spool.close()
    Spool(1_000_000, tmp_path).close()


def test_the_file_can_be_read_by_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.umask(0)\n"
        "from pathlib import Path\n"
        "from flows.publish.dead_letters.spool import Spool\n"
        "spool = Spool(1000, Path(sys.argv[1]) / 'new' / 'folder')\n"
        "spool.put(b'x' * 2000); spool.settle(); spool.put(b'y'); spool.settle()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"new": 0o700, "folder": 0o700, "dead-letters-0.ndjson": 0o600}


def test_how_long_the_oldest_has_waited() -> None:
    now = 100.0
    spool = Spool(1_000, monotonic=lambda: now)
    assert spool.oldest_seconds == 0
    spool.put(b"one")
    now = 105.0
    spool.put(b"two")
    assert spool.oldest_seconds == 5
    spool.delivered(spool.take(1)[0])
    assert spool.oldest_seconds == 0


def test_what_waits_is_bounded() -> None:
    spool = Spool(1_000)
    spool.put(b"x" * 998)
    assert not spool.full
    spool.put(b"x")
    assert spool.full
