"""What computed breakdowns make of the link by which an event's user came: worked out once for each kind of link.

The loop (`link_loop.py`) finds what has been learnt; a link that is new goes to `Channels`, which decides, once. A
config without computed breakdowns has nothing of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flows.config.channels import LINK, facts
from flows.config.model import Breakdown
from flows.decode.channels import Channels, Link
from flows.decode.link_loop import UTM, Learnt, Missed, Parameters, mark
from flows.decode.scanner import ABSENT, NULL, Scanned
from flows.decode.texts import SPELLINGS, SPELLINGS_KEPT
from schemas.event import Container
from schemas.json_text import scalar_text


class Links:
    """The computed breakdowns of a config, and a bounded table of the links that have been seen."""

    def __init__(self, breakdowns: Mapping[str, Breakdown]) -> None:
        self._computed = [
            (8 * place, Channels(one), {label: code for code, label in enumerate(one.labels())})
            for place, one in enumerate(breakdowns.values())
            if one.computed is not None
        ]
        self._fields = np.zeros(0, np.int32)
        self._learnt = Learnt(np.zeros(SPELLINGS, np.uint64), np.zeros(SPELLINGS, np.uint64))
        self._kept = 0
        if self:
            names = [name.encode() for name in (*UTM, *facts().click_ids)]
            self._parameters = Parameters(
                np.array([int.from_bytes(name[:8], "little") for name in names], np.uint64),
                np.array([int.from_bytes(name[8:], "little") for name in names], np.uint64),
                np.zeros(len(UTM), np.uint64),
            )
            self._direct = np.array([self.word(Link())], np.uint64)

    def __bool__(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._computed)

    def paths(self) -> list[tuple[str, ...]]:
        """The fields that it looks at."""
        return list(LINK) if self else []

    def read_from(self, fields: NDArray[np.int32], records: int) -> None:
        """`fields` are the numbers of those of `paths` in scanned batches of at most so many records."""
        self._fields = fields
        self._missed = Missed(np.zeros(records, np.int64), np.zeros(records, np.uint64), np.zeros(1, np.int64))

    def mark(self, scanned: Scanned, fates: NDArray[np.uint8], rows: NDArray[np.void]) -> None:
        """Put the values of a batch into `dims` of those of its rows whose fate is ROW."""
        if self._kept > SPELLINGS_KEPT:
            self._learnt.keys[:] = 0
            self._kept = 0
        missed = self._missed
        mark(scanned, self._fields, self._parameters, self._learnt, self._direct, fates, rows, missed)
        new: dict[int, int] = {}
        count = int(missed.counts[0])
        for record, key in zip(missed.records[:count].tolist(), missed.keys[:count].tolist(), strict=True):
            if key not in new:
                new[key] = self.word(self._link(scanned, record))
                self._learn(key, new[key])
            rows["dims"][record] |= np.uint64(new[key])

    def word_of(self, values: Sequence[str | Container | None]) -> int:
        """The bytes of `dims` for a record whose fields at `paths` hold these values."""
        return self.word(Link(*(value if isinstance(value, str) else None for value in values))) if self else 0

    def word(self, link: Link) -> int:
        """The bytes of `dims`."""
        return sum(codes[channels.value_of(link)] << place for place, channels, codes in self._computed)

    def _link(self, scanned: Scanned, record: int) -> Link:
        texts = []
        for field in self._fields.tolist():
            text = None
            if scanned.kinds[record, field] not in (ABSENT, NULL):
                begin, end = scanned.begins[record, field], scanned.ends[record, field]
                # An array or object is known by where it begins.
                text = scalar_text(scanned.buffer[begin : max(end, begin + 1)].tobytes())
            texts.append(text if isinstance(text, str) else None)
        return Link(*texts)

    def _learn(self, key: int, word: int) -> None:
        if self._kept >= SPELLINGS - 2048:  # always with room to end a search
            return
        slot = key & (SPELLINGS - 1)
        while self._learnt.keys[slot] != 0:
            slot = (slot + 1) & (SPELLINGS - 1)
        self._learnt.keys[slot] = key
        self._learnt.words[slot] = word
        self._kept += 1
