"""Who joins, who is lost and who comes back, by use alone (METRICS.md 3.5, ordered).

Only events that show presence count. A user with none for longer than `churn_after` has churned, at
`last event + churn_after`, once the watermark is beyond that. `users.alive` are the known users who have not; in each
window `users.new` (first event ever known), `users.resurrected` (an event after having churned) and `users.churned`, by
the time of the transition. At all times

    alive = new + resurrected - churned - evicted-while-alive        (since the beginning)

where eviction happens only at the limit `users_per_shard`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.model import Config, format_duration
from flows.metrics.cells import Metric
from flows.metrics.charts import ChartRow, Course, Line, Number
from flows.metrics.family import Family, presence
from flows.metrics.formulas import user_churn_rate
from flows.metrics.frameworks import Headings
from flows.metrics.minutes import MinuteBook, Page, note
from flows.metrics.rows import Block, Count, Formula
from flows.state.deadlines import PASSED, Deadlines, Times, overdue, schedule
from flows.state.rows import Counters, UserRows
from flows.state.windows import Ring, Windows, add, move

UNSEEN, ALIVE, CHURNED = range(3)
NEW, RESURRECTED, LOST = range(3)

ALIVE_USERS = Metric("users.alive", "Known users who have not churned.", "users", "Lifecycle", "users_alive")
KNOWN_USERS = Metric("users.known", "Users ever seen, minus evicted users.", "users", "Lifecycle", "users_known")
EVICTED_USERS = Metric(
    "users.evicted",
    "Known users forgotten because of the limit users_per_shard.",
    "users",
    "Lifecycle",
    "users_evicted",
)
MOVES = {
    "new": Metric("users.new", "Users whose first event ever is in the window.", "users", "Lifecycle", "window_users"),
    "resurrected": Metric(
        "users.resurrected", "Users who came back after they had churned.", "users", "Lifecycle", "window_users"
    ),
    "churned": Metric(
        "users.churned",
        "Users who passed churn_after without an event.",
        "users",
        "Lifecycle",
        "window_users",
    ),
}
CHURN_RATE = Metric(
    "user_churn_rate",
    "Users who churned in the window over users alive at its start.",
    "ratio",
    "Lifecycle",
    "user_churn_ratio",
)


CHARTS = ChartRow(
    "Lifecycle",
    [
        Course(
            "Users alive",
            "Known users who have not churned, and at the same time last week.",
            [Line("users.alive")],
            last_week=True,
            width=8,
        ),
        Course(
            "New users",
            "Users whose first event ever is in the window, and at the same time last week.",
            [Line("users.new")],
            last_week=True,
            width=8,
        ),
        Course(
            "Users who came back or churned",
            "In the window: back after having churned, and churned, which is no event for `churn_after`.",
            [Line("users.resurrected", "back"), Line("users.churned", "churned")],
            width=8,
        ),
    ],
)


class Ledger(NamedTuple):
    """What the kernel writes to."""

    churns_at: Times  # last event + churn_after, when that has passed, too
    stage: NDArray[np.uint8]  # UNSEEN, ALIVE, CHURNED by slot
    since_start: NDArray[np.int64]  # transitions since the beginning
    windows: Ring
    page: Page
    new_users: int  # column


class Lifecycle(Family):
    """Transitions between unseen, alive and churned."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"churn_after": "20m", "presence": {"except": ["Left"]}},
        {"churn_after": "2h", "lateness": "1m", "events": ["Viewed"]},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "users": Headings("retention", "retention"),
        "users.new": Headings("acquisition", "adoption"),
        "users.known": Headings("acquisition", "adoption"),
        "users.evicted": Headings(None, None, why="It says what was forgotten, nothing of the product."),
        "user_churn_rate": Headings("retention", "retention"),
    }
    ordered: ClassVar[bool] = True

    def __init__(self, config: Config, book: MinuteBook) -> None:
        self._config = config
        self._book = book
        self._new_users = book.columns("lifecycle", "new_users")
        self._shows_presence = config.shows_presence(config.codes())  # by event code
        self.windows = Windows(config.windows, len(MOVES))
        self.churns_at = Deadlines()
        self.stage = UserRows(np.uint8)
        self.since_start = Counters(len(MOVES))
        self.evicted = Counters(2)  # users evicted while known, while alive

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        ledger = Ledger(
            self.churns_at.times,
            self.stage.rows,
            self.since_start.values,
            self.windows.ring,
            self._book.page,
            self._new_users,
        )
        _advance(rows, now_ms, self._config.churn_after, self._shows_presence, ledger)

    def forget(self, slots: NDArray[Any]) -> None:
        """Take the users of `slots` out of the present counts: they are about to be evicted."""
        stage = self.stage.rows[slots]
        self.evicted.values += (np.count_nonzero(stage != UNSEEN), np.count_nonzero(stage == ALIVE))

    def read(self) -> NDArray[np.int64]:
        new, resurrected, churned = self.since_start.values
        known, alive = self.evicted.values
        values = np.empty(3 + self.windows.totals.size, np.int64)
        values[:3] = (new + resurrected - churned - alive, new - known, known)
        values[3:] = self.windows.totals.ravel()
        return values

    def blocks(self) -> list[Block]:
        moves = [Count(metric, labels={"transition": transition}) for transition, metric in MOVES.items()]
        return [
            Block([Count(ALIVE_USERS), Count(KNOWN_USERS), Count(EVICTED_USERS)]),
            Block(moves, self._config.windows),
        ]

    def definition(self) -> Definition:
        return presence(self._config).beside({"churn_after": format_duration(self._config.churn_after)})

    def headlines(self) -> list[Number]:
        return [Number("users.new", "New users", "Users whose first event ever is in the window.", good="up")]

    def charts(self) -> list[ChartRow]:
        return [CHARTS]

    def formulas(self) -> list[Formula]:
        of = ("users.churned", "users.alive", "users.new", "users.resurrected")
        return [Formula(CHURN_RATE, of, user_churn_rate, windows=self._config.ratio_windows)]


