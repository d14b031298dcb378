from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.config.limits import Limits
from flows.messages.raw import Rejected
from flows.messages.tick import Tick
from flows.process.outcomes import SourceError
from flows.source.file import FileSource
from tests.source.driving import Rounds


def written(path: Path, content: bytes, *, zipped: bool = False) -> Path:
    path.write_bytes(gzip.compress(content) if zipped else content)
    return path


def lines(count: int) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(count)]


def read(source: FileSource) -> Rounds:
    rounds = Rounds(source).to_end()
    source.check()
    return rounds


@pytest.mark.parametrize("zipped", [False, True])
def test_every_line_is_one_record_of_partition_zero(tmp_path: Path, zipped: bool) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(5)) + b"\n", zipped=zipped)
    rounds = read(FileSource(path, as_of_ms=99))
    assert rounds.values(0) == lines(5)
    assert rounds.offsets(0) == [0, 1, 2, 3, 4]
    assert {raw.topic for raw in rounds.raws} == {str(path)}
    assert [raw.timestamps_ms.tolist() for raw in rounds.raws if raw.count] == [[-1] * 5]
    assert {item.monotonic_ms for item in rounds.items} == {None}
    assert rounds.items[-1] == Tick(1, None, as_of_ms=99, final=True)


@pytest.mark.parametrize("partitions", [1, 3, 4, 12])
def test_line_i_goes_to_partition_i_modulo_partitions(tmp_path: Path, partitions: int) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(1000)))
    rounds = read(FileSource(path, partitions=partitions, limits=Limits(poll_records=7)))
    for partition in range(partitions):
        dealt = lines(1000)[partition::partitions]
        assert rounds.values(partition) == dealt
        assert rounds.offsets(partition) == list(range(len(dealt)))
        last = [raw.caught_up for raw in rounds.raws if raw.partition == partition]
        assert last == [False] * (len(last) - 1) + [True]
    assert all(len(raw.values) <= 7 and raw.partitions == partitions for raw in rounds.raws)
    assert [tick.final for tick in rounds.ticks] == [True]
    assert rounds.items[-1] is rounds.ticks[0]


def test_the_partitions_are_read_evenly(tmp_path: Path) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(3000)))
    rounds = Rounds(FileSource(path, partitions=3, limits=Limits(poll_records=10)))
    for _ in range(20):
        rounds.play()
    assert [len(rounds.values(partition)) for partition in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nb\n", [b"a", b"", b"b"]),
        (b"\na", [b"", b"a"]),
        (b"a\r\nb", [b"a\r", b"b"]),
    ],
)
def test_a_line_end_ends_a_line_and_begins_none(tmp_path: Path, content: bytes, values: list[bytes]) -> None:
    assert read(FileSource(written(tmp_path / "events", content))).values(0) == values


@pytest.mark.parametrize("zipped", [False, True])
def test_an_endless_line_is_cut_just_over_the_limit_and_its_neighbours_are_untouched(
    tmp_path: Path, zipped: bool
) -> None:
    long = b"x" * 5_000_000
    path = written(tmp_path / "events", b"\n".join([b"before", long, b"y" * 101, b"after"]), zipped=zipped)
    rounds = read(FileSource(path, limits=Limits(record_bytes=100)))
    assert rounds.values(0) == [b"before", b"x" * 101, b"y" * 101, b"after"]


def test_a_long_last_line_without_an_end_is_cut_too(tmp_path: Path) -> None:
    path = written(tmp_path / "events", b"before\n" + b"x" * 150)
    assert read(FileSource(path, limits=Limits(record_bytes=100))).values(0) == [b"before", b"x" * 101]


def test_a_line_of_exactly_the_limit_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "events", b"x" * 100 + b"\n" + b"y" * 100)
    rounds = read(FileSource(path, limits=Limits(record_bytes=100)))
    assert rounds.values(0) == [b"x" * 100, b"y" * 100]


def test_reading_goes_on_behind_what_was_handed_on(tmp_path: Path) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(100)))
    limits = Limits(poll_records=7)
    first = Rounds(FileSource(path, partitions=3, limits=limits))
    first.play()
    first.play()
    second = Rounds(FileSource(path, partitions=3, limits=limits), first.states()).to_end()
    for partition in range(3):
        assert first.values(partition) + second.values(partition) == lines(100)[partition::3]
        assert first.offsets(partition) + second.offsets(partition) == list(range(len(lines(100)[partition::3])))


