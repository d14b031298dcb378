"""Who comes back, so many days after the start (METRICS.md 5.6, ordered).

A user starts once, with the first event that shows presence (`first_seen`), or the first one that a selector chooses.
The events that are a return are all that show presence (`any`), or those selected. A return has a day: with
`mode: rolling` the number of whole 24 hours since the start, with `mode: calendar` the number of local dates since that
of the start.

    rolling     start at 23:45   |------- day 0, until 23:45 -------|------- day 1 -------|
    calendar    start at 23:45   | day 0, 15 min |------- day 1, the next date -------|

For each N of `days`, and each of the `long_windows`:

    retention.d<N>.cohort.<l>           users whose start lies in the window as it stood at W - (N + 1) x 24 h, strictly
                                        before that, so that their day N is over. By calendar: whose start date D is one
                                        of the last l / 24 h dates for which D + N is before the date of W
    retention.d<N>.returned.<l>         of them, those with a return on day N
    retention.d<N>.returned_later.<l>   of them, those with a return on day N or later, by now
    retention_rate.d<N>.<l>             returned / cohort
    retention_rate_or_later.d<N>.<l>    returned_later / cohort

Breakdowns that list `retention` apply by the value of the event that started. A return that comes late, but in order
for its user, counts on its own day. What is kept of a user is 29 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config import canonical
from flows.config.model import Config
from flows.config.starts import ANY, FIRST_SEEN
from flows.metrics.cells import Cell
from flows.metrics.charts import ChartRow, Number
from flows.metrics.days import Wait
from flows.metrics.family import Family, Groups, Trail, groups_of, presence, selected, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.local_calendar import DAY_MS, day_at, days_of
from flows.metrics.minutes import MinuteBook
from flows.metrics.retention.alerts import alerts_of
from flows.metrics.retention.cells import (
    COHORT,
    FIELDS,
    RETURNED,
    RETURNED_LATER,
    blocks_of,
    formulas_of,
)
from flows.metrics.retention.charts import charts_of, headlines_of
from flows.metrics.retention.loop import RETURN, START, STARTED, Ledger, Rules, use_events
from flows.metrics.rows import Block, Formula
from flows.state.days import Days
from flows.state.deadlines import Deadlines
from flows.state.rows import UserRows
from flows.state.windows import Windows

DATES_KEPT: Final = 400 + 90 + 2
"""The longest window, and the last of the days that a date has to wait for."""


class Retained(Family):
    """Users by the days on which they return."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "windows": ["1h", "24h", "7d"],
            "ratio_windows": [],
            "retention": {"days": [1, 2]},
            "presence": {"except": ["Left"]},
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["retention"]}},
            "events": ["Left"],
        },
        {
            "windows": ["24h", "7d"],
            "ratio_windows": [],
            "retention": {"days": [1, 3], "mode": "calendar", "start": "Signed Up", "events": ["Viewed", "Signed Up"]},
            "time_zone": "Europe/Berlin",
            "lateness": "1m",
            "breakdowns": {
                "first": {"field": "properties.plan", "values": ["pro"], "scope": "first", "of": ["retention"]}
            },
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {"retention": Headings("retention", "retention")}
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "retention"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, book: MinuteBook) -> None:
        assert config.retention is not None
        self._config = config
        self._section = section = config.retention
        self._groups = Groups(config, self.broken_down_as)
        present = config.shows_presence(config.codes)
        starts = present if section.from_first_seen else selected(config, section.start)
        returns = present if section.any_returns else selected(config, section.events)
        matches = starts * np.uint8(START) + returns * np.uint8(RETURN)
        self._by_date = section.mode == "calendar"
        self._begins = days_of(config.time_zone)
        self._rules = Rules(
            np.array(section.days, np.int64),
            self._by_date,
            self._begins,
            matches.astype(np.uint8),
            len(self._groups),
            len(config.long_windows),
        )
        self._book = book
        self._by_day = [self._columns(day) for day in section.days]
        lags = [((day + 1) * DAY_MS, width) for day in section.days for width in config.long_windows]
        self.users = UserRows(STARTED, dims=self._groups)
        self.over_at = Deadlines()
        self.windows = Windows(
            [width for _, width in lags] if not self._by_date else [],
            self._groups,
            FIELDS,
            lags_ms=[lag for lag, _ in lags] if not self._by_date else [],
        )
        self.dates = Days(DATES_KEPT if self._by_date else 1, len(section.days), self._groups, FIELDS)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        ledger = Ledger(
            self.users.rows,
            self.over_at.times,
            self.windows.ring,
            self.dates.sheet,
            self._book.page,
            self._by_day[0],
        )
        use_events(rows, now_ms, self._rules, ledger, self._groups.split)

    def _columns(self, day: int) -> int:
        """Of the days: who started on each date, and who of them returned; final when their day N is over."""
        over = Wait(dates=day) if self._by_date else Wait(ms=(day + 1) * DAY_MS)
        stem = f"retention.d{day}"
        return self._book.days.columns("retention", f"{stem}.cohort", f"{stem}.returned", wait=over)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in the windows that are new since the checkpoint what is known of everybody."""
        new = self.windows.begin(now_ms)
        known = self.users.rows[:users]
        for j, day in enumerate(self._section.days):
            of_day = new[new // self._rules.widths == j]
            over = known[(known["started"] != 0) & (known["over"] > j)]
            booked = {
                COHORT: over,
                RETURNED: over[(over["returned"] >> np.uint16(j)) & 1 != 0],
                RETURNED_LATER: over[over["furthest"] >= day],
            }
            for field, some in booked.items():
                for groups in groups_of(self._groups.split, some["dims"]):
                    self.windows.book(of_day, some["start"], groups * FIELDS + field)

    def read(self) -> NDArray[np.int64]:
        if not self._by_date:
            return self.windows.totals.ravel()
        today = int(self.dates.sheet.head[0])
        shape = (len(self._section.days), len(self._groups) * FIELDS)
        sums = [
            self.dates.sums(today - day - 1, width // DAY_MS).reshape(shape)[j]
            for j, day in enumerate(self._section.days)
            for width in self._config.long_windows
        ]
        return np.concatenate([np.zeros(0, np.int64), *sums])

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once, from what is known of everybody."""
        assert isinstance(cell.window, int)
        day, width = int(cell.labels["day"]), cell.window
        trail = trailing(width, None)
        if self._by_date:
            dates = day + width // DAY_MS
            begins = self._begins
            return Trail(f"{trail.key} of dates", lambda now_ms: int(begins[day_at(begins, now_ms) - dates]))
        lag = (day + 1) * DAY_MS
        return trail._replace(key=f"{trail.key} {lag} before", begins=lambda now_ms: trail.begins(now_ms - lag))

    def definition(self) -> Definition:
        section = self._section
        words = {
            "days": [str(day) for day in section.days],
            "mode": section.mode,
            "start": FIRST_SEEN if section.from_first_seen else canonical.selected(section.start),
            "events": ANY if section.any_returns else canonical.selected(section.events),
            **({"time_zone": self._config.time_zone} if self._by_date else {}),
        }
        by_presence = section.from_first_seen or section.any_returns
        return presence(self._config).beside(words) if by_presence else Definition(words)

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._section, self._groups.labels)

    def formulas(self) -> list[Formula]:
        return list(formulas_of(self._section))

    def headlines(self) -> list[Number]:
        return headlines_of(self._config)

    def charts(self) -> list[ChartRow]:
        return charts_of(self._config)
