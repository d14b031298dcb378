"""Visits: how many begin, end, bounce, and how long they last (METRICS.md 3.3, ordered).

A session is a run of one user's `track`, `page` and `screen` events without a gap longer than `timeout`, and no longer
than `max_duration`. It closes at `last event + timeout`, once the watermark is beyond that:

    events      x   x  x            x       (gap > timeout)      x
    sessions    [-- one ------------]- timeout -|                [-- another
                started                       closed

It is *engaged* once it has lasted longer than `engaged.longer_than`, has `engaged.views` page or screen events, or
`engaged.key_actions` key actions; *bounced* is closed without that. An engaged session never becomes un-engaged, so
among sessions begun 5 to 15 minutes ago the share not yet engaged is an upper bound of their bounce rate that only
falls: `bounce_rate_provisional`, the number to alert on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import compiled, inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config import canonical
from flows.config.model import Config
from flows.messages.columns import PAGE, SCREEN, TRACK
from flows.metrics.cells import Cell, Metric, Tally
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Heat, Line, Number
from flows.metrics.family import Family, Groups, Split, Trail, group_of, groups_of, presence, selected, trailing
from flows.metrics.formulas import ratio, shortfall
from flows.metrics.histograms import BOUNDS_S, Durations, bucket_of, read_cumulative
from flows.metrics.minutes import MinuteBook, Page, note
from flows.metrics.rows import Block, Count, Formula
from flows.state.deadlines import NEVER, Deadlines, Times, overdue, schedule
from flows.state.queue import Heap, Queue, due, pop, push
from flows.state.rows import Counters, UserRows
from flows.state.windows import PANES, Ring, Windows, add, move, pane_of

SESSION: Final = np.dtype(
    [
        ("start", "i8"),  # ms; its last event is at `closes_at - timeout`
        ("dims", "u8"),  # breakdown codes of its first event
        ("events", "i4"),
        ("views", "i4"),  # page and screen events
        ("key_actions", "i4"),
        ("engaged", "u1"),
    ]
)
SETTLING_WINDOW_MS: Final = 15 * 60_000
SETTLING_PANES: Final = 40  # of the 60: those older than 5 minutes
STARTED, CLOSED, BOUNCED, DURATION_MS, EVENTS, KEY_ACTIONS, BUCKETS = range(7)
FIELDS: Final = BUCKETS + len(BOUNDS_S)

SESSIONS_OPEN = Metric("sessions.open", "Sessions that have not closed.", "sessions", "Sessions", "sessions_open")
COUNTS = {
    "started": Metric(
        "sessions.started", "Sessions that began in the window.", "sessions", "Sessions", "window_sessions"
    ),
    "closed": Metric(
        "sessions.closed", "Sessions that closed in the window.", "sessions", "Sessions", "window_sessions"
    ),
    "bounced": Metric(
        "sessions.bounced",
        "Sessions that closed in the window without engagement.",
        "sessions",
        "Sessions",
        "window_sessions",
    ),
    "duration_ms": Metric(
        "sessions.duration_ms", "Total duration of the sessions that closed in the window.", "ms", "Sessions"
    ),
    "events": Metric("sessions.events", "Events in the sessions that closed in the window.", "events", "Sessions"),
    "key_actions": Metric(
        "sessions.key_actions", "Key actions in the sessions that closed in the window.", "actions", "Sessions"
    ),
}
DURATION_LE = Metric(
    "sessions.duration_le_<bound>",
    "Sessions that closed in the window and lasted at most <bound> seconds.",
    "sessions",
    "Sessions",
)
SETTLING = Metric(
    "sessions.settling", "Sessions that began 5 to 15 minutes ago.", "sessions", "Sessions", "sessions_settling"
)
SETTLING_ENGAGED = Metric(
    "sessions.settling_engaged",
    "Sessions that began 5 to 15 minutes ago and are engaged.",
    "sessions",
    "Sessions",
    "sessions_settling_engaged",
)
BOUNCE_RATE = Metric("bounce_rate", "Bounced over closed sessions.", "ratio", "Sessions", "bounce_ratio")
BOUNCE_RATE_PROVISIONAL = Metric(
    "bounce_rate_provisional",
    "Of the sessions that began 5 to 15 minutes ago, the share not yet engaged.",
    "ratio",
    "Sessions",
    "bounce_ratio",
)
DURATION_MEAN = Metric(
    "session_duration_mean",
    "Mean duration of closed sessions.",
    "ms",
    "Sessions",
    "session_duration_mean_seconds",
    0.001,
)
DURATION_QUANTILE = Metric(
    "session_duration_<quantile>",
    "Quantile of the duration of closed sessions.",
    "ms",
    "Sessions",
    "session_duration_quantile_seconds",
    0.001,
)
EVENTS_PER_SESSION = Metric(
    "events_per_session", "Events per closed session.", "events", "Sessions", "events_per_session_ratio"
)
KEY_ACTIONS_PER_SESSION = Metric(
    "key_actions_per_session",
    "Key actions per closed session.",
    "actions",
    "Sessions",
    "key_actions_per_session_ratio",
)
SESSIONS_PER_USER = Metric(
    "sessions_per_user",
    "Sessions started per active user.",
    "sessions",
    "Sessions",
    "sessions_per_user_ratio",
)


DURATIONS = Durations(
    count="sessions.closed",
    sum_ms="sessions.duration_ms",
    below="sessions.duration_le_{}",
    below_metric=DURATION_LE,
    mean=DURATION_MEAN,
    quantile=DURATION_QUANTILE,
    quantile_stem="session_duration_{}",
    percents=(50, 90, 95),
)
HEADLINES = [
    Number("sessions.open", "Open sessions", "Sessions that have not closed."),
    Number(
        "bounce_rate_provisional",
        "Bounce, provisional",
        "Share not yet engaged of the sessions begun 5 to 15 minutes ago: half an hour ahead of the final rate.",
    ),
]
CHARTS = ChartRow(
    "Sessions",
    [
        Course(
            "Sessions",
            "Sessions that began, closed, and closed without engagement in the window.",
            [Line(("sessions.started", "sessions.closed", "sessions.bounced"), "{{state}}", by=("state",))],
            width=8,
        ),
        Course(
            "Bounce",
            "Final: of sessions closed in the window. Provisional: an upper bound, half an hour earlier, for alerts.",
            [Line("bounce_rate_provisional", "provisional"), Line("bounce_rate", "final")],
            width=8,
        ),
        ByBreakdown("bounce_rate_provisional", "Bounce, provisional"),
        Heat(
            "Session durations",
            "Sessions that closed, by how long they lasted. Sessions of one event last 0 s.",
            "session_duration_seconds",
        ),
        Course(
            "Session duration",
            "Quantiles and mean over the sessions closed in the window.",
            [
                Line("session_duration_<quantile>", "quantile {{q}}", by=("q",)),
                Line("session_duration_mean", "mean"),
            ],
        ),
    ],
)
LIFETIME = [f"sessions.lifetime.{bucket}" for bucket in (*BOUNDS_S, "inf", "sum_ms")]


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them; a rule that is off has an unreachable bound."""

    timeout: int
    max_duration: int
    longer_than: int
    views: int
    key_actions: int
    single_event: bool  # bounced: exactly one event
    is_key_action: NDArray[np.bool_]  # by event code
    shows_presence: NDArray[np.bool_]  # by event code; no other event opens a session or goes on with it


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype SESSION, by slot
    closes_at: Times  # last event + timeout of the open session
    ended: Heap  # sessions that max_duration has ended and that have not closed
    windows: Ring
    settling: Ring
    open: NDArray[np.int64]  # by group
    lifetime: NDArray[np.int64]  # closed since the beginning by duration bucket, the last beyond all; then sum of ms
    page: Page
    minute: int  # column of the page: started; closed and bounced follow


