"""Where people fall out on the way: one funnel of ordered steps (METRICS.md 3.4, ordered).

An *attempt* begins with an event of step 1 and ends converted (last step reached), or dropped (the watermark is beyond
`start + window`); in between it is in progress. Everything is booked by the time of entry, so in every window

    entered = converted + in_progress + dropped

Three conversion rates answer three questions. `conversion_matured`: of the attempts whose time is up, which share
converted (exact, but a funnel window old). `conversion_live`: the Kaplan-Meier estimate over the attempts of the last
funnel window, unmoved by traffic surges: the one to alert on. Completions / entries is neither and is not published.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.model import Config
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.family import Groups, Split, cell_name, group_of, pairs_of, selected, window_label
from flows.metrics.formulas import BOUNDS_S, conversion_live, conversion_live_se, quantile_ms, ratio, shortfall
from flows.metrics.minutes import FUNNELS, MinuteBook, Page, note
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
STEPS: Final = BUCKETS + len(BOUNDS_S)  # the steps' counters follow
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
        "Attempts entered in the window that are under way.",
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
    "Attempts converted within at most <bound> seconds.",
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
    "Share of the attempts at the step before that did not reach step <nn>.",
    "ratio",
    "Funnels",
    "funnel_drop_off_ratio",
)
MATURED = Metric(
    "funnel.<name>.matured",
    "Attempts whose time is up, entered in the window as it stood a funnel window ago.",
    "attempts",
    "Funnels",
    "funnel_matured_attempts",
)
MATURED_CONVERTED = Metric(
    "funnel.<name>.matured_converted",
    "Those of them that converted.",
    "attempts",
    "Funnels",
    "funnel_matured_converted",
)
CONVERSION = Metric(
    "funnel.<name>.conversion_matured",
    "Converted over entered of the matured attempts.",
    "ratio",
    "Funnels",
    "funnel_conversion_ratio",
)
CONVERSION_LIVE = Metric(
    "funnel.<name>.conversion_live",
    "Kaplan-Meier estimate of the conversion of attempts under way.",
    "ratio",
    "Funnels",
    "funnel_conversion_ratio",
)
CONVERSION_LIVE_SE = Metric(
    "funnel.<name>.conversion_live_se",
    "Its standard error (Greenwood).",
    "ratio",
    "Funnels",
    "funnel_conversion_standard_error",
)


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


class Funnel:
    """The attempts of one funnel."""

    ordered: ClassVar[bool] = True

    def __init__(self, config: Config, name: str, book: MinuteBook) -> None:
        funnel = config.funnels[name]
        self._config = config
        self._name = name
        self._book = book
        self._step_names = funnel.step_names()
        self._groups = Groups(config, "funnels")
        matches = sum(selected(config, step).astype(np.uint32) << np.uint32(k) for k, step in enumerate(funnel.steps))
        self._rules = Rules(
            funnel.window,
            len(funnel.steps),
            funnel.reentry == "latest",
            np.asarray(matches, np.uint32),
            FUNNELS + 2 * list(config.funnels).index(name),
        )
        self._fields = STEPS + len(funnel.steps)
        self.users = UserRows(ATTEMPT)
        self.drops_at = Deadlines()
        self.converted = Queue(2)  # start + window, dims
        self.windows = Windows(config.windows, len(self._groups) * self._fields)
        self.matured = Windows(config.ratio_windows, len(self._groups) * 2)
        self.under_way = Windows([funnel.window], len(self._groups))
        self.by_age = Windows([funnel.window], len(self._groups) * PANES)

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
                add(self.windows.ring, start, group * self._fields + IN_PROGRESS, -1)
                add(self.windows.ring, start, group * self._fields + DROPPED, 1)

    def read(self) -> NDArray[np.int64]:
        windowed, matured = self.windows.totals.size, self.matured.totals.size
        values = np.zeros(windowed + matured + 2 * PANES * len(self._groups), np.int64)
        _read_windows(self.windows.totals, self._fields, values)
        values[windowed : windowed + matured] = self.matured.totals.ravel()
        _read_ages(self.under_way.ring, self.by_age.totals, values[windowed + matured :])
        return values

    def _cell(self, metric: str, window: int | None, group: dict[str, str]) -> str:
        return cell_name(f"funnel.{self._name}.{metric}", window, group)

    def cells(self) -> list[Cell]:
        funnel = {"funnel": self._name}
        cells = []
        for window, group in pairs_of(self._config.windows, self._groups):
            labels = funnel | window_label(window) | group
            for step in self._step_names:
                cells.append(Cell(self._cell(step, window, group), STEP, {"step": step} | labels))
            for state, metric in STATES.items():
                cells.append(Cell(self._cell(state, window, group), metric, {"state": state} | labels))
            cells.append(Cell(self._cell("convert_ms", window, group), CONVERT_SUM, labels))
            for bound in BOUNDS_S:
                cells.append(Cell(self._cell(f"convert_le_{bound}", window, group), CONVERT_LE, labels))
        for window, group in pairs_of(self._config.ratio_windows, self._groups):
            labels = funnel | window_label(window) | group
            cells.append(Cell(self._cell("matured", window, group), MATURED, labels))
            cells.append(Cell(self._cell("matured_converted", window, group), MATURED_CONVERTED, labels))
        cells += [Cell(name, None) for group in self._groups.labels for name in self._age_cells(group)]
        return cells

    def _age_cells(self, group: dict[str, str]) -> list[str]:
        return [
            self._cell(f"{fate}_at_{age}", None, group) for fate in ("converted", "censored") for age in range(PANES)
        ]

    def derived(self) -> list[Derived]:
        derived = []
        for window, group in pairs_of(self._config.ratio_windows, self._groups):
            labels = {"funnel": self._name} | window_label(window) | group

            def name(metric: str, window: int = window, group: dict[str, str] = group) -> str:
                return self._cell(metric, window, group)

            for number, (before, step) in enumerate(zip(self._step_names, self._step_names[1:], strict=False), start=2):
                derived.append(
                    Derived(
                        name(f"drop_off_{number:02d}"),
                        DROP_OFF,
                        (name(step), name(before)),
                        shortfall,
                        {"step": step} | labels,
                    )
                )
            converted = name("converted")
            derived.append(Derived(name("convert_mean"), CONVERT_MEAN, (name("convert_ms"), converted), ratio, labels))
            buckets = [name(f"convert_le_{bound}") for bound in BOUNDS_S]
            for percent, quantile in _QUANTILES.items():
                derived.append(
                    Derived(
                        name(f"convert_p{percent}"),
                        CONVERT_QUANTILE,
                        (converted, *buckets),
                        quantile,
                        {"q": str(percent / 100)} | labels,
                    )
                )
            derived.append(
                Derived(
                    name("conversion_matured"),
                    CONVERSION,
                    (name("matured_converted"), name("matured")),
                    ratio,
                    {"kind": "matured"} | labels,
                )
            )
        for group in self._groups.labels:
            live = {"funnel": self._name, "kind": "live"} | group
            ages = self._age_cells(group)
            derived.append(
                Derived(self._cell("conversion_live", None, group), CONVERSION_LIVE, ages, conversion_live, live)
            )
            derived.append(
                Derived(
                    self._cell("conversion_live_se", None, group),
                    CONVERSION_LIVE_SE,
                    ages,
                    conversion_live_se,
                    {"funnel": self._name} | group,
                )
            )
        return derived


_QUANTILES = {
    50: lambda count, *buckets: quantile_ms(0.50, count, *buckets),
    90: lambda count, *buckets: quantile_ms(0.90, count, *buckets),
}


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
def _read_windows(totals: NDArray[np.int64], fields: int, values: NDArray[np.int64]) -> None:
    """By window and group: entries and steps, the states and the sum of times, then the times up to each bound."""
    place = 0
    for w in range(totals.shape[0]):
        for first in range(0, totals.shape[1], fields):
            for field in range(STEPS, fields):
                values[place] = totals[w, first + field]
                place += 1
            below = 0
            for field in range(STEPS):
                count = totals[w, first + field]
                below = count + below if field > BUCKETS else count
                values[place] = below
                place += 1


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
            first = group_of(split, d, dims) * (STEPS + rules.steps)
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + field] += amount
                counts[first + IN_PROGRESS] += in_progress


@inlined
def _enter(dims: int, start: int, amount: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book an attempt that begins at `start` (amount 1), or take it back (-1)."""
    _count(dims, start, STEPS, amount, amount, rules, ledger, split)
    for d in range(len(split.base)):
        add(ledger.under_way, start, group_of(split, d, dims), amount)


