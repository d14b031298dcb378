"""Who is active now: distinct users by trailing window and by calendar day (METRICS.md 3.2, arrival).

`active_users.<w>` counts the users whose latest event lies in the window. Each user is counted once, in the pane of
the latest event, and moves to a newer pane with the next one; so a window's value is the sum of its panes, exactly.
With a breakdown a user counts under every value shown in the window. `active_users.day` counts the users with an event
since local midnight. Option `active_users.events`: only the events chosen make a user active.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.alerts import Alerts
from flows.config.model import Config, format_duration
from flows.messages.columns import NO_TIME
from flows.metrics.alerts import Amount, AnyShape, CountFell, Series, label_of, window_of
from flows.metrics.cells import Cell, Metric
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line, Number
from flows.metrics.family import (
    Family,
    Groups,
    Split,
    Trail,
    events_that_count,
    group_of,
    presence_of_active,
    trailing,
)
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings
from flows.metrics.rows import At, Block, Count, Formula
from flows.state.pairs import TIME, Latest, Pairs, position
from flows.state.rows import UserRows
from flows.state.windows import Ring, Windows, move, pane_of

DAY_MS = 86_400_000
QUARTER_MS = 15 * 60_000
"""Days begin at a multiple of a quarter of an hour, in every time zone of this century."""
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


class Seen(NamedTuple):
    """What is known of users, as the kernel takes it.

    The time of the value that a user's latest event showed is that of the event: only of values shown before it is a
    time of their own kept (what `shown` says of the latest one counts for nothing). Few users show more than one.
    """

    last: NDArray[np.int64]  # by slot, ms; NO_TIME: never
    dims: NDArray[np.uint64]  # by slot, breakdown codes
    shown: Latest


class ActiveUsers(Family):
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
        self._config = config
        self._zone = ZoneInfo(config.time_zone)
        self._groups = Groups(config, self.broken_down_as)
        self._counts = events_that_count(config)
        self.windows = Windows(config.windows, self._groups)
        self.last = UserRows(np.int64, fill=NO_TIME)  # the latest event
        self.dims = UserRows(np.uint64, dims=self._groups)  # the values that it showed
        self.shown = Pairs(self._groups)  # when other values were last shown
        self._quarter = NO_TIME // QUARTER_MS  # of an hour, in which the day was looked at last
        # Local midnight (ms), then by group the users active since; counted anew at every midnight and every start.
        self._day = np.zeros(1 + len(self._groups), np.int64)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        if now_ms // QUARTER_MS != self._quarter:
            self._quarter = now_ms // QUARTER_MS
            midnight = self._midnight(now_ms)
            if midnight != self._day[0]:
                self._day[0] = midnight
                self._count_day(midnight, users)
        split = self._groups.split
        self.shown.reserve(2 * len(rows) * (len(split.base) - 1))
        users_seen = Seen(self.last.rows, self.dims.rows, self.shown.latest)
        _advance(rows, now_ms, self._counts, users_seen, self._day, self.windows.ring, split)

    def _count_day(self, midnight: int, users: int) -> None:
        """Count anew who was active since `midnight`: by the latest events, and by values shown before those."""
        split = self._groups.split
        slots, groups, _ = self.shown.since(midnight)
        today = self.last.rows[:users] >= midnight
        counts = np.zeros(len(self._groups), np.int64)
        for d in range(len(split.base)):
            latest = split.base[d] + ((self.dims.rows[:users] >> split.shift[d]) & split.mask[d]).astype(np.int64)
            counts += np.bincount(latest[today], minlength=len(counts))
            end = split.base[d + 1] if d + 1 < len(split.base) else len(counts)
            earlier = (groups >= split.base[d]) & (groups < end) & (groups != latest[slots])
            counts += np.bincount(groups[earlier], minlength=len(counts))
        self._day[1:] = counts

    def rebuild(self, users: int, now_ms: int) -> None:
        """Count who is in the windows that are new since the checkpoint, which is known of everybody."""
        new = self.windows.begin(now_ms)
        split = self._groups.split
        slots, groups, times = self.shown.since(NO_TIME + 1)
        seen = np.flatnonzero(self.last.rows[:users] != NO_TIME)
        for d in range(len(split.base)):
            latest = split.base[d] + ((self.dims.rows[:users] >> split.shift[d]) & split.mask[d]).astype(np.int64)
            self.windows.book(new, self.last.rows[seen], latest[seen])
            end = split.base[d + 1] if d + 1 < len(split.base) else len(self._groups)
            earlier = (groups >= split.base[d]) & (groups < end) & (groups != latest[slots])
            self.windows.book(new, times[earlier], groups[earlier])

    def _midnight(self, now_ms: int) -> int:
        now = datetime.fromtimestamp(now_ms // 1000, self._zone)
        return int(now.replace(hour=0, minute=0, second=0, fold=0).timestamp()) * 1000

    def read(self) -> NDArray[np.int64]:
        return np.concatenate([self.windows.totals.ravel(), self._day[1:]])

    def blocks(self) -> list[Block]:
        groups = self._groups.labels
        return [Block([Count(ACTIVE)], self._config.windows, groups), Block([Count(TODAY)], groups=groups)]

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once, from what is known of everybody."""
        return trailing(cell.window, None) if isinstance(cell.window, int) else Trail("day", self._midnight)

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
        if not counts[row["code"]]:
            continue
        slot = row["slot"]
        ts = row["ts"]
        dims = row["dims"]
        last = seen.last[slot]
        if last == NO_TIME or dims == seen.dims[slot]:  # as nearly always: all groups of the user move together
            if ts > last:
                seen.last[slot] = ts
                seen.dims[slot] = dims
                _renew(ring, day, split, 0, len(split.base), dims, last, ts)
            continue
        for d in range(1, len(split.base)):
            group = group_of(split, d, dims)
            latest = group_of(split, d, seen.dims[slot])
            before = last
            if group != latest:
                at = position(seen.shown, slot, group)
                before = seen.shown.entries[at, TIME]
                seen.shown.entries[at, TIME] = max(before, ts)
                if ts > last:
                    seen.shown.entries[position(seen.shown, slot, latest), TIME] = last
            if ts > before:
                _renew(ring, day, split, d, d + 1, dims, before, ts)
        if ts > last:
            seen.last[slot] = ts
            seen.dims[slot] = dims
            _renew(ring, day, split, 0, 1, dims, last, ts)


@inlined
def _renew(
    ring: Ring, day: NDArray[np.int64], split: Split, first: int, stop: int, dims: int, before: int, ts: int
) -> None:
    """Move one user from the time `before` (NO_TIME: from nowhere) to `ts`, in the groups of `dims` of the breakdowns
    from `first` to before `stop`.
    """
    if before < day[0] <= ts:
        for d in range(first, stop):
            day[1 + group_of(split, d, dims)] += 1
    for w in range(len(ring.widths)):
        if before >= ring.begins[w]:
            continue  # both are in the newest pane
        new = pane_of(ring, w, ts)
        old = -1 if before == NO_TIME else pane_of(ring, w, before)
        if new == old:
            continue
        for d in range(first, stop):
            group = group_of(split, d, dims)
            if old >= 0:
                ring.panes[w, old, group] -= 1
            else:
                ring.totals[w, group] += 1
            if new >= 0:
                ring.panes[w, new, group] += 1
            else:
                ring.totals[w, group] -= 1