class Sessions(Family):
    """Runs of events without a long gap."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "sessions": {"timeout": "5m", "max_duration": "12m", "engaged": {"longer_than": None, "views": 3}},
            "key_actions": ["Bought", {"event": "page_viewed", "where": {"properties.plan": "pro"}}],
            "presence": {"except": ["Left"]},
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["sessions"]}},
        },
        {"lateness": "0s", "sessions": {"timeout": "30s", "bounce": "single_event"}, "events": ["Viewed"]},
    )
    ordered: ClassVar[bool] = True

    def __init__(self, config: Config, book: MinuteBook) -> None:
        self._config = config
        self._book = book
        self._minute = book.columns("sessions", "sessions_started", "sessions_closed", "sessions_bounced")
        self._groups = Groups(config, "sessions")
        engaged = config.sessions.engaged
        self._rules = Rules(
            config.sessions.timeout,
            config.sessions.max_duration,
            NEVER if engaged.longer_than is None else engaged.longer_than,
            NEVER if engaged.views is None else engaged.views,
            NEVER if engaged.key_actions is None else engaged.key_actions,
            config.sessions.bounce == "single_event",
            selected(config, config.key_actions),
            config.shows_presence(config.codes()),
        )
        self.users = UserRows(SESSION, dims=self._groups)
        self.closes_at = Deadlines()
        self.ended = Queue(6, dims=(2, self._groups))  # closes at, start, dims, events, key actions, engaged
        self.windows = Windows(config.windows, self._groups, FIELDS)
        self.settling = Windows([SETTLING_WINDOW_MS], self._groups, 2)
        self.open = Counters(self._groups)
        self.lifetime = Counters(len(BOUNDS_S) + 2)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.ended.reserve(len(rows))
        ledger = Ledger(
            self.users.rows,
            self.closes_at.times,
            self.ended.heap,
            self.windows.ring,
            self.settling.ring,
            self.open.values,
            self.lifetime.values,
            self._book.page,
            self._minute,
        )
        _advance(rows, now_ms, self._rules, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        """Take the open sessions of `slots` out of the present counts: their users are about to be evicted."""
        for slot in slots[self.closes_at.times.at[slots] != NEVER]:
            for d in range(len(self._groups.split.base)):
                self.open.values[group_of(self._groups.split, d, self.users.rows[slot]["dims"])] -= 1

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book the sessions that are open in the windows that are new since the checkpoint."""
        new = self.windows.begin(now_ms)
        slots = np.flatnonzero(self.closes_at.times.at[:users] != NEVER)
        ended = self.ended.heap.rows[: int(self.ended.heap.size[0])]
        starts = np.concatenate([self.users.rows["start"][slots], ended[:, 1]])
        dims = np.concatenate([self.users.rows["dims"][slots], ended[:, 2].astype(np.uint64)])
        for groups in groups_of(self._groups.split, dims):
            self.windows.book(new, starts, groups * FIELDS + STARTED)

    def trail(self, cell: Cell) -> Trail | None:
        if cell.metric in (SETTLING, SETTLING_ENGAGED):
            return trailing(SETTLING_WINDOW_MS, None)
        return super().trail(cell)

    def definition(self) -> Definition:
        rules = self._config.sessions.model_dump(mode="json")
        return presence(self._config).beside(rules | {"key_actions": canonical.selected(self._config.key_actions)})

    def read(self) -> NDArray[np.int64]:
        settling = self.settling.ring
        windowed, groups, lifetime = self.windows.totals.size, len(self._groups), len(self.lifetime.values)
        values = np.zeros(windowed + 3 * groups + lifetime, np.int64)
        read_cumulative(self.windows.totals, FIELDS, BUCKETS, len(BOUNDS_S), values)
        values[windowed : windowed + groups] = self.open.values
        _read_settled(settling.panes[0], int(settling.heads[0]), values[windowed + groups : -lifetime])
        values[-lifetime:] = self.lifetime.values
        return values

    def blocks(self) -> list[Block]:
        windows, groups = self._config.windows, self._groups.labels
        counts = [Count(metric, labels={"state": state}) for state, metric in COUNTS.items()]
        return [
            Block([*counts, *DURATIONS.counts()], windows, groups),
            Block([Count(SESSIONS_OPEN)], groups=groups),
            Block([Count(SETTLING), Count(SETTLING_ENGAGED)], groups=groups),
            Block([Count(None, name) for name in LIFETIME]),
        ]

    def formulas(self) -> list[Formula]:
        windows = self._config.ratio_windows
        return [
            Formula(
                BOUNCE_RATE, ("sessions.bounced", "sessions.closed"), ratio, labels={"stage": "final"}, windows=windows
            ),
            *DURATIONS.formulas(windows),
            Formula(EVENTS_PER_SESSION, ("sessions.events", "sessions.closed"), ratio, windows=windows),
            Formula(KEY_ACTIONS_PER_SESSION, ("sessions.key_actions", "sessions.closed"), ratio, windows=windows),
            Formula(SESSIONS_PER_USER, ("sessions.started", "active_users"), ratio, windows=windows),
            Formula(
                BOUNCE_RATE_PROVISIONAL,
                ("sessions.settling_engaged", "sessions.settling"),
                shortfall,
                labels={"stage": "provisional", "window": "15m"},
            ),
        ]

    def headlines(self) -> list[Number]:
        return HEADLINES

    def charts(self) -> list[ChartRow]:
        return [CHARTS]

    def tallies(self) -> list[Tally]:
        text = "Durations of the sessions that closed since this process started."
        return [Tally("session_duration_seconds", text, LIFETIME, {"product": self._config.product}, BOUNDS_S, 0.001)]


