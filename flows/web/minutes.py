"""The closed minutes of today and the day before, each read once, as columns to draw and to add up.

A minute is final, so what has been read stays. Nothing is searched for in Redis: the names of minutes are computed from
the watermark. A minute that is not there, within the history and after its numbers began, had nothing in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from flows.config.model import Config
from flows.metrics.catalogue import Catalogue

MINUTE_MS: Final = 60_000
DAY: Final = 1440  # minutes
ABBREVIATED: Final = ("mrr",)
PEOPLE: Final = frozenset({"active_users"})
"""Distinct users of one minute: somebody may be among those of the next, so these are never added up."""
SETTLES: Final = 10
"""Minutes not found are looked for again while they are among the last so many: an outage may still write them."""


class Minutes:
    """Closed minutes of a product, by field."""

    def __init__(self, config: Config, fields: Sequence[str]) -> None:
        self.fields = list(fields)
        self._zone = ZoneInfo(config.time_zone)
        self._kept = config.minute_history // MINUTE_MS
        self._found: dict[int, list[int]] = {}  # number of the minute -> its values
        self._looked: set[int] = set()  # minutes that need not be looked for again
        self.run = ""  # whose minutes they are
        self.first = 0  # number of the first minute in `counts`
        self.midnight = 0  # number of the first minute of today
        self.counts: NDArray[np.int64] = np.zeros((0, len(self.fields)), np.int64)  # a row for each minute

    @property
    def end(self) -> int:
        """The number of the minute that is open."""
        return self.first + len(self.counts)

    def wanted(self, watermark: datetime, run: str) -> list[datetime]:
        """The minutes to read: those closed at `watermark`, today or the day before, that are not known yet.

        A new run may find that an older one has left some out, so that all are read again.
        """
        if run != self.run:
            self.run = run
            self._found.clear()
            self._looked.clear()
        first, _, end = self._range(watermark)
        return [_time(minute) for minute in range(max(first, end - self._kept), end) if minute not in self._looked]

    def take(self, watermark: datetime, asked: Sequence[datetime], found: Sequence[Mapping[str, int] | None]) -> None:
        """What was read of the minutes asked for at `watermark`."""
        first, midnight, end = self._range(watermark)
        for start, values in zip(asked, found, strict=True):
            minute = int(start.timestamp()) // 60
            if values is not None:
                self._found[minute] = [values.get(name, 0) for name in self.fields]
            if values is not None or minute < end - SETTLES:
                self._looked.add(minute)
        for minute in [minute for minute in self._looked if minute < first]:
            self._looked.discard(minute)
            self._found.pop(minute, None)
        counts = np.zeros((end - first, len(self.fields)), np.int64)
        for minute, row in self._found.items():
            if first <= minute < end:
                counts[minute - first] = row
        self.first, self.midnight, self.counts = first, midnight, counts

    def _range(self, watermark: datetime) -> tuple[int, int, int]:
        """The first minute that is of interest at `watermark`, that of midnight, and the open one."""
        end = int(watermark.timestamp()) // 60
        today = datetime.fromtimestamp(end * 60, self._zone).replace(hour=0, minute=0, second=0, microsecond=0)
        midnight = int(today.timestamp()) // 60
        return min(midnight, end) - DAY, midnight, end

    def known_from(self, since_ms: int, as_of_ms: int) -> int:
        """The first minute of which Redis has everything: not older than the history, begun after the counting."""
        return max(-(-since_ms // MINUTE_MS), -(-as_of_ms // MINUTE_MS) - self._kept, self.first)

    def total(self, field: str, first: int, end: int) -> int:
        """The sum over the minutes from `first` to before `end`; ValueError for people, who are never added up."""
        if field in PEOPLE and end - first != 1:
            raise ValueError(f"{field} of several minutes cannot be added up")
        return int(self.counts[first - self.first : end - self.first, self.fields.index(field)].sum())

    def column(self, field: str, first: int, end: int) -> list[int]:
        """The values of the minutes from `first` to before `end`, as far as they are there."""
        found: list[int] = self.counts[max(0, first - self.first) : end - self.first, self.fields.index(field)].tolist()
        return found


def _time(minute: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(minutes=minute)


def titles(fields: Sequence[str]) -> dict[str, str]:
    """What each field of a minute or day is called."""
    return {field: _title(field) for field in fields}


def _title(field: str) -> str:
    """`funnel.checkout.entered` as `Checkout entered`."""
    words = re.sub(r"^(funnel|goal)\.", "", field).replace(".", " ").replace("_", " ")
    return words.upper() if words in ABBREVIATED else words[:1].upper() + words[1:]


def counterparts(listed: Catalogue) -> dict[str, str]:
    """Stem of a cell -> the field of a minute that counts the same.

    Their names differ in the order of their words alone (`users.new` and `new_users`), but for the attempts that
    entered a funnel: those are its first step's.
    """
    stems = {cell.stem for cell in listed.cells if cell.metric is not None}
    words = {tuple(sorted(stem.replace(".", "_").split("_"))): stem for stem in stems}
    found = {}
    for field in listed.minute_fields:
        prefix = field.removesuffix(".entered") + ".01_"
        first = [stem for stem in stems if field.endswith(".entered") and stem.startswith(prefix)]
        stem = first[0] if first else words.get(tuple(sorted(field.replace(".", "_").split("_"))))
        if stem is not None:
            found[stem] = field
    return found
