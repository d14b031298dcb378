"""What the simulated product has sent, as the audit reads it: what is published is held against this.

A process of its own reads the records from a file that they are written to, so that a slow look at each of them takes
no time from those who send and show.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from flows import audit
from flows.audit.cut import History, Truth
from flows.audit.published import Published, Top
from flows.config.limits import Limits
from flows.config.model import Config
from flows.demo.beside import Beside
from flows.demo.journal import Entry, Follower, Journal
from flows.demo.simulator import Record
from flows.source.history import FIRST_OFFSET

MOST_RECORDS: Final = 1_500_000
"""More are not remembered: they take about 1 GB, and two minutes to compute from."""
NICENESS: Final = 10
LOOK_S: Final = 0.2
_TOGETHER: Final = 500  # records in a batch
_SOON_S: Final = 1.0


class Sent:
    """The records in the order of sending; use it as a context manager, so that its process ends with it.

    The offsets of live records are those that Kafka gives: nothing was in the topic before, and the producer keeps the
    order. Those of history are those that the job is given.
    """

    def __init__(self, config: Config, limits: Limits, folder: Path, most: int = MOST_RECORDS) -> None:
        self.total = 0  # sent
        self.cut: Mapping[str, str] = {}  # the newest publish whose records are all remembered
        self.top: Top = {}  # its top lists
        self._most = most
        self._offsets: dict[int, int] = {}  # of the next record of each partition that is remembered
        self._first_offset = FIRST_OFFSET
        self._batch: list[Entry] = []
        self._written_s = time.monotonic()
        self.journal = Journal(folder / "sent", config, limits)
        self._audit = Beside(__name__, self.journal.file)

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *_error: object) -> None:
        self._audit.__exit__()
        self.journal.close()

    def history_ends(self) -> None:
        """What is recorded from now on goes to the topic."""
        self._write()
        self.journal.end_history()
        self._first_offset = 0
        self._offsets = {}

    def record(self, record: Record) -> None:
        """Note one record as sent."""
        self.total += 1
        if self.total > self._most:
            return
        offset = self._offsets.get(record.partition, self._first_offset)
        self._offsets[record.partition] = offset + 1
        self._batch.append(Entry(record.value, record.partition, offset, record.arrival_ms))
        if len(self._batch) >= _TOGETHER or time.monotonic() > self._written_s + _SOON_S:
            self._write()

    def see(self, fields: Mapping[str, str], top: Top | None = None) -> None:
        """Keep a publish as the one to compare, unless it counts records that are not remembered."""
        if self.complete or all(
            behind <= self._offsets.get(partition, self._first_offset)
            for partition, (_, behind) in Published(fields).spans.items()
        ):
            self.cut, self.top = fields, top or {}

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
            pickle.dump((dict(published.fields), remembered), self._audit.questions)
            self._audit.questions.close()
            while not isinstance(answer := pickle.load(self._audit.answers), Truth):
                progress(answer, remembered)
        except (OSError, EOFError):
            raise RuntimeError(f"the audit has ended with exit code {self._audit.wait()}") from None
        return answer

    def _write(self) -> None:
        self.journal.write(self._batch)
        self._batch, self._written_s = [], time.monotonic()


def main(file: Path, question: BinaryIO, answers: BinaryIO) -> None:
    """Read what is written, as it comes, until somebody asks for the truth about a publish, or is no more."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # Linux weighs sessions, and this process has one of its own
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")

    def tell(what: int | Truth) -> None:
        pickle.dump(what, answers)
        answers.flush()

    def asked(seconds: float) -> tuple[Mapping[str, str], int] | None:
        if not select.select([question], [], [], seconds)[0]:
            return None
        fields, of = pickle.load(question)
        return fields, of

    with Follower(file) as follower:
        history, count = History(follower.config, follower.limits), 0
        wanted: tuple[Mapping[str, str], int] | None = None
        while wanted is None or count < wanted[1]:
            for entries in follower.written():
                for entry in entries or ():
                    history.add(audit.Record(*entry))
                count += len(entries or ())
                wanted = wanted or asked(0)
                if wanted is not None:
                    tell(count)
            wanted = wanted or asked(LOOK_S)
    tell(history.truth(Published(wanted[0])))


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError):
        main(Path(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