@inlined
def _reach(attempt: Any, start: int, ts: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the step that `attempt` has just reached, and the conversion when it is the last."""
    age = ts * PANES // rules.window - start * PANES // rules.window
    bucket = 0
    while bucket < len(BOUNDS_S) and ts - start > BOUNDS_S[bucket] * 1000:
        bucket += 1
    reached = attempt["reached"]
    converts = reached == rules.steps
    windows = ledger.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            field = group_of(split, d, attempt["dims"]) * (STEPS + rules.steps)
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[field + STEPS + reached - 1] += 1
                if converts:
                    counts[field + CONVERTED] += 1
                    counts[field + IN_PROGRESS] -= 1
                    counts[field + CONVERT_MS] += ts - start
                    if bucket < len(BOUNDS_S):
                        counts[field + BUCKETS + bucket] += 1
    if converts:
        for d in range(len(split.base)):
            group = group_of(split, d, attempt["dims"])
            add(ledger.under_way, start, group, -1)
            add(ledger.by_age, start, group * PANES + min(age, PANES - 1), 1)


@inlined
def _drop(attempt: Any, drops_at: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    """Book the end of an attempt that ran out of time."""
    start = drops_at - rules.window
    _count(attempt["dims"], start, DROPPED, 1, -1, rules, ledger, split)
    for d in range(len(split.base)):
        add(ledger.matured, start, group_of(split, d, attempt["dims"]) * 2 + ENTERED, 1)
