"""The days of the product's calendar: when each begins, in its time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from flows.messages.columns import NO_TIME

DAY_MS: Final = 86_400_000
QUARTER_MS: Final = 15 * 60_000
"""Days begin at a multiple of a quarter of an hour, in every time zone of this century."""


class LocalDays:
    """The calendar of one time zone, and the day on which it was last asked what day it is."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._quarter = NO_TIME // QUARTER_MS  # of an hour, in which it was last asked
        self.today = date.min

    def turn(self, now_ms: int) -> bool:
        """Whether another day has begun since the last call; cheap enough to be asked with every tick."""
        quarter, self._quarter = self._quarter, now_ms // QUARTER_MS
        if quarter == self._quarter:
            return False
        before, self.today = self.today, self.day_of(now_ms)
        return before != self.today

    def day_of(self, time_ms: int) -> date:
        """The day of an instant."""
        return datetime.fromtimestamp(time_ms // 1000, self._zone).date()

    def begins(self, day: date) -> int:
        """When a day begins (ms); where its midnight is skipped, with the instant at which it is."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()) * 1000

    def begins_before(self, now_ms: int, days: int) -> int:
        """When the day began (ms) that was so many days before that of an instant."""
        return self.begins(self.day_of(now_ms) - timedelta(days))
