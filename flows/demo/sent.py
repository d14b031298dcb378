"""What the simulated product has sent, as the audit reads it: what is published is held against this.

A process of its own reads the records from a file that they are written to, so that a slow look at each of them takes
no time from those who send and show.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, Final

from flows import audit
from flows.audit.cut import History, Truth
from flows.audit.published import Published
from flows.config.model import Config
from flows.demo.simulator import Record
from flows.source.history import FIRST_OFFSET

MOST_RECORDS: Final = 1_500_000
"""More are not remembered: they take about 1 GB, and two minutes to compute from."""
NICENESS: Final = 10
LOOK_S: Final = 0.2
_TOGETHER: Final = 500  # records in a batch
_SOON_S: Final = 1.0
_LENGTH: Final = struct.Struct("<I")


class Sent:
    """The records in the order of sending; use it as a context manager, so that its process ends with it.

    The offsets of live records are those that Kafka gives: nothing was in the topic before, and the producer keeps the
    order. Those of history are those that the job is given.
    """

    def __init__(self, config: Config, record_bytes: int, folder: Path, most: int = MOST_RECORDS) -> None:
        self.total = 0  # sent
        self.cut: Mapping[str, str] = {}  # the newest publish whose records are all remembered
        self._most = most
        self._offsets: dict[int, int] = {}  # of the next record of each partition that is remembered
        self._first_offset = FIRST_OFFSET
        self._batch: list[audit.Record] = []
        self._written_s = time.monotonic()
        file = folder / "sent"
        self._file = file.open("wb")
        spawn = multiprocessing.get_context("spawn")
        self._count = spawn.Value("q", 0, lock=False)
        self._questions, theirs = spawn.Pipe()  # theirs is closed here, so that the end of the process shows
        self._process = spawn.Process(
            target=_audit, args=(file, theirs, self._count, config, record_bytes), name="audit", daemon=True
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.join()
        self._file.close()

    def history_ends(self) -> None:
        """What is recorded from now on goes to the topic."""
        self._first_offset = 0
        self._offsets = {}

    def record(self, record: Record) -> None:
        """Note one record as sent."""
        self.total += 1
        if self.total > self._most:
            return
        offset = self._offsets.get(record.partition, self._first_offset)
        self._offsets[record.partition] = offset + 1
        self._batch.append(audit.Record(record.value, record.partition, offset, record.arrival_ms))
        if len(self._batch) >= _TOGETHER or time.monotonic() > self._written_s + _SOON_S:
            self._write()

    def see(self, fields: Mapping[str, str]) -> None:
        """Keep a publish as the one to compare, unless it counts records that are not remembered."""
        if self.complete or all(
            behind <= self._offsets.get(partition, self._first_offset)
            for partition, (_, behind) in Published(fields).spans.items()
        ):
            self.cut = fields

    @property
    def complete(self) -> bool:
        """Whether all that was sent is remembered."""
        return self.total <= self._most

    def truth(self, published: Published, progress: Callable[[int, int], None]) -> Truth:
        """The numbers at its cut; nothing can be sent any more.

        `progress` is told how many records have been read, of how many; RuntimeError when the audit has failed.
        """
        self._write()
        remembered = min(self.total, self._most)
        try:
            self._questions.send((dict(published.fields), remembered))
            while not self._questions.poll(LOOK_S):
                progress(self._count.value, remembered)
            answer: Truth = self._questions.recv()
        except (OSError, EOFError):
            self._process.join()
            raise RuntimeError(f"the audit has ended with exit code {self._process.exitcode}") from None
        return answer

    def _write(self) -> None:
        packed = pickle.dumps([(one.value, one.partition, one.offset, one.timestamp_ms) for one in self._batch], 5)
        self._file.write(_LENGTH.pack(len(packed)) + packed)
        self._file.flush()
        self._batch, self._written_s = [], time.monotonic()


def _audit(file: Path, questions: Connection, count: Any, config: Config, record_bytes: int) -> None:
    """Read what is written, as it comes, until somebody asks for the truth about a publish."""
    os.nice(NICENESS)
    parent = os.getppid()
    history = History(config, record_bytes)
    asked: tuple[Mapping[str, str], int] | None = None
    with file.open("rb") as opened:
        while asked is None or count.value < asked[1]:
            for values in _batches(opened):
                for value in values:
                    history.add(audit.Record(*value))
                count.value += len(values)
                if os.getppid() != parent:
                    return
            if asked is None and questions.poll(LOOK_S):
                asked = questions.recv()
            if os.getppid() != parent:
                return
    questions.send(history.truth(Published(asked[0])))


def _batches(file: BinaryIO) -> Iterator[list[tuple[bytes | None, int, int, int]]]:
    """What has been written whole."""
    while True:
        begins = file.tell()
        head = file.read(_LENGTH.size)
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
        packed = file.read(length)
        if not length or len(packed) < length:
            file.seek(begins)
            return
        yield pickle.loads(packed)
