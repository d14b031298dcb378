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
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config import canonical
from flows.config.model import Config, format_duration
from flows.metrics.cells import Cell, Metric
from flows.metrics.charts import ByBreakdown, Chart, ChartRow, Course, Line, Number, Spread, Steps
from flows.metrics.family import Family, Groups, Split, Trail, group_of, groups_of, selected, trailing
from flows.metrics.formulas import conversion_live, conversion_live_se, ratio, shortfall
from flows.metrics.histograms import BOUNDS_S, Durations, bucket_of, read_cumulative
from flows.metrics.minutes import MinuteBook, Page, note
from flows.metrics.rows import Block, Count, Formula
from flows.state.deadlines import NEVER, Deadlines, Times, overdue, schedule
from flows.state.queue import Heap, Queue, due, pop, push
from flows.state.rows import UserRows
from flows.state.windows import PANES, Ring, Windows, add, move, pane_of

ATTEMPT: Final = np.dtype(
    [
        ("dims", "u8"),  # breakdown codes of the entry event
        ("reached", "u1"),  # steps reached; it began at `drops_at - window`
    ]
)
CONVERTED, IN_PROGRESS, DROPPED, CONVERT_MS, BUCKETS = range(5)
OUTCOMES: Final = BUCKETS + len(BOUNDS_S)
"""Counters of a group: attempts by step reached come first, as many as the funnel has, then these many."""
ENTERED, COMPLETED = range(2)  # counters of matured attempts

STEP = Metric(
    "funnel.<name>.<nn_step>",
    "Attempts entered in the window that reached the step.",
    "attempts",
    "Funnels",
    "funnel_attempts",
)
STATES = {
    "converted": Metric(
        "funnel.<name>.converted",
        "Attempts entered in the window that reached the last step.",
        "attempts",
        "Funnels",
        "funnel_attempts_by_state",
    ),
    "in_progress": Metric(
        "funnel.<name>.in_progress",
        "Attempts entered in the window that are still in progress.",
        "attempts",
        "Funnels",
        "funnel_attempts_by_state",
    ),
    "dropped": Metric(
        "funnel.<name>.dropped",
        "Attempts entered in the window that ran out of time.",
        "attempts",
        "Funnels",
        "funnel_attempts_by_state",
    ),
}
CONVERT_SUM = Metric("funnel.<name>.convert_ms", "Sum of the times from entry to the last step.", "ms", "Funnels")
CONVERT_LE = Metric(
    "funnel.<name>.convert_le_<bound>",
    "Attempts that converted within at most <bound> seconds.",
    "attempts",
    "Funnels",
)
CONVERT_MEAN = Metric(
    "funnel.<name>.convert_mean",
    "Mean time from entry to the last step.",
    "ms",
    "Funnels",
    "funnel_convert_mean_seconds",
    0.001,
)
CONVERT_QUANTILE = Metric(
    "funnel.<name>.convert_<quantile>",
    "Quantile of the time from entry to the last step.",
    "ms",
    "Funnels",
    "funnel_convert_quantile_seconds",
    0.001,
)
DROP_OFF = Metric(
    "funnel.<name>.drop_off_<nn>",
    "Share of the attempts at the previous step that did not reach step <nn>.",
    "ratio",
    "Funnels",
    "funnel_drop_off_ratio",
)
MATURED = Metric(
    "funnel.<name>.matured",
    "Matured attempts: those entered in the window as of one funnel window ago.",
    "attempts",
    "Funnels",
    "funnel_matured_attempts",
)
MATURED_CONVERTED = Metric(
    "funnel.<name>.matured_converted",
    "Matured attempts that converted.",
    "attempts",
    "Funnels",
    "funnel_matured_converted",
)
CONVERSION = Metric(
    "funnel.<name>.conversion_matured",
    "Converted over entered, of the matured attempts.",
    "ratio",
    "Funnels",
    "funnel_conversion_ratio",
)
CONVERSION_LIVE = Metric(
    "funnel.<name>.conversion_live",
    "Kaplan-Meier estimate of the conversion of the attempts in progress.",
    "ratio",
    "Funnels",
    "funnel_conversion_ratio",
)
CONVERSION_LIVE_SE = Metric(
    "funnel.<name>.conversion_live_se",
    "Standard error of the live conversion (Greenwood).",
    "ratio",
    "Funnels",
    "funnel_conversion_standard_error",
)


