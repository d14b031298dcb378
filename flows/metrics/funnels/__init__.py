"""Where people fall out on the way: one funnel of ordered steps (METRICS.md 3.4, ordered).

An *attempt* begins with an event of step 1 and ends converted (last step reached), or dropped (the watermark is beyond
`start + window`); in between it is in progress. Everything is booked by the time of entry, so in every window

    entered = converted + in_progress + dropped

Three conversion rates answer three questions. `conversion_matured`: of the attempts whose time is up, which share
converted (exact, but a funnel window old). `conversion_live`: the Kaplan-Meier estimate over the attempts of the last
funnel window, unmoved by traffic surges: the one to alert on. Completions / entries is neither and is not published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config import canonical
from flows.config.model import Config, format_duration
from flows.metrics.cells import Cell
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Groups, Trail, group_of, groups_of, selected, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.funnels.alerts import alerts_of
from flows.metrics.funnels.cells import (
    BUCKETS,
    DROPPED,
    IN_PROGRESS,
    MATURED,
    MATURED_CONVERTED,
    OUTCOMES,
    blocks_of,
    formulas_of,
)
from flows.metrics.funnels.charts import charts_of, headlines_of
from flows.metrics.funnels.loop import ATTEMPT, Ledger, Rules, use_events
from flows.metrics.histograms import BOUNDS_S, read_cumulative
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block, Formula
from flows.metrics.survival import AGES, read_ages
from flows.state.deadlines import NEVER, Deadlines
from flows.state.queue import Queue
from flows.state.rows import UserRows
from flows.state.windows import PANES, Windows, add


class Funnel(Family):
    """The attempts of one funnel."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "funnels": {
                "buy": {"window": "10m", "steps": ["Viewed", "Added", "Bought"]},
                "latest": {"window": "7m", "steps": ["Viewed", ["Added", "Bought"], "Bought"], "reentry": "latest"},
                "again": {"window": "1h", "steps": ["Viewed", "Viewed"]},
            },
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["funnels"]}},
        },
        {
            "funnels": {
                "priced": {
                    "window": "30m",
                    "steps": [
                        {"event": "page_viewed", "where": {"context.page.path": "/pricing"}, "as": "pricing"},
                        "Bought",
                    ],
                }
            },
            "breakdowns": {"first": {"field": "properties.plan", "values": ["pro"], "scope": "first"}},
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "funnel": Headings(
            None, "task success", why="A funnel leads to whatever its last step is: a sign-up, an order."
        )
    }
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "funnels"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, name: str, book: MinuteBook) -> None:
        funnel = config.funnels[name]
        self._config = config
        self._name = name
        self._book = book
        self._groups = Groups(config, self.broken_down_as)
        matches = sum(selected(config, step).astype(np.uint32) << np.uint32(k) for k, step in enumerate(funnel.steps))
        self._rules = Rules(
            funnel.window,
            len(funnel.steps),
            funnel.reentry == "latest",
            np.asarray(matches, np.uint32),
            book.columns(f"funnel.{name}", f"funnel.{name}.entered", f"funnel.{name}.converted"),
        )
        self._fields = len(funnel.steps) + OUTCOMES
        self.users = UserRows(ATTEMPT, dims=self._groups)
        self.drops_at = Deadlines()
        self.converted = Queue(2, dims=(1, self._groups))  # start + window, dims
        self.windows = Windows(config.windows, self._groups, self._fields)
        self.matured = Windows(config.ratio_windows, self._groups, 2)
        self.under_way = Windows([funnel.window], self._groups)
        self.by_age = Windows([funnel.window], self._groups, PANES)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.converted.reserve(len(rows))
        ledger = Ledger(
            self.users.rows,
            self.drops_at.times,
            self.converted.heap,
            self.windows.ring,
            self.matured.ring,
            self.under_way.ring,
            self.by_age.ring,
            self._book.page,
        )
        use_events(rows, now_ms, self._rules, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        """Count the attempts in progress of `slots` as dropped: their users are about to be evicted."""
        for slot in slots[self.drops_at.times.at[slots] < NEVER]:
            start = int(self.drops_at.times.at[slot]) - self._rules.window
            for d in range(len(self._groups.split.base)):
                group = group_of(self._groups.split, d, self.users.rows[slot]["dims"])
                add(self.windows.ring, start, group * self._fields + self._rules.steps + IN_PROGRESS, -1)
                add(self.windows.ring, start, group * self._fields + self._rules.steps + DROPPED, 1)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book the attempts in progress in the windows that are new since the checkpoint."""
        new = self.windows.begin(now_ms)
        slots = np.flatnonzero(self.drops_at.times.at[:users] < NEVER)
        starts, reached = self.drops_at.times.at[slots] - self._rules.window, self.users.rows["reached"][slots]
        for groups in groups_of(self._groups.split, self.users.rows["dims"][slots]):
            self.windows.book(new, starts, groups * self._fields + self._rules.steps + IN_PROGRESS)
            for step in range(self._rules.steps):
                there = reached > step
                self.windows.book(new, starts[there], groups[there] * self._fields + step)

    def trail(self, cell: Cell) -> Trail | None:
        window = self._rules.window
        if cell.metric is None:  # the ages of those under way
            return trailing(window, None)
        if cell.metric not in (MATURED, MATURED_CONVERTED) or not isinstance(cell.window, int):
            return super().trail(cell)
        at_entry = trailing(cell.window, "ratio_window")
        return at_entry._replace(key=f"{at_entry.key} before", begins=lambda now_ms: at_entry.begins(now_ms - window))

    def definition(self) -> Definition:
        funnel = self._config.funnels[self._name]
        return Definition(
            {
                "window": format_duration(funnel.window),
                "steps": [canonical.step(step) for step in funnel.steps],
                "reentry": funnel.reentry,
            }
        )

    def read(self) -> NDArray[np.int64]:
        windowed, matured = self.windows.totals.size, self.matured.totals.size
        values = np.zeros(windowed + matured + AGES * len(self._groups), np.int64)
        read_cumulative(self.windows.totals, self._fields, self._rules.steps + BUCKETS, len(BOUNDS_S), values)
        values[windowed : windowed + matured] = self.matured.totals.ravel()
        read_ages(self.under_way.ring, self.by_age.totals, values[windowed + matured :])
        return values

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._name, self._groups.labels)

    def headlines(self) -> list[Number]:
        return headlines_of(self._name)

    def charts(self) -> list[ChartRow]:
        return charts_of(self._config, self._name)

    def formulas(self) -> list[Formula]:
        return formulas_of(self._config, self._name)