@pytest.mark.parametrize("zipped", [False, True])
def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    content = b"\n".join(lines(50_000))
    content = gzip.compress(content) if zipped else content
    ours, theirs = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(ours, "rb")))

    def feed() -> None:
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(content)

    writer = threading.Thread(target=feed)
    writer.start()
    rounds = read(FileSource("-"))
    writer.join()
    assert rounds.values(0) == lines(50_000)
    assert rounds.raws[0].topic == "standard input"


def test_progress_is_told_in_bytes_on_disk(tmp_path: Path) -> None:
    path = written(tmp_path / "events.gz", b"\n".join(lines(200_000)), zipped=True)
    told: list[tuple[int, int | None]] = []
    read(FileSource(path, progress=lambda done, total: told.append((done, total))))
    size = path.stat().st_size
    assert {total for _, total in told} == {size}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert 0 < told[0][0] < size == told[-1][0]


def test_ticks_come_while_reading_where_they_are_wanted(tmp_path: Path) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(100)))
    times = iter(range(10**6))
    source = FileSource(path, limits=Limits(poll_records=5), tick_ms=1000, monotonic=lambda: float(next(times)))
    rounds = read(source)
    assert [tick.number for tick in rounds.ticks] == list(range(1, len(rounds.ticks) + 1))
    assert len(rounds.ticks) > 5
    assert [tick.final for tick in rounds.ticks].count(True) == 1


def test_stop_ends_reading_with_a_final_tick_that_does_not_move_the_clock(tmp_path: Path) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(1000)))
    source = FileSource(path, partitions=2, limits=Limits(poll_records=5), as_of_ms=10**15)
    rounds = Rounds(source)
    rounds.play()
    source.stop()
    rounds.to_end()
    assert rounds.records() == 10
    assert rounds.items[-1] == Tick(1, None, final=True)
    assert source.outcome == "stopped"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.ndjson cannot be read: No such file or directory"):
        FileSource(tmp_path / "absent.ndjson")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        FileSource(tmp_path)


def test_a_count_of_partitions_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="1 or more partitions, not 0"):
        FileSource(written(tmp_path / "events", b""), partitions=0)


def spoiled(content: bytes) -> list[Any]:
    zipped = gzip.compress(content)
    middle = len(zipped) // 2
    return [
        pytest.param(zipped[:middle], id="cut short"),
        pytest.param(zipped[:middle] + b"\0\xff\0\xff" + zipped[middle + 4 :], id="spoiled"),
        pytest.param(zipped[:-8] + b"\0" * 8, id="another checksum"),
        pytest.param(zipped + b"rubbish", id="rubbish behind it"),
        pytest.param(b"\x1f\x8b", id="nothing but the first bytes"),
    ]


@pytest.mark.parametrize("content", spoiled(os.urandom(3_000_000).hex().encode()))
def test_broken_gzip_ends_the_flow_with_a_sentence_and_no_final_tick(tmp_path: Path, content: bytes) -> None:
    source = FileSource(written(tmp_path / "events.gz", content))
    rounds = Rounds(source).to_end()
    assert source.outcome == "failed"
    assert rounds.ticks == []
    with pytest.raises(SourceError, match=r"events\.gz is broken gzip after \d+ bytes"):
        source.check()


@pytest.mark.parametrize("partitions", [1, 3])
def test_without_a_dataflow_the_polls_hold_every_line_once_and_know_its_number(tmp_path: Path, partitions: int) -> None:
    path = written(tmp_path / "events", b"\n".join(lines(100)))
    source = FileSource(path, partitions=partitions, limits=Limits(poll_records=7))
    places = {}
    for raw in source.polls():
        for offset, value in zip(raw.offsets.tolist(), raw.values, strict=True):
            places[source.place(Rejected("not_json", "", raw.topic, raw.partition, offset, -1, value))] = value
    source.close()
    assert places == {f"line {number}": line for number, line in enumerate(lines(100), 1)}


def test_without_a_dataflow_a_broken_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines(100)))[:-20])
    with pytest.raises(SourceError, match="broken gzip"):
        list(FileSource(path).polls())
