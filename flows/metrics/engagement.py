"""On how many days users come: the power user curve (METRICS.md 5.4, arrival).

Of the last 7 and 30 local days, today included, those are a user's active days on which an event made the user active.
`engagement.days_<k>_of_<n>` are the users with exactly k of n. For each user a bit says of each day whether it was one.

At midnight every user moves on, and nobody is looked at. For a user who stays away the curve of each coming day is
known already, so it is booked ahead: in 30 histograms, one for each day from today on. A first event on a new day takes
the user out of them and books anew.

    active on Mon, Tue     7 days up to    Tue  Wed  ..  Sun  Mon  Tue
                           active days     2    2        2    1    0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import Number, inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.model import Config
from flows.metrics.cells import Cell, Metric
from flows.metrics.charts import Bars, ChartRow, Course, Line
from flows.metrics.family import Family, Trail, events_that_count, presence_of_active
from flows.metrics.formulas import mean_place
from flows.metrics.frameworks import Headings
from flows.metrics.local_days import LocalDays
from flows.metrics.rows import Block, Count, Formula
from flows.state.rows import Counters, UserRows

WEEK, MONTH = 7, 30
ALL_DAYS: Final = (1 << MONTH) - 1
ACTIVE_DAYS: Final = np.dtype(
    [
        ("latest", "i4"),  # active day, as a proleptic Gregorian ordinal; 0: none
        ("days", "u4"),  # bit i: active i days before that
    ]
)
CURVES = {
    days: Metric(
        f"engagement.days_<k>_of_{days}",
        f"Users who were active on exactly k of the last {days} days.",
        "users",
        "Active days",
        "engagement_users",
    )
    for days in (WEEK, MONTH)
}
MEANS = {
    days: Metric(
        f"l{days}_mean",
        f"Mean number of active days of the last {days}, of users with any.",
        "days",
        "Active days",
        "engagement_mean",
    )
    for days in (WEEK, MONTH)
}
CHARTS = ChartRow(
    "Active days",
    [
        Bars(
            "Users by active days of the last 7",
            "Users by the number of days, of the last seven, on which they were active.",
            CURVES[WEEK].name,
            "days",
        ),
        Course(
            "Active days per user",
            "On average, of users with any.",
            [Line(MEANS[WEEK].name, "of the last 7"), Line(MEANS[MONTH].name, "of the last 30")],
            width=8,
        ),
        Bars(
            "Users by active days of the last 30",
            "Users by the number of days, of the last thirty, on which they were active.",
            CURVES[MONTH].name,
            "days",
            width=24,
        ),
    ],
)


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype ACTIVE_DAYS, by slot
    curves: NDArray[np.int64]  # (MONTH, WEEK + MONTH): by day % MONTH, of 7 days and of 30, the users with k, at k - 1


class Engagement(Family):
    """Users by the number of their active days."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"time_zone": "Europe/Berlin", "churn_after": "1d"},
        {"active_users": {"events": ["Viewed"]}, "presence": {"server": False}, "dedup_horizon": "23h"},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        name: Headings("retention", "engagement")
        for name in ("engagement", *(metric.name for metric in MEANS.values()))
    }
    ordered: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        self._config = config
        self._counts = events_that_count(config)
        self._calendar = LocalDays(config.time_zone)
        self._begins = np.zeros(MONTH, np.int64)  # when today began, yesterday, ... (ms)
        self.users = UserRows(ACTIVE_DAYS)
        self.curves = Counters(MONTH, WEEK + MONTH)
        self.today = Counters(1)  # ordinal

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        if self._calendar.turn(now_ms):
            today = self._calendar.today
            self._begins[:] = [self._calendar.begins(today - timedelta(before)) for before in range(MONTH)]
            self._turn(today.toordinal())
        ledger = Ledger(self.users.rows, self.curves.values)
        _advance(rows, int(self.today.values[0]), self._counts, self._begins, ledger)

    def _turn(self, today: int) -> None:
        """Let the curve of today be shown, and take the rows of days that are over for days to come."""
        before = int(self.today.values[0])
        over = np.arange(before, min(today, before + MONTH))
        self.curves.values[over % MONTH] = 0
        self.today.values[0] = today

    def read(self) -> NDArray[np.int64]:
        today: NDArray[np.int64] = self.curves.values[self.today.values[0] % MONTH]
        return today.copy()

    def blocks(self) -> list[Block]:
        counts = [
            Count(metric, f"engagement.days_{k}_of_{days}", {"of": str(days), "days": str(k)})
            for days, metric in CURVES.items()
            for k in range(1, days + 1)
        ]
        return [Block(counts)]

    def trail(self, cell: Cell) -> Trail | None:
        before = int(cell.labels["of"]) - 1
        return Trail(f"{before} days", lambda now_ms: self._calendar.begins_before(now_ms, before))

    def definition(self) -> Definition:
        """Days of another time zone are other days."""
        return presence_of_active(self._config).beside({"time_zone": self._config.time_zone})

    def formulas(self) -> list[Formula]:
        return [
            Formula(
                metric,
                [f"engagement.days_{k}_of_{days}" for k in range(1, days + 1)],
                mean_place,
                labels={"of": str(days)},
            )
            for days, metric in MEANS.items()
        ]

    def charts(self) -> list[ChartRow]:
        return [CHARTS]


@steady
def _advance(
    rows: NDArray[Any], today: int, counts: NDArray[np.bool_], begins: NDArray[np.int64], ledger: Ledger
) -> None:
    for i in range(len(rows)):
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        if not counts[row["code"]]:
            continue
        before = 0
        while before < MONTH and row["ts"] < begins[before]:
            before += 1
        if before < MONTH:
            _note(ledger, row["slot"], today - before, today)


@inlined
def _note(ledger: Ledger, slot: int, day: int, today: int) -> None:
    """Make `day` an active day of a user, in all curves from `today` on."""
    user = ledger.users[slot]
    days: Number = np.int64(user["days"])
    after = day - user["latest"]  # in days, after the latest active day
    if after <= -MONTH:
        return  # too long ago to count on any day from today on
    if after <= 0 and days >> -after & 1:
        return  # known
    _book(ledger.curves, user["latest"], days, today, -1)
    if after < 0:
        days |= 1 << -after
    else:
        days = 1 | ((days << after) & ALL_DAYS if after < MONTH else 0)
        user["latest"] = day
    user["days"] = days
    _book(ledger.curves, user["latest"], days, today, 1)


@inlined
def _book(curves: NDArray[np.int64], latest: int, days: Number, today: int, amount: int) -> None:
    """Count a user with these active days in the curve of each day on which they will have one, if they stay away."""
    for column, length in ((0, WEEK), (WEEK, MONTH)):
        active = 0
        for before in range(length):  # on the day when that is the last of those that still count
            active += days >> before & 1
            on = latest + length - 1 - before
            if active and on >= today:
                curves[on % MONTH, column + active - 1] += amount
