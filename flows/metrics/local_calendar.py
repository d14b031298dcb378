"""On which local day an instant lies, for compiled loops: one table of when all days begin."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined

DAY_MS: Final = 86_400_000
FIRST, LAST = date(1999, 12, 1), date(2101, 12, 31)
"""Around every time that an event may have (2000 to 2100)."""
FIRST_UTC: Final = FIRST.toordinal() - date(1970, 1, 1).toordinal()


@cache
def days_of(time_zone: str) -> NDArray[np.int64]:
    """When each day begins (ms), by its number, day 0 being FIRST; where midnight is skipped, at that very instant."""
    zone = ZoneInfo(time_zone)
    days = (date.fromordinal(number) for number in range(FIRST.toordinal(), LAST.toordinal() + 1))
    return np.array([int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000 for day in days])


@inlined
def day_at(begins: NDArray[np.int64], ts: int) -> Any:
    """The number of the day of `ts` (ms)."""
    day = ts // DAY_MS - FIRST_UTC
    while ts < begins[day]:
        day -= 1
    while ts >= begins[day + 1]:
        day += 1
    return day