CONVERSION_CHART = Course(
    "Conversion",
    "Live: Kaplan-Meier over attempts under way, with two standard errors to either side. "
    "Matured: of attempts whose time is up, a funnel window late.",
    [
        Line("funnel.<name>.conversion_live", "live"),
        Line(
            "funnel.<name>.conversion_live",
            "live, lower bound",
            spread=Spread("funnel.<name>.conversion_live_se", -2),
        ),
        Line(
            "funnel.<name>.conversion_live",
            "live, upper bound",
            spread=Spread("funnel.<name>.conversion_live_se", 2),
        ),
        Line("funnel.<name>.conversion_matured", "matured"),
    ],
    width=8,
)
CHARTS: list[Chart] = [
    Steps(
        "Drop-off",
        "Of the attempts at the step before, the share that has not reached this step (yet).",
        "funnel.<name>.drop_off_<nn>",
        "step",
        largest=1,
        bad_is_large=True,
    ),
    Course(
        "Attempts",
        "Attempts entered in the chosen window, by what has become of them.",
        [Line(tuple(metric.name for metric in STATES.values()), "{{state}}", by=("state",))],
        stacked=True,
        width=8,
    ),
    CONVERSION_CHART,
    ByBreakdown("funnel.<name>.conversion_live", "Live conversion"),
    Course(
        "Time to convert",
        "From entry to the last step, of attempts entered in the chosen window that have converted.",
        [
            Line("funnel.<name>.convert_<quantile>", "quantile {{q}}", by=("q",)),
            Line("funnel.<name>.convert_mean", "mean"),
        ],
        width=8,
    ),
]


class Rules(NamedTuple):
    """The config's numbers as the kernel takes them."""

    window: int  # ms
    steps: int
    latest: bool  # re-entry moves the start while only step 1 has been reached
    matches: NDArray[np.uint32]  # by event code: bit k is set when the event is one of step k (from 0)
    page_column: int  # of `entered` in the minute book; `converted` is the next


