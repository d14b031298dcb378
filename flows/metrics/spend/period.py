"""For which days money was spent: the local days from `period_start` to before `period_end`.

Each is a local date of the product's calendar, `2026-03-01`, or a time. A date begins with its day. A `period_end` that
lies inside a day takes that day in, so that a period has at least one day; `period_end` as a date, or at the very
beginning of a day, does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final

from flows.facts.field import Line, Said, Sample
from flows.facts.values import Properties, present, time_in
from flows.metrics.local_calendar import FIRST
from flows.metrics.local_days import LocalDays
from schemas.json_schema import time_schema
from schemas.json_text import Wrong, kind_of, string_of

START, END = "period_start", "period_end"
MOST_DAYS: Final = 3660
"""The longest period; so many times an amount, which is below 10^15, is below 2^63."""

_DATE: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_DATE_SCHEMA: Final = {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"}
_DAYS: Final = {
    START: "The first day that was paid for: a local date, or a time.",
    END: "The first day that was not: a local date; or a time, whose day counts unless it is the day's beginning.",
}


@dataclass(frozen=True)
class Periods:
    """Reads them in one time zone: the `Reading` of a Learnt field, which fills `first` and `days`."""

    time_zone: str

    @cached_property
    def _calendar(self) -> LocalDays:
        return LocalDays(self.time_zone)

    def look(self, found: Properties, said: Said) -> tuple[int, int]:
        """The number of the first day (day 0 is local_calendar.FIRST), and how many days there are."""
        first = self._day(found, START, ends=False)
        days = self._day(found, END, ends=True) - first
        if not 1 <= days <= MOST_DAYS:
            raise Wrong("bad_property", f"$.properties.{END}: expected 1 to {MOST_DAYS} days after {START}, got {days}")
        return first, days

    def _day(self, found: Properties, name: str, ends: bool) -> int:
        text = present(found, name)
        if text is not None and kind_of(text) == "str" and _DATE.fullmatch(string_of(text)):
            try:
                return _number(date.fromisoformat(string_of(text)))
            except ValueError:
                raise Wrong("bad_property", f"$.properties.{name}: there is no such date") from None
        time = time_in(found, name, needed=True)
        assert time is not None
        day = self._calendar.day_of(time)
        return _number(day) + (ends and self._calendar.begins(day) != time)

    def come_to(self, value: tuple[int, int], said: Said) -> Mapping[str, int]:
        return {"first": value[0], "days": value[1]}

    def required(self) -> list[str]:
        return [START, END]

    def schema(self) -> dict[str, Any]:
        times = [one for one in time_schema()["anyOf"] if one.get("type") != "null"]
        return {name: {"anyOf": [_DATE_SCHEMA, *times], "description": about} for name, about in _DAYS.items()}

    def constraints(self) -> dict[str, Any]:
        return {}

    def lines(self) -> list[Line]:
        return [
            Line(
                f"`{START}`, `{END}`",
                "a local date such as `2026-03-01`, or a time as above; the days from the first to before the last, "
                f"where a `{END}` inside a day takes that day in: 1 to {MOST_DAYS} of them; required",
                "`missing_field`, `bad_type`, `bad_property`",
            )
        ]

    def samples(self) -> Iterator[Sample]:
        yield {START: "2026-03-01", END: "2026-04-01"}, None
        for start, end in (
            ("2026-03-29", "2026-03-30"),
            ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-03-29T10:00:00+02:00", "2026-03-29T10:00:00+02:00"),
            ("2026-03-20", 1_774_742_400),
            (1_774_742_400_000, "2026-05-01"),
            ("2020-01-01", "2026-03-31"),
        ):
            yield {START: start, END: end}, None
        for start, end in (
            ("2026-03-02", "2026-03-02"),
            ("2026-03-02", "2026-03-01T12:00:00Z"),
            ("2026-02-30", "2026-03-02"),
            ("2026-03-01", "2026-13-01"),
            ("2026-3-1", "2026-04-01"),
            ("1999-12-31", "2026-03-01"),
            ("2001-01-01", "2026-03-01"),
            ("soon", "2026-03-01"),
        ):
            yield {START: start, END: end}, "bad_property"
        for name in (START, END):
            yield {name: None}, "missing_field"
            yield {name: True}, "bad_type"


def _number(day: date) -> int:
    return day.toordinal() - FIRST.toordinal()
