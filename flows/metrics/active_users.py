"""Who is active now: distinct users by trailing window and by calendar day (METRICS.md 3.2, arrival).

`active_users.<w>` counts the users whose latest event lies in the window. Each user is counted once, in the pane of
the latest event, and moves to a newer pane with the next one; so a window's value is the sum of its panes, exactly.
With a breakdown a user counts under every value shown in the window. `active_users.day` counts the users with an event
since local midnight. Option `active_users.events`: only the events chosen make a user active.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.alerts import Alerts
from flows.config.model import Config, format_duration
from flows.metrics.alerts import Amount, AnyShape, CountFell, Series, label_of, window_of
from flows.metrics.cells import Cell, Metric
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line, Number
from flows.metrics.distinct import DistinctUsers, Seen, see
from flows.metrics.family import Split, Trail, events_that_count, presence_of_active, trailing
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings
from flows.metrics.local_days import DAY_MS, LocalDays
from flows.metrics.rows import At, Block, Count, Formula
from flows.state.windows import Ring, Windows, move

ACTIVE = Metric("active_users", "Distinct users with an event in the window.", "users", "Activity", "active_users")
TODAY = Metric(
    "active_users.day",
    "Distinct users with an event today (product's time zone).",
    "users",
    "Activity",
    "active_users_day",
)
STICKINESS = Metric(
    "stickiness", "Daily active users over monthly active users.", "ratio", "Activity", "stickiness_ratio"
)

ACTIVITY = ChartRow(
    "Activity",
    [
        Course(
            "Active users",
            "Distinct users with an event in the window, and at the same time last week.",
            [Line("active_users")],
            last_week=True,
            width=8,
        ),
        Course(
            "Active users by window",
            "Distinct users of every window, on a logarithmic scale: a fall shows in the short ones first.",
            [Line("active_users", "{{window}}", by=("window",))],
            log=True,
            width=8,
        ),
        ByBreakdown("active_users", "Active users"),
        Number("active_users.day", "Active today", "Distinct users since midnight of the product.", good="up"),
        Number("stickiness", "Stickiness", "Users of the last 24 h over those of the last 30 days.", good="up"),
    ],
)


class ActiveUsers(DistinctUsers):
    """Users by the pane of their latest event."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "time_zone": "Europe/Berlin",
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios", "web"], "of": ["active_users"]},
                "plan": {"field": "properties.plan", "values": ["free"], "of": ["active_users"]},
            },
        },
        {
            "active_users": {"events": ["Viewed", {"event": "Bought", "where": {"properties.plan": "pro"}}]},
            "windows": ["1m", "7m", "24h", "30d"],
            "ratio_windows": [],
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "active_users": Headings("retention", "engagement"),
        "stickiness": Headings("retention", "engagement"),
    }
    ordered: ClassVar[bool] = False
    broken_down_as: ClassVar[str] = "active_users"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._calendar = LocalDays(config.time_zone)
        self._counts = events_that_count(config)
        self.windows = Windows(config.windows, self._groups)
        # Local midnight (ms), then by group the users active since; counted anew at every midnight and every start.
        self._day = np.zeros(1 + len(self._groups), np.int64)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        if self._calendar.turn(now_ms):
            self._count_day(self._calendar.begins(self._calendar.today), users)
        seen = self.seen(len(rows))
        _advance(rows, now_ms, self._counts, seen, self._day, self.windows.ring, self._groups.split)

    def _count_day(self, midnight: int, users: int) -> None:
        """Count anew who was active since `midnight`."""
        self._day[0] = midnight
        self._day[1:] = 0
        for groups, times in self.standing(users):
            self._day[1:] += np.bincount(groups[times >= midnight], minlength=len(self._groups))

    def read(self) -> NDArray[np.int64]:
        return np.concatenate([self.windows.totals.ravel(), self._day[1:]])

    def blocks(self) -> list[Block]:
        groups = self._groups.labels
        return [Block([Count(ACTIVE)], self._config.windows, groups), Block([Count(TODAY)], groups=groups)]

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once, from what is known of everybody."""
        if isinstance(cell.window, int):
            return trailing(cell.window, None)
        return Trail("day", lambda now_ms: self._calendar.begins_before(now_ms, 0))

    def definition(self) -> Definition:
        return presence_of_active(self._config)

    def headlines(self) -> list[Number]:
        return [Number("active_users", "Active users", "Distinct users with an event in the window.", good="up")]

    def charts(self) -> list[ChartRow]:
        days = [window for window in (DAY_MS, 30 * DAY_MS) if window in self._config.windows]
        numbers = [
            Number(
                "active_users",
                f"Active users, {format_duration(window)}",
                "Distinct users with an event in this window.",
                {"window": format_duration(window)},
                good="up",
            )
            for window in days
        ]
        return [ChartRow(ACTIVITY.title, [*ACTIVITY.charts, *numbers])]

    @staticmethod
    def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
        """ActiveUsersDrop."""
        limits = thresholds.active_users
        if limits is None:
            return
        window_ms = window_of(config.windows, limits.window)
        window = label_of(window_ms)
        series = Series("active_users", {"window": window})
        yield CountFell(
            name="active_users",
            alert="ActiveUsersDrop",
            about=f"Users active within {window}.",
            counts=[Amount("now", "How many.", series, labels={"what": "active_users"})],
            window_ms=window_ms,
            drop=limits.drop,
            below=limits.below,
            least=limits.users,
            summary="Only {{ $value }} active users of {{ $labels.product }}",
            description=f"{{{{ $value }}}} users were active within {window}.",
            severity=limits.severity,
        )

    def formulas(self) -> list[Formula]:
        return [Formula(STICKINESS, (At("active_users", DAY_MS), At("active_users", 30 * DAY_MS)), ratio)]


@steady
def _advance(
    rows: NDArray[Any],
    now: int,
    counts: NDArray[np.bool_],
    seen: Seen,
    day: NDArray[np.int64],
    ring: Ring,
    split: Split,
) -> None:
    move(ring, now)
    for i in range(len(rows)):
        prefetch(seen.last, upcoming(rows, i))
        prefetch(seen.dims, upcoming(rows, i))
        row = rows[i]
        if counts[row["code"]]:
            see(seen, row["slot"], row["dims"], row["ts"], ring, 1, day, split)
