"""Who reaches what users should reach once, and how soon: activation, time to value, a first order (METRICS.md 5.2).

A user *starts* once, at the first `from` event ever, or with `first_seen` at the first event that shows presence. The
user *reaches* the milestone with the first `to` event after that, at most `within` later (exactly `within` is in time;
with `first_seen` the same event may be both, at 0 ms), and has *missed* it once the watermark is beyond
`start + within`. In between the user is *pending*. Whatever comes later changes nothing. Events that a selector chooses
need no presence. Everything is booked by the time of the start, so in every window

    started = reached + pending + missed

A `to` event that arrives late, but in order for its user, takes a miss back and is booked as if it had come in time.

Two rates answer two questions, as of funnels. `milestone_rate`: of the users whose time is up, which share reached it
(exact, but `within` old). `milestone_rate_live`: the Kaplan-Meier estimate over the users who started within the last
`within`, hardly moved by surges of sign-ups: the one to alert on.

What is kept of a user is 17 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config import canonical
from flows.config.model import Config, format_duration
from flows.config.starts import FIRST_SEEN
from flows.messages.columns import NEVER
from flows.metrics.cells import Cell
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Groups, Trail, groups_of, presence, selected, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.histograms import LONG_BOUNDS_S, read_cumulative
from flows.metrics.milestones.alerts import alerts_of
from flows.metrics.milestones.cells import (
    BUCKETS,
    FIELDS,
    MATURED,
    MATURED_REACHED,
    MISSED,
    PENDING,
    STARTED,
    blocks_of,
    formulas_of,
)
from flows.metrics.milestones.charts import charts_of, headlines_of
from flows.metrics.milestones.loop import (
    FROM,
    OF_ALL,
    OVERDUE,
    START,
    TO,
    UNDER_WAY,
    Ledger,
    Rules,
    use_events,
)
from flows.metrics.rows import Block, Formula
from flows.metrics.survival import AGES, read_ages
from flows.state.deadlines import PASSED, Deadlines
from flows.state.queue import Queue
from flows.state.rows import UserRows
from flows.state.windows import PANES, Windows


class Milestones(Family):
    """The users of one milestone."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "windows": ["5m", "1h", "24h", "7d"],
            "ratio_windows": [],
            "milestones": {
                "activation": {"from": "Signed Up", "to": ["Created", "Shared"], "within": "30m"},
                "seen": {"from": "first_seen", "to": "Created", "within": "1d"},
                "again": {"from": "Created", "to": "Created", "within": "2h"},
            },
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["milestones"]}},
        },
        {
            "milestones": {
                "priced": {
                    "from": {"event": "page_viewed", "where": {"context.page.path": "/pricing"}},
                    "to": "Bought",
                    "within": "1h",
                }
            },
            "presence": {"except": ["Bought"]},
            "lateness": "1m",
            "breakdowns": {
                "first": {"field": "properties.plan", "values": ["pro"], "scope": "first", "of": ["milestones"]}
            },
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {"milestone": Headings("activation", "adoption")}
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "milestones"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._milestone = config.milestones[name]
        self._groups = Groups(config, self.broken_down_as)
        first_seen, within = self._milestone.from_first_seen, self._milestone.within
        starts = config.shows_presence(config.codes) if first_seen else selected(config, self._milestone.from_)
        matches = starts * np.uint8(FROM) + selected(config, self._milestone.to) * np.uint8(TO)
        self._rules = Rules(within, first_seen, matches.astype(np.uint8))
        self.users = UserRows(START, dims=self._groups)
        self.misses_at = Deadlines()
        self.arrived = Queue(2, dims=(1, self._groups))
        self.windows = Windows(config.windows, self._groups, FIELDS)
        self.matured = Windows(config.long_windows, self._groups, 2)
        self.under_way = Windows([within], self._groups)
        self.by_age = Windows([within], self._groups, PANES)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.arrived.reserve(len(rows))
        ledger = Ledger(
            self.users.rows,
            self.misses_at.times,
            self.arrived.heap,
            self.windows.ring,
            self.matured.ring,
            self.under_way.ring,
            self.by_age.ring,
        )
        use_events(rows, now_ms, self._rules, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        """Count those of `slots` who are pending as missed: they are about to be evicted."""
        slots = slots[self.misses_at.times.at[slots] < NEVER]
        starts = self.misses_at.times.at[slots] - self._rules.within
        everywhere = np.arange(len(self._config.windows))
        for groups in groups_of(self._groups.split, self.users.rows["dims"][slots]):
            self.windows.book(everywhere, starts, groups * FIELDS + PENDING, -1)
            self.windows.book(everywhere, starts, groups * FIELDS + MISSED)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in the windows that are new since the checkpoint who is pending, and who has missed it so far."""
        new, new_matured = self.windows.begin(now_ms), self.matured.begin(now_ms - self._rules.within)
        for stage, field, deadline in ((UNDER_WAY, PENDING, 0), (OVERDUE, MISSED, PASSED)):
            slots = np.flatnonzero(self.users.rows["stage"][:users] == stage)
            starts = self.misses_at.times.at[slots] - deadline - self._rules.within
            for groups in groups_of(self._groups.split, self.users.rows["dims"][slots]):
                self.windows.book(new, starts, groups * FIELDS + STARTED)
                self.windows.book(new, starts, groups * FIELDS + field)
                if stage == OVERDUE:
                    self.matured.book(new_matured, starts, groups * 2 + OF_ALL)

    def trail(self, cell: Cell) -> Trail | None:
        within = self._rules.within
        if cell.metric is None:  # the ages of those under way
            return trailing(within, None)
        if cell.metric not in (MATURED, MATURED_REACHED) or not isinstance(cell.window, int):
            return super().trail(cell)
        at_start = trailing(cell.window, "long_window")
        return at_start._replace(key=f"{at_start.key} before", begins=lambda now_ms: at_start.begins(now_ms - within))

    def definition(self) -> Definition:
        words = {"within": format_duration(self._rules.within), "to": canonical.selected(self._milestone.to)}
        if self._milestone.from_first_seen:
            return presence(self._config).beside({"from": FIRST_SEEN, **words})
        return Definition({"from": canonical.selected(self._milestone.from_), **words})

    def read(self) -> NDArray[np.int64]:
        windowed, matured = self.windows.totals.size, self.matured.totals.size
        values = np.zeros(windowed + matured + AGES * len(self._groups), np.int64)
        read_cumulative(self.windows.totals, FIELDS, BUCKETS, len(LONG_BOUNDS_S), values)
        values[windowed : windowed + matured] = self.matured.totals.ravel()
        read_ages(self.under_way.ring, self.by_age.totals, values[windowed + matured :])
        return values

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._name, self._groups.labels)

    def formulas(self) -> list[Formula]:
        return formulas_of(self._config, self._name)

    def headlines(self) -> list[Number]:
        return headlines_of(self._name)

    def charts(self) -> list[ChartRow]:
        return charts_of(self._config, self._name)
