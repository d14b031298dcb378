"""The final numbers of each closed minute (METRICS.md 3.7, ordered).

`MinuteBook` is the shared page that the ordered families write to, each in columns of its own. A count at time t
belongs to the minute of t; a minute is closed, and its numbers are final, when the watermark has reached its end:
events that come late, but in order for their user, change none of it. The same counts go to the local day of t, in
`days.py`.
`Minutes` itself counts events and distinct active users. Minutes in which nothing happened are not reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.model import Config
from flows.messages.columns import NO_TIME
from flows.metrics.days import Calendar, DayBook, begin_of_day, note_on_day, stand_on
from flows.metrics.family import Family, events_that_count, presence_of_active
from flows.metrics.rows import Block
from flows.state.axes import Legend
from flows.state.container import Arrays, Container
from flows.state.rows import UserRows

MINUTE_MS: Final = 60_000


class Page(NamedTuple):
    """The arrays as kernels take them."""

    counts: NDArray[np.int64]  # (minutes kept, fields), at minute % kept
    head: NDArray[np.int64]  # (1,) the newest minute that has a row
    open: NDArray[np.int64]  # (1,) the oldest that is not closed: the newest of the turn before
    days: Calendar
    of_days: NDArray[np.int64]  # (fields,) the same field's column in the days


class MinuteBook(Container):
    """A ring of minutes, as long as the history that is kept; a family that writes to it takes columns of its own."""

    def __init__(self, config: Config) -> None:
        self._kept = max(1, config.minute_history // MINUTE_MS) + 1
        self.fields: list[str] = []  # of a minute, in the order of the columns
        self.parts: list[str] = []  # of the state that they belong to
        self.days = DayBook(config)
        self._of_days: list[int] = []
        first = np.full(1, NO_TIME // MINUTE_MS, np.int64)
        self._counts, self._head, self._open = np.zeros((self._kept, 0), np.int64), first, first.copy()
        self._reported = NO_TIME // MINUTE_MS  # minutes below were given out; not saved: after a restart all are again

    def columns(self, part: str, *fields: str) -> int:
        """Give `fields` of a part of the state columns, one beside the other, here and in the days; returns the number
        of the first.
        """
        first = len(self.fields)
        self.parts += [part] * len(fields)
        self.fields += fields
        self._counts = np.zeros((self._kept, len(self.fields)), np.int64)
        of_days = self.days.columns(part, *fields)
        self._of_days += range(of_days, of_days + len(fields))
        return first

    @cached_property
    def page(self) -> Page:
        """For kernels that write to it, once all families have their columns."""
        of_days = np.array(self._of_days, np.int64)
        return Page(self._counts, self._head, self._open, self.days.calendar, of_days)

    @property
    def stands_ms(self) -> int:
        """When the newest minute began."""
        return int(self.page.head[0]) * MINUTE_MS

    def turn(self, now_ms: int) -> None:
        """Let the minute of `now_ms` be the newest; what is older than the history is forgotten.

        The minutes before the one that was the newest are closed.
        """
        self.page.open[...] = self.page.head
        _turn(self.page, now_ms)

    def closed(self, now_ms: int) -> dict[int, NDArray[np.int64]]:
        """Minutes closed at `now_ms` and not given out before: start (epoch ms) -> one count per field."""
        end = now_ms // MINUTE_MS
        if end <= self._reported:
            return {}
        kept = len(self.page.counts)
        first = max(self._reported, end - kept + 1)
        self._reported = end
        minutes = np.arange(first, end)
        counts = self.page.counts[minutes % kept]
        eventful = counts.any(axis=1)
        return dict(zip((minutes[eventful] * MINUTE_MS).tolist(), counts[eventful], strict=True))

    def save(self, users: int) -> Arrays:
        return {"counts": self.page.counts, "head": self.page.head}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.page.counts[...] = arrays["counts"]
        self.page.head[...] = arrays["head"]

    def legend(self) -> Legend:
        return {"fields": self.fields, "minutes": len(self.page.counts)}

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """As many of the newest minutes as there is room for, the fields by name."""
        counts, head = np.zeros_like(self.page.counts), int(arrays["head"][0])
        minutes = np.arange(max(0, head - min(len(counts), past["minutes"]) + 1), head + 1)
        for column, field in enumerate(self.fields):
            if field in past["fields"]:
                was = past["fields"].index(field)
                counts[minutes % len(counts), column] = arrays["counts"][minutes % past["minutes"], was]
        return {"counts": counts, "head": arrays["head"]}

    def restart(self, part: str) -> None:
        """Let the fields of a part that starts afresh begin with the open minute: closed ones are final."""
        for column, of in enumerate(self.parts):
            if of == part and self.page.head[0] > 0:
                self.page.counts[self.page.head[0] % len(self.page.counts), column] = 0


@steady
def _turn(page: Page, now: int) -> None:
    head = now // MINUTE_MS
    kept = len(page.counts)
    for minute in range(max(page.head[0], head - kept) + 1, head + 1):
        for column in range(page.counts.shape[1]):
            page.counts[minute % kept, column] = 0
    page.head[0] = max(page.head[0], head)
    stand_on(page.days, now)


@inlined
def note(page: Page, ts: int, column: int, amount: int) -> None:
    """Count `amount` in the minute and on the day of `ts` (ms, not after the time the book stands at), where those are
    not closed.
    """
    _note_in_minute(page, ts, column, amount)
    note_on_day(page.days, ts, open_from(page), page.of_days[column], amount)


@inlined
def open_from(page: Page) -> Any:
    """What ends after this (ms) is not closed."""
    return page.open[0] * MINUTE_MS


@inlined
def _note_in_minute(page: Page, ts: int, column: int, amount: int) -> None:
    minute = ts // MINUTE_MS
    kept = len(page.counts)
    if minute >= page.open[0] and minute > page.head[0] - kept:
        page.counts[minute % kept, column] += amount


class Minutes(Family):
    """Events and distinct users of each minute."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = ({"minute_history": "30m", "events": ["Viewed"]},)
    ordered: ClassVar[bool] = True

    def __init__(self, config: Config, book: MinuteBook) -> None:
        self._config = config
        self._book = book
        self._events = book.columns("minutes", "events", "active_users")
        self._counts = events_that_count(config)
        self.last = UserRows(np.int32)  # the newest minute in which the user was active

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        _advance(rows, self._counts, self.last.rows, self._events, self._book.page)

    def read(self) -> NDArray[np.int64]:
        return np.zeros(0, np.int64)

    def blocks(self) -> list[Block]:
        return []

    def definition(self) -> Definition:
        return presence_of_active(self._config)


@steady
def _advance(rows: NDArray[Any], counts: NDArray[np.bool_], last: NDArray[np.int32], events: int, page: Page) -> None:
    for i in range(len(rows)):
        prefetch(last, upcoming(rows, i))
        row = rows[i]
        note(page, row["ts"], events, 1)
        minute = row["ts"] // MINUTE_MS
        if counts[row["code"]] and minute > last[row["slot"]]:
            if last[row["slot"]] < begin_of_day(page.days, row["ts"]) // MINUTE_MS:
                note_on_day(page.days, row["ts"], open_from(page), page.of_days[events + 1], 1)
            last[row["slot"]] = minute
            _note_in_minute(page, row["ts"], events + 1, 1)
