"""The simulated product's past: it is lived through here, and counted into the job's state by a process beside it."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from flows.demo.beside import Beside
from flows.demo.feed import Witness
from flows.demo.journal import Entry, Follower
from flows.demo.simulator import Record
from flows.run.backfill import backfill
from flows.source.history import HistorySource, Slice

TOLD_RECORDS: Final = 20_000
SLICE_RECORDS: Final = 20_000
LOOK_S: Final = 0.02
LAST_LINES: Final = 30


def live_through(
    records: Iterator[Record], until_ms: int, witness: Witness, progress: Callable[[int], None]
) -> Iterator[Record]:
    """Report the records up to `until_ms` to a witness, and return the others.

    `progress` is called with the time reached so far (ms).
    """
    for count, record in enumerate(records):
        if record.arrival_ms > until_ms:
            return chain((record,), records)
        witness.record(record)
        if count % TOLD_RECORDS == 0:
            progress(record.arrival_ms)
    return iter(())


class Counting(Beside):
    """Counts the history in a `journal`, while that is written, into a new state folder."""

    def __init__(self, journal: Path, state: Path, topic: str, partitions: int, as_of_ms: int) -> None:
        super().__init__(__name__, journal, state, topic, partitions, as_of_ms)

    def finish(self, progress: Callable[[str], None]) -> None:
        """Wait until everything is counted, telling `progress` each line. Raises RuntimeError if counting fails."""
        lines: deque[str] = deque(maxlen=LAST_LINES)
        for line in self.answers:
            lines.append(line.decode().rstrip())
            progress(lines[-1])
        if code := self.wait():
            raise RuntimeError(f"counting the past ended with exit code {code}:\n" + "\n".join(lines))


def main(journal: Path, state: Path, topic: str, partitions: int, as_of_ms: int) -> None:
    """Count the history, printing progress as lines of text. Raises EOFError once the parent process is gone."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())  # so that errors are among the last lines
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with Follower(journal) as follower:
        source = HistorySource(topic, partitions, _slices(_history(follower)), as_of_ms=as_of_ms)
        backfill(follower.config, source, state, follower.limits)


def _history(follower: Follower) -> Iterator[Entry]:
    """The entries up to the end of the history, whenever they are written."""
    while True:
        for entries in follower.written():
            if entries is None:
                return
            yield from entries
        if select.select([sys.stdin], [], [], LOOK_S)[0]:
            raise EOFError


def _slices(entries: Iterator[Entry]) -> Iterator[Mapping[int, Slice]]:
    """By partition, one span of time after the other."""
    together: dict[int, Slice] = {}
    for count, entry in enumerate(entries, 1):
        found = together.get(entry.partition)
        if found is None:
            found = together[entry.partition] = Slice([], [])
        found.values.append(entry.value)
        found.timestamps_ms.append(entry.arrival_ms)
        if count % SLICE_RECORDS == 0:
            print(f"the past is being counted: {count:,} records ...", flush=True)
            yield together
            together = {}
    if together:
        yield together


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