class Ledger(NamedTuple):
    """What the kernel writes to."""

    users: NDArray[Any]  # dtype ATTEMPT, by slot
    drops_at: Times  # start + window of the attempt in progress
    converted: Heap  # converted attempts whose time is not up
    windows: Ring
    matured: Ring  # stands a funnel window behind
    under_way: Ring  # over the funnel window: attempts in progress
    by_age: Ring  # over the funnel window: conversions by age
    page: Page


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
    ordered: ClassVar[bool] = True

    def __init__(self, config: Config, name: str, book: MinuteBook) -> None:
        funnel = config.funnels[name]
        self._config = config
        self._name = name
        self._stem = f"funnel.{name}"
        self._book = book
        self._step_names = funnel.step_names()
        self._groups = Groups(config, "funnels")
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
        _advance(rows, now_ms, self._rules, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        """Count the attempts in progress of `slots` as dropped: their users are about to be evicted."""
        for slot in slots[self.drops_at.times.at[slots] != NEVER]:
            start = int(self.drops_at.times.at[slot]) - self._rules.window
            for d in range(len(self._groups.split.base)):
                group = group_of(self._groups.split, d, self.users.rows[slot]["dims"])
                add(self.windows.ring, start, group * self._fields + self._rules.steps + IN_PROGRESS, -1)
                add(self.windows.ring, start, group * self._fields + self._rules.steps + DROPPED, 1)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book the attempts in progress in the windows that are new since the checkpoint."""
        new = self.windows.begin(now_ms)
        slots = np.flatnonzero(self.drops_at.times.at[:users] != NEVER)
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
        values = np.zeros(windowed + matured + 2 * PANES * len(self._groups), np.int64)
        read_cumulative(self.windows.totals, self._fields, self._rules.steps + BUCKETS, len(BOUNDS_S), values)
        values[windowed : windowed + matured] = self.matured.totals.ravel()
        _read_ages(self.under_way.ring, self.by_age.totals, values[windowed + matured :])
        return values

    def _durations(self) -> Durations:
        return Durations(
            count=f"{self._stem}.converted",
            sum_ms=f"{self._stem}.convert_ms",
            below=f"{self._stem}.convert_le_{{}}",
            below_metric=CONVERT_LE,
            mean=CONVERT_MEAN,
            mean_stem=f"{self._stem}.convert_mean",
            quantile=CONVERT_QUANTILE,
            quantile_stem=f"{self._stem}.convert_{{}}",
        )

    def _ages(self) -> list[str]:
        return [f"{self._stem}.{fate}_at_{age}" for fate in ("converted", "censored") for age in range(PANES)]

    def blocks(self) -> list[Block]:
        stem, funnel, groups = self._stem, {"funnel": self._name}, self._groups.labels
        windowed = [
            *(Count(STEP, f"{stem}.{step}", {"step": step}) for step in self._step_names),
            *(Count(metric, f"{stem}.{state}", {"state": state}) for state, metric in STATES.items()),
            Count(CONVERT_SUM, f"{stem}.convert_ms"),
            *self._durations().counts(),
        ]
        matured = [Count(MATURED, f"{stem}.matured"), Count(MATURED_CONVERTED, f"{stem}.matured_converted")]
        return [
            Block(_labelled(windowed, funnel), self._config.windows, groups),
            Block(_labelled(matured, funnel), self._config.ratio_windows, groups),
            Block([Count(None, age) for age in self._ages()], groups=groups),
        ]

    def headlines(self) -> list[Number]:
        return [
            Number(
                "funnel.<name>.conversion_live",
                f"Conversion: {self._name}",
                "Kaplan-Meier estimate over the attempts under way; hardly moved by surges of traffic.",
                {"funnel": self._name},
            )
        ]

    def charts(self) -> list[ChartRow]:
        window = format_duration(self._rules.window)
        steps = Steps(
            "Steps",
            f"Attempts entered in the chosen window, by the step they reached. An attempt has {window} to convert.",
            "funnel.<name>.<nn_step>",
            "step",
        )
        return [ChartRow(f"Funnel: {self._name}", [steps, *CHARTS], {"funnel": self._name}, "Funnels")]

    def formulas(self) -> list[Formula]:
        stem, windows, ages = self._stem, self._config.ratio_windows, self._ages()
        found = [
            *(
                Formula(
                    DROP_OFF,
                    (f"{stem}.{step}", f"{stem}.{before}"),
                    shortfall,
                    f"{stem}.drop_off_{number:02d}",
                    {"step": step},
                    windows,
                )
                for number, (before, step) in enumerate(pairwise(self._step_names), start=2)
            ),
            *self._durations().formulas(windows),
            Formula(
                CONVERSION,
                (f"{stem}.matured_converted", f"{stem}.matured"),
                ratio,
                f"{stem}.conversion_matured",
                {"kind": "matured"},
                windows,
            ),
            Formula(CONVERSION_LIVE, ages, conversion_live, f"{stem}.conversion_live", {"kind": "live"}),
            Formula(CONVERSION_LIVE_SE, ages, conversion_live_se, f"{stem}.conversion_live_se"),
        ]
        return [replace(formula, labels={"funnel": self._name, **formula.labels}) for formula in found]


def _labelled(rows: Sequence[Count], labels: Mapping[str, str]) -> list[Count]:
    return [replace(row, labels={**labels, **row.labels}) for row in rows]


@steady
def _advance(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    move(ledger.windows, now)
    move(ledger.matured, now - rules.window)
    move(ledger.under_way, now)
    move(ledger.by_age, now)
    for i in range(len(rows)):
        prefetch(ledger.drops_at.at, upcoming(rows, i))
        prefetch(ledger.users, upcoming(rows, i))
        row = rows[i]
        steps = rules.matches[row["code"]]
        if steps == 0:
            continue
        ts = row["ts"]
        slot = row["slot"]
        attempt = ledger.users[slot]
        drops_at = ledger.drops_at.at[slot]
        if drops_at != NEVER and ts > drops_at:
            _drop(attempt, drops_at, rules, ledger, split)
            drops_at = NEVER
            ledger.drops_at.at[slot] = NEVER
        if drops_at == NEVER:
            if steps & 1:
                attempt["reached"] = 1
                attempt["dims"] = row["dims"]
                schedule(ledger.drops_at, slot, ts + rules.window)
                _enter(attempt["dims"], ts, 1, rules, ledger, split)
                note(ledger.page, ts, rules.page_column, 1)
        elif (steps >> attempt["reached"]) & 1:
            attempt["reached"] += 1
            _reach(attempt, drops_at - rules.window, ts, rules, ledger, split)
            if attempt["reached"] == rules.steps:
                ledger.drops_at.at[slot] = NEVER
                note(ledger.page, ts, rules.page_column + 1, 1)
                place = push(ledger.converted, drops_at)
                ledger.converted.rows[place, 1] = np.int64(attempt["dims"])
        elif rules.latest and steps & 1 and attempt["reached"] == 1:
            _enter(attempt["dims"], drops_at - rules.window, -1, rules, ledger, split)
            attempt["dims"] = row["dims"]
            schedule(ledger.drops_at, slot, ts + rules.window)
            _enter(attempt["dims"], ts, 1, rules, ledger, split)

    for block in range(len(ledger.drops_at.soonest)):
        for i in range(overdue(ledger.drops_at, now, block)):
            slot = ledger.drops_at.due[i]
            _drop(ledger.users[slot], ledger.drops_at.at[slot], rules, ledger, split)
            ledger.drops_at.at[slot] = NEVER
    while due(ledger.converted, now):
        pop(ledger.converted)
        start = ledger.converted.top[0] - rules.window
        for d in range(len(split.base)):
            group = group_of(split, d, ledger.converted.top[1])
            add(ledger.matured, start, group * 2 + ENTERED, 1)
            add(ledger.matured, start, group * 2 + COMPLETED, 1)


@steady
def _read_ages(under_way: Ring, converted: NDArray[np.int64], ages: NDArray[np.int64]) -> None:
    """By group, 60 counts of attempts converted by age, then 60 of those in progress (censored), by theirs."""
    for group in range(under_way.totals.shape[1]):
        first = 2 * PANES * group
        for age in range(PANES):
            ages[first + age] = converted[0, group * PANES + age]
            ages[first + PANES + age] = under_way.panes[0, (under_way.heads[0] - age) % PANES, group]


@inlined
def _count(
    dims: int, start: int, field: int, amount: int, in_progress: int, rules: Rules, ledger: Ledger, split: Split
) -> None:
    """Count `amount` in `field` of all windows that hold `start`, and so many in progress."""
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, dims) * (rules.steps + OUTCOMES)
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + field] += amount
                counts[first + rules.steps + IN_PROGRESS] += in_progress


@inlined
def _enter(dims: int, start: int, amount: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book an attempt that begins at `start` (amount 1), or take it back (-1)."""
    _count(dims, start, 0, amount, amount, rules, ledger, split)
    for d in range(len(split.base)):
        add(ledger.under_way, start, group_of(split, d, dims), amount)


@inlined
def _reach(attempt: Any, start: int, ts: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the step that `attempt` has just reached, and the conversion when it is the last."""
    age = ts * PANES // rules.window - start * PANES // rules.window
    bucket = bucket_of(BOUNDS_S, ts - start)
    reached = attempt["reached"]
    converts = reached == rules.steps
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, attempt["dims"]) * (rules.steps + OUTCOMES)
            outcome = first + rules.steps
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + reached - 1] += 1
                if converts:
                    counts[outcome + CONVERTED] += 1
                    counts[outcome + IN_PROGRESS] -= 1
                    counts[outcome + CONVERT_MS] += ts - start
                    if bucket < len(BOUNDS_S):
                        counts[outcome + BUCKETS + bucket] += 1
    if converts:
        for d in range(len(split.base)):
            group = group_of(split, d, attempt["dims"])
            add(ledger.under_way, start, group, -1)
            add(ledger.by_age, start, group * PANES + min(age, PANES - 1), 1)


@inlined
def _drop(attempt: Any, drops_at: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the end of an attempt that ran out of time."""
    start = drops_at - rules.window
    _count(attempt["dims"], start, rules.steps + DROPPED, 1, -1, rules, ledger, split)
    for d in range(len(split.base)):
        add(ledger.matured, start, group_of(split, d, attempt["dims"]) * 2 + ENTERED, 1)
