"""The final numbers of each closed local day (METRICS.md 5.16, ordered), kept for 400 days.

`DayBook` is to days what the minute book is to minutes, and counts beside it whatever that counts: see `note`. Some
fields are of days alone: distinct users, goals, orders, what customers pay at the day's end, and who came back on day N
of those who started on a date. A day is closed, and its numbers are final, when the watermark has reached its end; a
number that has to wait for a later day (`Wait`) is final, and part of the day, when that one is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.config.model import Config
from flows.messages.columns import NO_TIME
from flows.messages.snapshot import DAY_HISTORY_MS
from flows.metrics.local_calendar import DAY_MS, FIRST, day_at, days_of
from flows.state.axes import Legend, Names
from flows.state.container import Arrays, Container
from flows.state.days import Days, Sheet, add_on, turn_to

DAYS_KEPT: Final = DAY_HISTORY_MS // DAY_MS


class Wait(NamedTuple):
    """How long after its end a day's number is final: when so many more dates are over, and so many ms after that."""

    dates: int = 0
    ms: int = 0


class DayField(NamedTuple):
    """One number of a day."""

    name: str
    part: str  # of the state
    wait: Wait


class Calendar(NamedTuple):
    """The arrays as kernels take them."""

    sheet: Sheet
    begins: NDArray[np.int64]  # of local days (ms)


class DayBook(Container):
    """A ring of days; a family that writes to it takes columns of its own. Days are numbered as in `local_calendar`."""

    def __init__(self, config: Config) -> None:
        self.fields: list[DayField] = []  # in the order of the columns
        self._time_zone = config.time_zone
        self._begins = days_of(config.time_zone)
        self._days = Days(DAYS_KEPT + 1, Names(()))
        self._reported_ms = NO_TIME  # what was final by then was given out; not saved: after a restart all is again
        self._next_ms = NO_TIME  # until then nothing more becomes final

    def columns(self, part: str, *names: str, wait: Wait = Wait()) -> int:  # noqa: B008 - it cannot be changed
        """Give the fields `names` of a part of the state columns, one beside the other; returns the first's number."""
        first = len(self.fields)
        self.fields += [DayField(name, part, wait) for name in names]
        self._days = Days(DAYS_KEPT + 1, Names([field.name for field in self.fields]))
        return first

    @property
    def calendar(self) -> Calendar:
        """For kernels that write to it."""
        return Calendar(self._days.sheet, self._begins)

    def ends(self, after_ms: int, until_ms: int) -> list[tuple[int, int]]:
        """The days that end after the one time and not after the other (ms), and when; no more than are kept."""
        first, last = np.searchsorted(self._begins, (after_ms, until_ms), side="right")
        days = range(max(int(first), int(last) - DAYS_KEPT) - 1, int(last) - 1)
        return [(day, int(self._begins[day + 1])) for day in days]

    def put(self, day: int, column: int, values: NDArray[np.int64]) -> None:
        """Let the columns from that one on have these values on a day that is kept."""
        sheet = self._days.sheet
        if day > sheet.head[0] - len(sheet.counts):
            sheet.counts[day % len(sheet.counts), column : column + len(values)] = values

    def closed(self, now_ms: int) -> dict[int, NDArray[np.int64]]:
        """Days with a number that is final at `now_ms` and was not before: day -> one count per field.

        `finals` says which of the counts are final.
        """
        if now_ms < self._next_ms or not self.fields:
            return {}
        counts, head = self._days.sheet.counts, int(self._days.sheet.head[0])
        days = np.arange(max(0, head - DAYS_KEPT), head + 1)
        times = np.stack([self._final_at(days, wait) for wait in {field.wait for field in self.fields}])
        told = days[((times > self._reported_ms) & (times <= now_ms)).any(axis=0)]
        self._reported_ms = now_ms
        later = times[times > now_ms]
        self._next_ms = int(later.min()) if len(later) else NO_TIME
        rows = counts[told % len(counts)]
        filled = rows.any(axis=1)
        return dict(zip(told[filled].tolist(), rows[filled], strict=True))

    def finals(self, day: int, now_ms: int, counts: NDArray[np.int64]) -> dict[str, int]:
        """Those of a day's counts that are final at `now_ms`, by the field's name."""
        return {
            field.name: count
            for field, count in zip(self.fields, counts.tolist(), strict=True)
            if self._final_at(day, field.wait) <= now_ms
        }

    def _final_at(self, day: Any, wait: Wait) -> Any:
        return self._begins[day + wait.dates + 1] + wait.ms

    def save(self, users: int) -> Arrays:
        return self._days.save(users)

    def upgraded(self, arrays: Arrays) -> Arrays:
        """Earlier builds kept no days."""
        return arrays or Days(DAYS_KEPT + 1, Names(())).save(0)

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._days.load(arrays, capacity)

    def legend(self) -> Legend:
        return {"fields": self._days.legend(), "time_zone": self._time_zone}

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """The fields by name; what is not closed when days begin at another time begins afresh."""
        if past is None:
            return arrays
        carried = self._days.carry(arrays, past["fields"])
        if past["time_zone"] != self._time_zone:
            open_day = int(carried["head"][0]) % (DAYS_KEPT + 1)
            kept = carried["places"] // max(1, len(self.fields)) != open_day
            carried |= {name: carried[name][kept] for name in ("places", "counts")}
        return carried

    def restart(self, part: str) -> None:
        """Let the fields of a part that starts afresh begin with what is not final."""
        counts, head = self._days.sheet.counts, int(self._days.sheet.head[0])
        for column, field in enumerate(self.fields):
            if field.part == part and head >= 0:
                open_days = np.arange(max(0, head - field.wait.dates - field.wait.ms // DAY_MS), head + 1)
                counts[open_days[-len(counts) :] % len(counts), column] = 0


def date_of(day: int) -> date:
    """The date of a day's number."""
    return FIRST + timedelta(day)


@inlined
def stand_on(calendar: Calendar, now: int) -> None:
    """Let the day of `now` (ms) be the newest; what is older than the history is forgotten."""
    turn_to(calendar.sheet, day_at(calendar.begins, now))


@inlined
def begin_of_day(calendar: Calendar, ts: int) -> Any:
    """When the day of `ts` began (ms)."""
    return calendar.begins[day_at(calendar.begins, ts)]


@inlined
def note_on_day(calendar: Calendar, ts: int, bound: int, column: int, amount: int) -> None:
    """Count `amount` on the day of `ts` (ms), unless that was closed at `bound` (ms)."""
    day = day_at(calendar.begins, ts)
    if calendar.begins[day + 1] > bound:
        add_on(calendar.sheet, day, column, amount)