@steady
def _advance(rows: NDArray[Any], now: int, churn_after: int, shows_presence: NDArray[np.bool_], ledger: Ledger) -> None:
    move(ledger.windows, now)
    for i in range(len(rows)):
        prefetch(ledger.churns_at.at, upcoming(rows, i))
        prefetch(ledger.stage, upcoming(rows, i))
        row = rows[i]
        if not shows_presence[row["code"]]:
            continue
        ts = row["ts"]
        slot = row["slot"]
        if ledger.stage[slot] == CHURNED and ts <= ledger.churns_at.at[slot] - PASSED:
            _take_back(ledger, slot)
        if ledger.stage[slot] == ALIVE and ts > ledger.churns_at.at[slot]:
            _churn(ledger, slot)
        if ledger.stage[slot] != ALIVE:
            transition = NEW if ledger.stage[slot] == UNSEEN else RESURRECTED
            ledger.stage[slot] = ALIVE
            ledger.since_start[transition] += 1
            add(ledger.windows, ts, transition, 1)
            if transition == NEW:
                note(ledger.page, ts, ledger.new_users, 1)
        schedule(ledger.churns_at, slot, ts + churn_after)
    for block in range(len(ledger.churns_at.soonest)):
        for i in range(overdue(ledger.churns_at, now, block)):
            _churn(ledger, ledger.churns_at.due[i])


@inlined
def _churn(ledger: Ledger, slot: int) -> None:
    ledger.stage[slot] = CHURNED
    ledger.since_start[LOST] += 1
    add(ledger.windows, ledger.churns_at.at[slot], LOST, 1)
    ledger.churns_at.at[slot] += PASSED


@inlined
def _take_back(ledger: Ledger, slot: int) -> None:
    """A late event shows that the user had not churned."""
    ledger.stage[slot] = ALIVE
    ledger.since_start[LOST] -= 1
    ledger.churns_at.at[slot] -= PASSED
    add(ledger.windows, ledger.churns_at.at[slot], LOST, -1)
