"""Reads NDJSON from a file or standard input as if it were a Kafka topic that ends: for `replay`, for tests.

Line i is record i // partitions of partition i % partitions. Gzip is recognised by its first bytes. Time
moves with the events only: nothing that is handed on carries a clock.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.config.limits import Limits
from flows.messages.raw import Raw, Rejected
from flows.messages.tick import Tick
from flows.process.outcomes import Outcome, SourceError
from flows.source.ticks import Part, Ticker

Item = Raw | Tick
Progress = Callable[[int, int | None], None]
"""Told (bytes read, bytes in all) of the file as it lies on disk; None: not known in advance."""

STDIN: Final = "-"
_BLOCK_BYTES: Final = 1024 * 1024
_GZIP: Final = b"\x1f\x8b"


class FileSource(FixedPartitionedSource[Item, int]):
    """Hands on each line once, then one final tick that advances the stream clock to `as_of_ms`.

    Raises `SourceError` at once when the file cannot be opened. What goes wrong later ends the flow and
    stands in `failure`; then there is no final tick. `tick_ms`: also tick while reading, that often; 0:
    never.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        partitions: int = 1,
        limits: Limits | None = None,
        as_of_ms: int | None = None,
        tick_ms: int = 0,
        progress: Progress | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if partitions < 1:
            raise SourceError(f"a file is read as 1 or more partitions, not {partitions}")
        self.outcome: Outcome = "running"
        self.failure: SourceError | None = None
        self.name = "standard input" if str(path) == STDIN else str(path)
        self._partitions = partitions
        self._limits = limits or Limits()
        self._as_of_ms = as_of_ms
        self._ticker = Ticker(tick_ms, timed=False, monotonic=monotonic)
        self._ticks = tick_ms > 0
        self._progress = progress
        self._file, self._bytes, self._lines = self._open(path)
        self._read = 0  # lines so far
        self._at_end = False
        self._waiting: list[list[bytes]] = [[] for _ in range(partitions)]
        self._next_offset = [0] * partitions  # of the first line not yet handed on
        self._told = [False] * partitions
        self._living = set(range(partitions))
        self._ended = False

    def stop(self) -> None:
        """End the flow gracefully within a round. Only sets a field, so a signal handler may call it."""
        if self.outcome == "running":
            self.outcome = "stopped"

    def check(self) -> None:
        """Raise the `SourceError` that has ended the flow, if one has."""
        if self.failure is not None:
            raise self.failure

    def flow_finished(self) -> None:
        """Nothing to do; `KafkaSource` has it."""

    def place(self, rejected: Rejected) -> str:
        """Where a record is in the file: `line 3`."""
        return f"line {rejected.offset * self._partitions + rejected.partition + 1:,}"

    def polls(self) -> Iterator[Raw]:
        """All records in their order, without a dataflow; raises `SourceError` where the file cannot be read on."""
        parts = {number: self.build_part("source", name, None) for number, name in enumerate(self.list_parts())}
        while parts:
            for number, part in list(parts.items()):
                try:
                    yield from (item for item in part.next_batch() if isinstance(item, Raw))
                except StopIteration:
                    del parts[number]
        self.check()

    def close(self) -> None:
        """Close the file."""
        if self.name != "standard input":
            self._file.close()

    # What Bytewax calls

    def list_parts(self) -> list[str]:
        """One name per partition."""
        return [f"{number:05d}" for number in range(self._partitions)]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> StatefulSourcePartition[Item, int]:
        """A part that begins at its line `resume_state`."""
        number = int(for_part)
        self._next_offset[number] = resume_state or 0
        return Part(self, number)

    # What the parts call

    def round(self, number: int) -> list[Item]:
        """What part `number` hands on now; raises StopIteration when it has nothing more to say."""
        leads = number == min(self._living)
        if self.outcome == "running":
            try:
                self._fill(number)
            except SourceError as failure:
                self.outcome, self.failure = "failed", failure
        if self.outcome == "running":
            items: list[Item] = []
            if raw := self._take(number):
                items.append(raw)
            elif not leads:
                self._leave(number)
            elif self._living == {number}:
                self.outcome = "finished"
            if leads and self._ticks and self.outcome == "running" and (tick := self._ticker.due()):
                items.append(tick)
            if self.outcome == "running":
                return items
        if leads and not self._ended and self.outcome != "failed":
            self._ended = True
            return [self._ticker.final(self._as_of_ms if self.outcome == "finished" else None)]
        self._leave(number)
        return []

    def snapshot(self, number: int) -> int:
        """The next line of part `number`, counted in its own lines."""
        return self._next_offset[number]

    def _take(self, number: int) -> Raw | None:
        """Up to `limits.poll_records` waiting lines; None: there are and will be none."""
        limit = self._limits.poll_records
        waiting = self._waiting[number]
        if not waiting and self._told[number]:
            return None
        lines, self._waiting[number] = waiting[:limit], waiting[limit:]
        first = self._next_offset[number]
        self._next_offset[number] = first + len(lines)
        self._told[number] = self._at_end and not self._waiting[number]
        return Raw.of(
            topic=self.name,
            partition=number,
            partitions=self._partitions,
            values=lines,
            offsets=range(first, first + len(lines)),
            timestamps_ms=[-1] * len(lines),
            caught_up=self._told[number],
            monotonic_ms=None,
        )

    def _leave(self, number: int) -> None:
        self._living.discard(number)
        raise StopIteration

    # Reading

    def _fill(self, number: int) -> None:
        """Read until the part has a poll's worth of lines; every other part then has one, too.

        One line more is wanted than a poll takes, so that the last lines are known to be the last.
        """
        while not self._at_end and len(self._waiting[number]) <= self._limits.poll_records:
            lines = next(self._lines, None)
            if lines is None:
                self._at_end = True
                return
            self._deal(lines)

    def _deal(self, lines: list[bytes]) -> None:
        for number in range(self._partitions):
            skipped = (number - self._read) % self._partitions
            dealt = lines[skipped :: self._partitions]
            # After a resume, the lines before the part's position have been handed on already.
            offset = (self._read + skipped) // self._partitions
            behind = self._next_offset[number] + len(self._waiting[number]) - offset
            self._waiting[number] += dealt[behind:] if behind > 0 else dealt
        self._read += len(lines)

    def _open(self, path: str | Path) -> tuple[BinaryIO, int | None, Iterator[list[bytes]]]:
        try:
            if str(path) == STDIN:
                file = cast(BinaryIO, sys.stdin.buffer)
                size = None
            else:
                file = open(path, "rb")  # noqa: SIM115 (closed by close())
                info = os.fstat(file.fileno())
                size = info.st_size if stat.S_ISREG(info.st_mode) else None
            head = file.read(len(_GZIP))
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error.strerror}") from error
        return file, size, self._split(_Rest(file, head), zipped=head == _GZIP)

    def _split(self, rest: _Rest, *, zipped: bool) -> Iterator[list[bytes]]:
        """Lists of lines without their ends; one longer than the record limit is cut to a byte more than it.

        So it needs no more memory than a block, and is still too large for whoever checks. What follows the
        last line end is a line unless it is empty.
        """
        stream = cast(BinaryIO, rest)
        if zipped:
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
        longest = self._limits.record_bytes + 1
        begun = b""  # of a line whose end has not been read yet
        while block := self._block(stream, rest):
            head, *lines = block.split(b"\n")
            begun = (begun + head)[:longest]
            if lines:
                whole = [begun, *lines]
                begun = whole.pop()[:longest]
                yield [line[:longest] for line in whole] if max(map(len, whole)) > longest else whole
        if begun:
            yield [begun]

    def _block(self, stream: BinaryIO, rest: _Rest) -> bytes:
        try:
            block = stream.read(_BLOCK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(f"{self.name} is broken gzip after {rest.given} bytes: {error}") from error
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read on: {error.strerror}") from error
        if self._progress is not None:
            self._progress(rest.given, self._bytes)
        return block


class _Rest:
    """A file whose first bytes have been read already, whole again; a pipe cannot be rewound."""

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self._file = file
        self._head = head
        self.given = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer than that do not mean the end, none do."""
        block = self._head or self._file.read1(size)  # type: ignore[attr-defined]
        self._head = b""
        self.given += len(block)
        return cast(bytes, block)
