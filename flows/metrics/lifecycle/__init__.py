"""Who joins, who is lost and who comes back, by use alone (METRICS.md 3.5, 5.5, ordered).

Only events that show presence count. A user with none for longer than `churn_after` has churned, at
`last event + churn_after`, once the watermark is beyond that. `users.alive` are the known users who have not; in each
window `users.new` (first event ever known), `users.resurrected` (an event after having churned) and `users.churned`, by
the time of the transition. At all times

    alive = new + resurrected - churned - evicted-while-alive        (since the beginning)

where eviction happens only at the limit `users_per_shard`.

A rate of loss is of those who were there at the start. A churn counts in `users.churned_inside` at the time at which
its user was last new or resurrected, so that a window has it while it has both:

    user_churn_rate = (churned - churned_inside) / alive at the window's start
                      with alive at the start = alive - new - resurrected + churned

An event that comes late, but in order for its user, takes back the churn that it shows not to have been, and that it
was inside.

Breakdowns that list `users` apply to the four moves: to who comes, by the value of that event, and to who churns, by
that of the last event. Where one of them is by the way users come, the shares of new users who came by a link on
another site and by ads are derived of it (`acquisition.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.model import Config, format_duration
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Groups, groups_of, presence
from flows.metrics.frameworks import Headings
from flows.metrics.lifecycle.acquisition import acquisition_charts, shares_of
from flows.metrics.lifecycle.cells import LOST, LOST_INSIDE, blocks_of, formulas_of
from flows.metrics.lifecycle.charts import CHARTS, HEADLINES
from flows.metrics.lifecycle.loop import ALIVE, CHURNED, FIELDS, LIFE, UNSEEN, Ledger, use_events
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block, Formula
from flows.state.deadlines import PASSED, Deadlines
from flows.state.rows import Counters, UserRows
from flows.state.windows import Windows


class Lifecycle(Family):
    """Transitions between unseen, alive and churned."""

    LAYOUT: ClassVar[int] = 2
    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"churn_after": "20m", "presence": {"except": ["Left"]}},
        {
            "churn_after": "2h",
            "lateness": "1m",
            "events": ["Viewed"],
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["users"]}},
        },
        {
            "windows": ["1h", "24h"],
            "ratio_windows": [],
            "churn_after": "2h",
            "breakdowns": {
                "first_channel": {"computed": "channel", "scope": "first", "own_hosts": "a.example", "of": ["users"]},
                "traffic": {"computed": "traffic", "organic": "all", "of": ["users"]},
            },
        },
        {
            "windows": ["24h", "30d"],
            "ratio_windows": [],
            "churn_after": "2h",
            "breakdowns": {"way": {"computed": "traffic", "scope": "session", "direct": "own", "of": ["users"]}},
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "users": Headings("retention", "retention"),
        "users.new": Headings("acquisition", "adoption"),
        "users.known": Headings("acquisition", "adoption"),
        "users.evicted": Headings(None, None, why="It says what was forgotten, nothing of the product."),
        "user_": Headings("retention", "retention"),
        "referral_share": Headings("acquisition", "adoption"),
        "paid_share": Headings("acquisition", "adoption"),
    }
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "users"

    def __init__(self, config: Config, book: MinuteBook) -> None:
        self._config = config
        self._book = book
        self._new_users = book.columns("lifecycle", "new_users")
        self._shows_presence = config.shows_presence(config.codes)  # by event code
        self._groups = Groups(config, self.broken_down_as)
        self.windows = Windows(config.windows, self._groups, FIELDS)
        self.churns_at = Deadlines()
        self.users = UserRows(LIFE, dims=self._groups)
        self.since_start = Counters(LOST + 1)
        self.evicted = Counters(2)  # users evicted while known, while alive

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        ledger = Ledger(
            self.churns_at.times,
            self.users.rows,
            self.since_start.values,
            self.windows.ring,
            self._book.page,
            self._new_users,
        )
        use_events(rows, now_ms, self._config.churn_after, self._shows_presence, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        """Take the users of `slots` out of the present counts: they are about to be evicted."""
        stage = self.users.rows["stage"][slots]
        self.evicted.values += (np.count_nonzero(stage != UNSEEN), np.count_nonzero(stage == ALIVE))

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in the windows that are new since the checkpoint who has churned: it may have to be taken back."""
        new = self.windows.begin(now_ms)
        slots = np.flatnonzero(self.users.rows["stage"][:users] == CHURNED)
        churned = self.users.rows[slots]
        for groups in groups_of(self._groups.split, churned["dims"]):
            self.windows.book(new, self.churns_at.times.at[slots] - PASSED, groups * FIELDS + LOST)
            self.windows.book(new, churned["came"], groups * FIELDS + LOST_INSIDE)

    def read(self) -> NDArray[np.int64]:
        new, resurrected, churned = self.since_start.values
        known, alive = self.evicted.values
        values = np.empty(3 + self.windows.totals.size, np.int64)
        values[:3] = (new + resurrected - churned - alive, new - known, known)
        values[3:] = self.windows.totals.ravel()
        return values

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._groups.labels)

    def definition(self) -> Definition:
        return presence(self._config).beside({"churn_after": format_duration(self._config.churn_after)})

    def headlines(self) -> list[Number]:
        return HEADLINES

    def charts(self) -> list[ChartRow]:
        return [CHARTS, *acquisition_charts(self._config)]

    def formulas(self) -> list[Formula]:
        return [*formulas_of(self._config), *shares_of(self._config)]
