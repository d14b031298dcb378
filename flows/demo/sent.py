"""What the simulated product has sent, as the audit reads it: what is published is held against this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Final

from flows import audit
from flows.audit.cut import History, Truth
from flows.audit.published import Published
from flows.config.model import Config
from flows.demo.simulator import Record

MOST_RECORDS: Final = 400_000
"""More are not remembered: 400 MB, 20 minutes at 300/s with the history before, and half a minute to compute from."""


class Sent:
    """The records in the order of sending; a thread of its own reads them while the job still starts.

    The offsets are those that Kafka gives: nothing was in the topic before, and the producer keeps the order.
    """

    def __init__(self, config: Config, record_bytes: int, most: int = MOST_RECORDS) -> None:
        self.total = 0  # sent
        self.cut: Mapping[str, str] = {}  # the newest publish whose records are all remembered
        self._most = most
        self._history = History(config, record_bytes)
        self._offsets: Counter[int] = Counter()  # of the next record of each partition that is remembered
        self._waiting: SimpleQueue[audit.Record | None] = SimpleQueue()
        self._reader = Thread(target=self._read, name="audit", daemon=True)
        self._reader.start()

    def record(self, record: Record) -> None:
        """Note one record as sent."""
        self.total += 1
        if self.total <= self._most:
            offset = self._offsets[record.partition]
            self._offsets[record.partition] += 1
            self._waiting.put(audit.Record(record.value, record.partition, offset, record.arrival_ms))

    def see(self, fields: Mapping[str, str]) -> None:
        """Keep a publish as the one to compare, unless it counts records that are not remembered."""
        if self.complete or all(
            behind <= self._offsets[partition] for partition, (_, behind) in Published(fields).spans.items()
        ):
            self.cut = fields

    @property
    def complete(self) -> bool:
        """Whether all that was sent is remembered."""
        return self.total <= self._most

    def truth(self, published: Published) -> Truth:
        """The numbers at its cut; nothing can be sent any more."""
        self._waiting.put(None)
        self._reader.join()
        return self._history.truth(published)

    def _read(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._history.add(record)
