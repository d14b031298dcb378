"""Who visits, and what they look at (METRICS.md 5.1, ordered).

`visitors.<w>` are the users whose latest session event (`track`, `page`, `screen` that shows presence) or goal event
lies in the window: the ordered twin of active users, and the denominator of conversion rates and feature adoption. A
goal event makes a visitor whatever its type, and though it shows nobody. `views.<w>` are page and screen events that
show presence.

Visitors and views are measured where the config has `goals` or `features`, or a breakdown `of` visitors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config import canonical
from flows.config.model import Config
from flows.config.selectors import Selector
from flows.messages.columns import KINDS, NEVER, PAGE, SCREEN, TRACK
from flows.metrics.cells import Cell, Metric
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line
from flows.metrics.distinct import DistinctUsers, Seen, see
from flows.metrics.family import Split, Trail, group_of, presence, selected, trailing
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Count, Formula
from flows.state.windows import Ring, Windows, add, move

USERS, VIEWED = range(2)
FIELDS: Final = 2
OPEN_NO_SESSION: Final = frozenset(KINDS) - {KINDS[kind] for kind in (TRACK, PAGE, SCREEN)}
"""Types of events."""

VISITORS = Metric(
    "visitors", "Users whose latest session or goal event is in the window.", "users", "Visitors", "visitors"
)
VIEWS = Metric("views", "Pages and screens viewed in the window.", "views", "Visitors", "views")
VIEWS_PER_VISITOR = Metric("views_per_visitor", "Views per visitor.", "views", "Visitors", "views_per_visitor_ratio")

CHARTS = ChartRow(
    "Visitors",
    [
        Course(
            "Visitors",
            "Users with a session or goal event in the window, and at the same time last week.",
            [Line("visitors")],
            last_week=True,
            width=8,
        ),
        Course("Views", "Pages and screens viewed in the window.", [Line("views")], last_week=True, width=8),
        Course("Views per visitor", "Views of the window over its visitors.", [Line("views_per_visitor")], width=8),
        ByBreakdown("visitors", "Visitors"),
    ],
)


class Visitors(DistinctUsers):
    """Users by the pane of their latest visit, and views."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "goals": {"read": {"event": "Viewed", "where": {"properties.plan": "pro"}}, "known": "identify"},
            "presence": {"except": ["Viewed"]},
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios", "web"], "of": ["visitors"]},
                "entry": {"field": "properties.plan", "values": ["pro"], "scope": "session", "of": ["visitors"]},
            },
        },
        {
            "features": {"search": "Searched"},
            "presence": {"server": False},
            "windows": ["1m", "24h"],
            "ratio_windows": [],
        },
        {"breakdowns": {"first": {"field": "channel", "values": ["web"], "scope": "first", "of": ["visitors"]}}},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "visitors": Headings("acquisition", "engagement"),
        "views": Headings("activation", "engagement"),
    }
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "visitors"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._shows_presence = config.shows_presence(config.codes)  # by event code
        self._is_goal = selected(config, self._goal_events())  # by event code
        self._no_day = np.array([NEVER], np.int64)
        self.windows = Windows(config.windows, self._groups, FIELDS)

    def _goal_events(self) -> list[Selector]:
        return [selector for goal in self._config.goals.values() for selector in goal]

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        _advance(
            rows,
            now_ms,
            self._shows_presence,
            self._is_goal,
            self.seen(len(rows)),
            self._no_day,
            self.windows.ring,
            self._groups.split,
        )

    def read(self) -> NDArray[np.int64]:
        return self.windows.totals.ravel()

    def blocks(self) -> list[Block]:
        return [Block([Count(VISITORS), Count(VIEWS)], self._config.windows, self._groups.labels)]

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once with visitors, who are all known; views are not."""
        if cell.metric is VISITORS and isinstance(cell.window, int):
            return trailing(cell.window, None)
        return super().trail(cell)

    def definition(self) -> Definition:
        """Goals count only as far as their events would make nobody a visitor otherwise."""
        besides = [goal for goal in self._goal_events() if self._adds(goal)]
        return presence(self._config).beside({"goals": canonical.selected(besides)})

    def _adds(self, goal: Selector) -> bool:
        """Whether some of its events open no session: by their type, or since they show nobody."""
        shows_nobody = selected(self._config, [goal]) & ~self._shows_presence
        return bool(shows_nobody.any()) or not OPEN_NO_SESSION.isdisjoint(goal.event)

    def formulas(self) -> list[Formula]:
        return [Formula(VIEWS_PER_VISITOR, ("views", "visitors"), ratio)]

    def charts(self) -> list[ChartRow]:
        return [CHARTS]


@steady
def _advance(
    rows: NDArray[Any],
    now: int,
    shows_presence: NDArray[np.bool_],
    is_goal: NDArray[np.bool_],
    seen: Seen,
    no_day: NDArray[np.int64],
    ring: Ring,
    split: Split,
) -> None:
    move(ring, now)
    for i in range(len(rows)):
        prefetch(seen.last, upcoming(rows, i))
        prefetch(seen.dims, upcoming(rows, i))
        row = rows[i]
        code = row["code"]
        kind = row["kind"]
        views = shows_presence[code] and kind in (PAGE, SCREEN)
        if views or is_goal[code] or (shows_presence[code] and kind == TRACK):
            see(seen, row["slot"], row["dims"], row["ts"], ring, FIELDS, no_day, split)
        if views:
            for d in range(len(split.base)):
                add(ring, row["ts"], group_of(split, d, row["dims"]) * FIELDS + VIEWED, 1)
