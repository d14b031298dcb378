"""Where people fall out on the way: one funnel of ordered steps (METRICS.md 3.4, 5.3, ordered).

An *attempt* begins with an event of step 1 and ends converted (all steps reached), dropped, or where the funnel has
exclusions excluded; in between it is in progress. Everything is booked by the time of entry, so in every window

    entered = converted + in_progress + dropped + excluded

An attempt is dropped when the watermark is beyond `start + window`, or, with `within_step`, beyond the last step done +
within_step; with `order: strict` also by an event that is no next step. Each event is judged in this order: the
deadlines, exclusion, the next step, re-entry or strictness. With `hold`, an event that has another value in the held
field than the entry had, or none, is no next step. What ends an attempt without converting it may begin a new one. An
attempt that ended early stays what it was in both conversion rates: not converted, and over when its whole window has
passed. (Taken out of those at risk, it would count as one that might have converted.)

Absence is all that can be taken back: an attempt that ran out of time goes on when an event of its time comes late, but
in order. What an event has ended is over.

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
from flows.config import funnel as section
from flows.config.model import Config, format_duration
from flows.messages.columns import NEVER
from flows.metrics.cells import Cell
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import NO_VALUES, Family, Groups, Tie, Trail, groups_of, presence, selected, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.funnels.alerts import alerts_of
from flows.metrics.funnels.books import Books
from flows.metrics.funnels.cells import (
    BUCKETS,
    DROPPED,
    ENTERED,
    IN_PROGRESS,
    MATURED,
    MATURED_CONVERTED,
    blocks_of,
    counters_of,
    formulas_of,
)
from flows.metrics.funnels.charts import charts_of, headlines_of
from flows.metrics.funnels.loop import ATTEMPT, Attempts, Rules, use_events
from flows.metrics.funnels.options import DROPPED as OUT_OF_TIME
from flows.metrics.funnels.options import IN_PROGRESS as UNDER_WAY
from flows.metrics.funnels.options import OPTIONAL_ATTEMPT, OptionalAttempts, Options, use_events_with_options
from flows.metrics.histograms import BOUNDS_S, read_cumulative
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block, Formula
from flows.metrics.survival import AGES, read_ages
from flows.state.deadlines import PASSED, Deadlines
from flows.state.queue import Queue
from flows.state.rows import UserRows
from flows.state.windows import PANES, Windows


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
        {
            "funnels": {
                "strict": {"window": "10m", "order": "strict", "steps": ["Viewed", "Added", "Bought"]},
                "any": {"window": "10m", "order": "any", "steps": ["Viewed", "Added", ["Bought", "Viewed"]]},
                "any_latest": {"window": "7m", "order": "any", "reentry": "latest", "steps": ["Viewed", "Added"]},
                "stepwise": {"window": "10m", "within_step": "4m", "steps": ["Viewed", "Added", "Bought"]},
                "calm": {"window": "10m", "exclude": ["Left", "Viewed"], "steps": ["Viewed", "Added", "Bought"]},
                "once": {"window": "10m", "attempts": "once", "steps": ["Viewed", "Bought"]},
            },
            "presence": {"except": ["Pinged"]},
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["funnels"]}},
        },
        {
            "funnels": {
                "all": {
                    "window": "1h",
                    "order": "strict",
                    "within_step": "10m",
                    "exclude": [{"event": "Left", "where": {"properties.why": "bored"}}, "Added"],
                    "attempts": "once",
                    "steps": ["Viewed", ["Added", "Bought"], "Bought"],
                },
                "loose": {
                    "window": "30m",
                    "order": "any",
                    "within_step": "7m",
                    "exclude": ["Left"],
                    "steps": ["Viewed", "Added", "Bought", "Added"],
                },
                "moved": {
                    "window": "10m",
                    "within_step": "3m",
                    "reentry": "latest",
                    "attempts": "once",
                    "steps": ["Viewed", "Added", "Bought"],
                },
            },
            "ratio_windows": ["5m", "1h"],
        },
        {
            "funnels": {
                "same": {"window": "10m", "hold": "properties.id", "steps": ["Viewed", "Added", "Bought"]},
                "same_any": {
                    "window": "10m",
                    "order": "any",
                    "within_step": "4m",
                    "hold": "properties.id",
                    "steps": ["Viewed", "Added", ["Bought", "page_viewed"]],
                },
                "same_latest": {
                    "window": "7m",
                    "reentry": "latest",
                    "hold": 'context."Shop Id"',
                    "steps": ["Viewed", "Viewed", "Bought"],
                },
                "same_strict": {
                    "window": "10m",
                    "order": "strict",
                    "exclude": ["Left"],
                    "attempts": "once",
                    "hold": "properties.id",
                    "steps": [["Viewed", "identify"], "Added"],
                },
            },
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios"], "of": ["funnels"]},
                "first": {"field": "properties.id", "values": ["3"], "scope": "first"},
            },
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
        self._window = funnel.window
        self._steps = len(funnel.steps)
        self._counters = counters_of(funnel)
        self._columns = book.columns(f"funnel.{name}", f"funnel.{name}.entered", f"funnel.{name}.converted")
        self._rules = Rules(funnel.reentry == "latest", _matches(config, funnel))
        self._options = _options(config, funnel, self._rules) if funnel.has_options else None
        self.users = UserRows(ATTEMPT if self._options is None else OPTIONAL_ATTEMPT, dims=self._groups)
        self.tie = _tie(config, funnel)
        self.held = None if self.tie is None else UserRows(np.uint64)  # what the entry had in the held field
        self.drops_at = Deadlines()
        self.converted = Queue(2 if self._options is None else 3, dims=(1, self._groups))  # start + window, dims, ...
        self.windows = Windows(config.windows, self._groups, self._counters)
        self.matured = Windows(config.ratio_windows, self._groups, 2)
        self.under_way = Windows([funnel.window], self._groups)
        self.by_age = Windows([funnel.window], self._groups, PANES)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.converted.reserve(len(rows))
        of_users, drops_at, over = self.users.rows, self.drops_at.times, self.converted.heap
        books, split = self._books(), self._groups.split
        if self._options is None:
            use_events(rows, now_ms, self._rules, Attempts(of_users, drops_at, over), books, split)
        else:
            entries = NO_VALUES if self.held is None else self.held.rows
            attempts = OptionalAttempts(of_users, drops_at, over, entries)
            use_events_with_options(rows, self.tied_values, now_ms, self._options, attempts, books, split)

    def _books(self) -> Books:
        return Books(
            self._window,
            self._steps,
            self._counters,
            self.windows.ring,
            self.matured.ring,
            self.under_way.ring,
            self.by_age.ring,
            self._book.page,
            self._columns,
        )

    def _in_progress(self, slots: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Those of `slots` with an attempt in progress, and when it began (ms)."""
        if self._options is None:
            slots = slots[self.drops_at.times.at[slots] < NEVER]
            return slots, self.drops_at.times.at[slots] - self._window
        slots = slots[self.users.rows["state"][slots] == UNDER_WAY]
        return slots, self.users.rows["start"][slots]

    def _out_of_time(self, slots: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same of those whose latest attempt was dropped because of the time."""
        if self._options is None:
            slots = slots[self.drops_at.times.at[slots] >= PASSED]
            return slots, self.drops_at.times.at[slots] - PASSED - self._window
        slots = slots[self.users.rows["state"][slots] == OUT_OF_TIME]
        return slots, self.users.rows["start"][slots]

    def forget(self, slots: NDArray[Any]) -> None:
        """Count the attempts in progress of `slots` as dropped: their users are about to be evicted."""
        slots, starts = self._in_progress(slots)
        every = np.arange(len(self._config.windows))
        for groups in groups_of(self._groups.split, self.users.rows["dims"][slots]):
            outcomes = groups * self._counters + self._steps
            self.windows.book(every, starts, outcomes + IN_PROGRESS, -1)
            self.windows.book(every, starts, outcomes + DROPPED, 1)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in the windows that are new since the checkpoint the attempts in progress, and those that are the latest
        of their user and ran out of time: the drop may have to be taken back.
        """
        new, new_matured = self.windows.begin(now_ms), self.matured.begin(now_ms - self._window)
        every = np.arange(users)
        for outcome, (slots, starts) in ((IN_PROGRESS, self._in_progress(every)), (DROPPED, self._out_of_time(every))):
            reached = self.users.rows["reached"][slots]
            up = self.drops_at.times.at[slots] >= PASSED
            for groups in groups_of(self._groups.split, self.users.rows["dims"][slots]):
                self.windows.book(new, starts, groups * self._counters + self._steps + outcome)
                for step in range(self._steps):
                    there = reached > step
                    self.windows.book(new, starts[there], groups[there] * self._counters + step)
                self.matured.book(new_matured, starts[up], groups[up] * 2 + ENTERED)

    def trail(self, cell: Cell) -> Trail | None:
        window = self._window
        if cell.metric is None:  # the ages of those under way
            return trailing(window, None)
        if cell.metric not in (MATURED, MATURED_CONVERTED) or not isinstance(cell.window, int):
            return super().trail(cell)
        at_entry = trailing(cell.window, "ratio_window")
        return at_entry._replace(key=f"{at_entry.key} before", begins=lambda now_ms: at_entry.begins(now_ms - window))

    def definition(self) -> Definition:
        """An option that is not used is not in it: funnels without options go on with the state that they had."""
        funnel = self._config.funnels[self._name]
        words: dict[str, Any] = {
            "window": format_duration(funnel.window),
            "steps": [canonical.step(step) for step in funnel.steps],
            "reentry": funnel.reentry,
        }
        if funnel.order != "sequential":
            words["order"] = funnel.order
        if funnel.within_step is not None:
            words["within_step"] = format_duration(funnel.within_step)
        if funnel.exclude:
            words["exclude"] = canonical.selected(funnel.exclude)
        if funnel.hold is not None:
            words["hold"] = canonical.field(funnel.hold)
        if funnel.attempts != "all":
            words["attempts"] = funnel.attempts
        return presence(self._config).beside(words) if funnel.order == "strict" else Definition(words)

    def read(self) -> NDArray[np.int64]:
        windowed, matured = self.windows.totals.size, self.matured.totals.size
        values = np.zeros(windowed + matured + AGES * len(self._groups), np.int64)
        read_cumulative(self.windows.totals, self._counters, self._steps + BUCKETS, len(BOUNDS_S), values)
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


def _matches(config: Config, funnel: section.Funnel) -> NDArray[np.uint32]:
    """By event code: bit k is set when the event is one of step k."""
    steps = (selected(config, step).astype(np.uint32) << np.uint32(k) for k, step in enumerate(funnel.steps))
    return np.asarray(sum(steps), np.uint32)


def _options(config: Config, funnel: section.Funnel, rules: Rules) -> Options:
    codes = config.codes
    return Options(
        *rules,
        any_order=funnel.order == "any",
        within_step=funnel.window if funnel.within_step is None else min(funnel.within_step, funnel.window),
        once=funnel.attempts == "once",
        excludes=selected(config, funnel.exclude),
        breaks_in=config.shows_presence(codes) & (funnel.order == "strict"),
        holds=funnel.hold is not None,
    )


def _tie(config: Config, funnel: section.Funnel) -> Tie | None:
    if funnel.hold is None:
        return None
    field = list(config.held_fields()).index(canonical.field(funnel.hold))
    return Tie(field, selected(config, (selector for step in funnel.steps for selector in step)))