@steady
def _advance(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    move(ledger.windows, now)
    move(ledger.settling, now)
    for i in range(len(rows)):
        prefetch(ledger.closes_at.at, upcoming(rows, i))
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        kind = row["kind"]
        if (kind != TRACK and kind != PAGE and kind != SCREEN) or not rules.shows_presence[row["code"]]:
            continue
        ts = row["ts"]
        slot = row["slot"]
        closes_at = ledger.closes_at.at[slot]
        user = ledger.users[slot]
        if closes_at != NEVER and (ts > closes_at or ts - user["start"] > rules.max_duration):
            if closes_at < now:
                _close_session(user, closes_at, rules, ledger, split)
            else:
                _end_early(user, closes_at, ledger)
            closes_at = NEVER
        if closes_at == NEVER:
            user["start"] = ts
            user["dims"] = row["dims"]
            user["events"] = 0
            user["views"] = 0
            user["key_actions"] = 0
            user["engaged"] = 0
            note(ledger.page, ts, ledger.minute, 1)
            for d in range(len(split.base)):
                group = group_of(split, d, user["dims"])
                ledger.open[group] += 1
                add(ledger.windows, ts, group * FIELDS + STARTED, 1)
                add(ledger.settling, ts, group * 2, 1)
        user["events"] += 1
        if kind != TRACK:
            user["views"] += 1
        if rules.is_key_action[row["code"]]:
            user["key_actions"] += 1
        if not user["engaged"] and _engages(user, ts, rules):
            user["engaged"] = 1
            for d in range(len(split.base)):
                add(ledger.settling, user["start"], group_of(split, d, user["dims"]) * 2 + 1, 1)
        schedule(ledger.closes_at, slot, ts + rules.timeout)

    for block in range(len(ledger.closes_at.soonest)):
        for i in range(overdue(ledger.closes_at, now, block)):
            slot = ledger.closes_at.due[i]
            _close_session(ledger.users[slot], ledger.closes_at.at[slot], rules, ledger, split)
            ledger.closes_at.at[slot] = NEVER
    while due(ledger.ended, now):
        pop(ledger.ended)
        ended = ledger.ended.top
        _close(ended[1], ended[0], ended[2], ended[3], ended[4], ended[5], rules, ledger, split)


@steady
def _read_settled(panes: NDArray[np.int64], head: int, values: NDArray[np.int64]) -> None:
    """The sums over the panes of those begun 5 to 15 minutes ago; `values` are 0."""
    for age in range(PANES - SETTLING_PANES, PANES):
        pane = (head - age) % PANES
        for k in range(panes.shape[1]):
            values[k] += panes[pane, k]


@inlined
def _engages(user: Any, ts: int, rules: Rules) -> bool:
    if rules.single_event:
        return bool(user["events"] > 1)
    return bool(
        ts - user["start"] > rules.longer_than
        or user["views"] >= rules.views
        or user["key_actions"] >= rules.key_actions
    )


@compiled
def _close(
    start: int,
    closes_at: int,
    dims: int,
    events: int,
    key_actions: int,
    engaged: int,
    rules: Rules,
    ledger: Ledger,
    split: Split,
) -> None:
    """Book one session at the time it closes."""
    duration = closes_at - rules.timeout - start
    bucket = bucket_of(BOUNDS_S, duration)
    ledger.lifetime[bucket] += 1
    ledger.lifetime[len(BOUNDS_S) + 1] += duration
    note(ledger.page, closes_at, ledger.minute + 1, 1)
    if not engaged:
        note(ledger.page, closes_at, ledger.minute + 2, 1)
    for d in range(len(split.base)):
        ledger.open[group_of(split, d, dims)] -= 1
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, closes_at)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, dims) * FIELDS
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + CLOSED] += 1
                if not engaged:
                    counts[first + BOUNCED] += 1
                counts[first + DURATION_MS] += duration
                counts[first + EVENTS] += events
                counts[first + KEY_ACTIONS] += key_actions
                if bucket < len(BOUNDS_S):
                    counts[first + BUCKETS + bucket] += 1


@inlined
def _close_session(user: Any, closes_at: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    _close(
        user["start"],
        closes_at,
        user["dims"],
        user["events"],
        user["key_actions"],
        user["engaged"],
        rules,
        ledger,
        split,
    )


@inlined
def _end_early(user: Any, closes_at: int, ledger: Ledger) -> None:
    """Put a session that max_duration has cut aside until it closes."""
    place = push(ledger.ended, closes_at)
    ledger.ended.rows[place, 1] = user["start"]
    ledger.ended.rows[place, 2] = np.int64(user["dims"])
    ledger.ended.rows[place, 3] = user["events"]
    ledger.ended.rows[place, 4] = user["key_actions"]
    ledger.ended.rows[place, 5] = user["engaged"]
