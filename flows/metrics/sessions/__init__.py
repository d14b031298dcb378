"""Visits: how many begin, end, bounce, and how long they last (METRICS.md 3.3, ordered).

A session is a run of one user's `track`, `page` and `screen` events without a gap longer than `timeout`, and no longer
than `max_duration`. It closes at `last event + timeout`, once the watermark is beyond that:

    events      x   x  x            x       (gap > timeout)      x
    sessions    [-- one ------------]- timeout -|                [-- another
                started                       closed

It is *engaged* once it has lasted longer than `engaged.longer_than`, has `engaged.views` page or screen events, or
`engaged.key_actions` key actions; *bounced* is closed without that. Other tools call other sessions bounces, so
`sessions.bounce` says which definition holds, and `sessions.definitions` counts more of them beside it (METRICS.md
5.4; flows/BOUNCE.md):

    engaged          not engaged
    single_event     one event
    single_view      at most one page or screen event
    no_interaction   less than two of those, and no `track` event but with `properties.interactive` = false

By each of them a session that is no bounce never becomes one. So among sessions begun 5 to 15 minutes ago the share
that still is one is an upper bound of their bounce rate that only falls: `bounce_rate_provisional`, the number to alert
on.

A session *returns* when its user had one before; `sessions.gap_ms` is the time between the last event of that and its
start. A user who was evicted and comes back does not return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config import canonical
from flows.config.model import Config
from flows.messages.columns import NEVER
from flows.metrics.cells import Cell, Tally
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Groups, Trail, group_of, groups_of, presence, selected, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.histograms import BOUNDS_S, read_cumulative
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block, Formula
from flows.metrics.sessions.alerts import alerts_of
from flows.metrics.sessions.cells import (
    BOUNCED,
    BOUNCED_BY,
    BUCKETS,
    CLOSED,
    DURATION_MS,
    EVENTS,
    FIELDS,
    GAP_MS,
    KEY_ACTIONS,
    RETURNING,
    SETTLING,
    SETTLING_ENGAGED,
    STARTED,
    VIEWS,
    WITH_KEY_ACTION,
    blocks_of,
    formulas_of,
    tallies_of,
)
from flows.metrics.sessions.charts import CHARTS, HEADLINES
from flows.metrics.sessions.loop import NO_GAP, SESSION, STAYS_BY, Ledger, Rules, read_settled, use_events
from flows.state.axes import Names
from flows.state.deadlines import PASSED, Deadlines
from flows.state.queue import Queue
from flows.state.rows import Counters, UserRows
from flows.state.windows import Windows

SETTLING_WINDOW_MS: Final = 15 * 60_000


class Sessions(Family):
    """Runs of events without a long gap."""

    LAYOUT = 2
    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "sessions": {"timeout": "5m", "max_duration": "12m", "engaged": {"longer_than": None, "views": 3}},
            "key_actions": ["Bought", {"event": "page_viewed", "where": {"properties.plan": "pro"}}],
            "presence": {"except": ["Left"]},
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["sessions"]}},
        },
        {"lateness": "0s", "sessions": {"timeout": "30s", "bounce": "single_event"}, "events": ["Viewed"]},
        {
            "sessions": {
                "timeout": "5m",
                "max_duration": "5m",
                "bounce": "no_interaction",
                "definitions": ["single_view", "engaged", "single_event"],
            },
            "key_actions": {"event": "Scrolled", "where": {"properties.interactive": [True, False]}},
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["sessions"]}},
        },
        {"sessions": {"timeout": "10m", "bounce": "single_view", "definitions": ["no_interaction"]}, "lateness": "1m"},
        {
            "windows": ["1h", "30d"],
            "ratio_windows": [],
            "sessions": {"timeout": "5m", "max_duration": "12m"},
            "breakdowns": {
                "channel": {
                    "computed": "channel",
                    "scope": "session",
                    "own_hosts": ["shop.example"],
                    "of": ["sessions"],
                },
                "traffic": {"computed": "traffic", "scope": "session", "of": ["sessions"]},
                "way": {"computed": "traffic", "scope": "session", "direct": "own", "of": ["sessions"]},
            },
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        name: Headings("activation", "engagement")
        for name in ("session", "bounce_rate", "events_per_session", "views_per_session", "key_action")
    } | {name: Headings("retention", "engagement") for name in ("sessions.returning", "returning_share", "session_gap")}
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "sessions"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, book: MinuteBook) -> None:
        self._config = config
        self._book = book
        self._minute = book.columns("sessions", "sessions_started", "sessions_closed", "sessions_bounced")
        self._groups = Groups(config, self.broken_down_as)
        engaged = config.sessions.engaged
        self._rules = Rules(
            config.sessions.timeout,
            config.sessions.max_duration,
            NEVER if engaged.longer_than is None else engaged.longer_than,
            NEVER if engaged.views is None else engaged.views,
            NEVER if engaged.key_actions is None else engaged.key_actions,
            STAYS_BY[config.sessions.bounce],
            np.array([STAYS_BY[name] for name in config.sessions.definitions], np.int64),
            selected(config, config.key_actions),
            config.interacts(config.codes),
            config.shows_presence(config.codes),
        )
        self.users = UserRows(SESSION, dims=self._groups)
        self.closes_at = Deadlines()
        # closes at, start, dims, gap, events, views, key actions, stays
        self.ended = Queue(8, dims=(2, self._groups))
        self._cut = np.zeros(1, SESSION)
        self.windows = Windows(config.windows, self._groups, FIELDS)
        self.bounced_by = Windows(config.windows, self._groups, Names(config.sessions.definitions))
        self.settling = Windows([SETTLING_WINDOW_MS], self._groups, 2)
        self.open = Counters(self._groups)
        self.lifetime = Counters(len(BOUNDS_S) + 2)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.ended.reserve(len(rows))
        ledger = Ledger(
            self.users.rows,
            self.closes_at.times,
            self.ended.heap,
            self._cut,
            self.windows.ring,
            self.bounced_by.ring,
            self.settling.ring,
            self.open.values,
            self.lifetime.values,
            self._book.page,
            self._minute,
        )
        use_events(rows, now_ms, self._rules, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        """Take the open sessions of `slots` out of the present counts: their users are about to be evicted."""
        for slot in slots[self.closes_at.times.at[slots] < NEVER]:
            for d in range(len(self._groups.split.base)):
                self.open.values[group_of(self._groups.split, d, self.users.rows[slot]["dims"])] -= 1

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in what is new since the checkpoint the sessions that are open, and the latest one of each user, if that
        has closed: it may have to be taken back.
        """
        new = self.windows.begin(now_ms)
        slots = np.flatnonzero(self.closes_at.times.at[:users] != NEVER)
        ended = self.ended.heap.rows[: int(self.ended.heap.size[0])]
        starts = np.concatenate([self.users.rows["start"][slots], ended[:, 1]])
        dims = np.concatenate([self.users.rows["dims"][slots], ended[:, 2].astype(np.uint64)])
        gaps = np.concatenate([self.users.rows["gap"][slots], ended[:, 3]])
        returning = gaps != NO_GAP
        for groups in groups_of(self._groups.split, dims):
            self.windows.book(new, starts, groups * FIELDS + STARTED)
            first = groups[returning] * FIELDS
            self.windows.book(new, starts[returning], first + RETURNING)
            self.windows.book(new, starts[returning], first + GAP_MS, gaps[returning])
        self._book_closed(slots[self.closes_at.times.at[slots] >= PASSED], new, now_ms)

    def _book_closed(self, slots: NDArray[Any], new: NDArray[np.int64], now_ms: int) -> None:
        """Book the sessions of `slots`, which have closed, in the `new` windows and by the definitions that are new."""
        sessions, closes_at = self.users.rows[slots], self.closes_at.times.at[slots] - PASSED
        duration = closes_at - self._rules.timeout - sessions["start"]
        buckets = np.searchsorted(np.array(BOUNDS_S) * 1000, duration)
        within = buckets < len(BOUNDS_S)
        amounts = {
            CLOSED: np.ones(len(slots), np.int64),
            BOUNCED: sessions["stays"] & self._rules.stays == 0,
            DURATION_MS: duration,
            WITH_KEY_ACTION: sessions["key_actions"] > 0,
        } | {
            field: sessions[name]
            for field, name in ((EVENTS, "events"), (VIEWS, "views"), (KEY_ACTIONS, "key_actions"))
        }
        apart, new_apart = self._rules.apart, self.bounced_by.begin(now_ms)
        every = np.arange(len(self._config.windows))
        for groups in groups_of(self._groups.split, sessions["dims"]):
            for field, amount in amounts.items():
                self.windows.book(new, closes_at, groups * FIELDS + field, amount)
            self.windows.book(new, closes_at[within], (groups * FIELDS + BUCKETS + buckets)[within])
            for place, bit in enumerate(apart.tolist()):
                bounced = sessions["stays"] & bit == 0
                begun = every if place in self.bounced_by.new_places else new_apart
                self.bounced_by.book(begun, closes_at[bounced], groups[bounced] * len(apart) + place)

    def trail(self, cell: Cell) -> Trail | None:
        if cell.metric in (SETTLING, SETTLING_ENGAGED):
            return trailing(SETTLING_WINDOW_MS, None)
        if cell.metric is BOUNCED_BY and isinstance(cell.window, int):
            trail = trailing(cell.window)
            return trail._replace(parts=(*trail.parts, f"bounced_by.{cell.labels['definition']}"))
        return super().trail(cell)

    def definition(self) -> Definition:
        rules = self._config.sessions.model_dump(mode="json", exclude={"definitions"})
        return presence(self._config).beside(rules | {"key_actions": canonical.selected(self._config.key_actions)})

    def read(self) -> NDArray[np.int64]:
        settling = self.settling.ring
        windowed, groups, lifetime = self.windows.totals.size, len(self._groups), len(self.lifetime.values)
        values = np.zeros(windowed + 3 * groups + lifetime, np.int64)
        read_cumulative(self.windows.totals, FIELDS, BUCKETS, len(BOUNDS_S), values)
        values[windowed : windowed + groups] = self.open.values
        read_settled(settling.panes[0], int(settling.heads[0]), values[windowed + groups : -lifetime])
        values[-lifetime:] = self.lifetime.values
        return np.concatenate([values, self.bounced_by.totals.ravel()])

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._groups.labels)

    def formulas(self) -> list[Formula]:
        return formulas_of(self._config)

    def headlines(self) -> list[Number]:
        return HEADLINES

    def charts(self) -> list[ChartRow]:
        return [CHARTS]

    def tallies(self) -> list[Tally]:
        return tallies_of(self._config)
