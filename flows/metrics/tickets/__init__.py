"""Support: how many tickets come, wait, grow serious, and how long they take (METRICS.md 5.11, ordered).

A ticket is whatever has one `ticket_id`, whoever sends its events. It is *created*, *escalated*, *resolved*,
*reopened*; each transition is booked at the time of its event. Repeated ones count once:

    created      always opens. One that is open, and was seen created, stays as it is; one that was resolved begins anew
    escalated    counts the first time
    resolved     counts when the ticket was open
    reopened     counts when it was resolved

A ticket that was never seen created counts as open, and under `unknown` in breakdowns; its escalation and its
resolution are `tickets.unknown` as well, and that it is reopened counts nowhere. It is not among `tickets.open`. All
others count under the breakdown values of their creation. At all times, of those seen created,

    open = created + reopened - resolved - evicted while open        (since the beginning)

Each resolution of a ticket that was seen created books the time since its creation, and none of that is taken back when
it is reopened. `tickets.created_escalated` is booked at the creation: of the tickets created in a window, those that
have been escalated by now.

Transitions are used in the order in which W passes them. One that is read late is used at its own time, if none of its
ticket lies between its time and the bound that it missed; else it is left out.

A ticket that was resolved is as one never seen 30 days after its last transition. A shard keeps at most
`tickets_per_shard`: beyond, those resolved longest ago are forgotten, then the longest open, and counted in
`tickets.evicted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.limits import Limits
from flows.config.model import Config
from flows.config.tickets import CREATED
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Groups, groups_of
from flows.metrics.frameworks import Headings
from flows.metrics.histograms import LONG_BOUNDS_S, read_cumulative
from flows.metrics.rows import Block, Formula
from flows.metrics.tickets.alerts import alerts_of
from flows.metrics.tickets.cells import BUCKETS, COUNTERS, CREATED_ESCALATED, FRAMEWORKS, blocks_of, formulas_of
from flows.metrics.tickets.charts import HEADLINES, charts_of
from flows.metrics.tickets.fact import ticket_fact
from flows.metrics.tickets.loop import DONE, FORGET_MS, OPEN, STATE, Ledger, use_transitions
from flows.state.rows import Counters
from flows.state.table import Table
from flows.state.windows import Windows

EVICTED_AT_ONCE: Final = 0.05
"""Share of the tickets evicted when the limit is reached, so that it is rare."""


class Tickets(Family):
    """Tickets by their ids, and what has happened to them."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "tickets": {},
            "breakdowns": {"severity": {"field": "properties.severity", "values": ["low", "high"], "of": ["tickets"]}},
        },
        {
            "tickets": {"events": {"Case Opened": "created", "Case Closed": "resolved"}},
            "windows": ["1h", "7d"],
            "ratio_windows": [],
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = FRAMEWORKS
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "tickets"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, limits: Limits) -> None:
        assert config.tickets is not None
        self._config = config
        self.takes = ticket_fact(config.tickets)
        self._most = limits.tickets_per_shard
        self._groups = Groups(config, self.broken_down_as)
        self.tickets = Table(STATE, dims=self._groups)
        self.windows = Windows(config.windows, self._groups, COUNTERS)
        self.open = Counters(self._groups)
        self.evicted = Counters(1)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        if len(self.tickets) + len(rows) > min(self._most, self.tickets.capacity):
            self._forget(len(rows), now_ms)
        self.tickets.reserve(len(rows))
        ledger = Ledger(self.tickets.entries, self.windows.ring, self.open.values)
        use_transitions(rows, now_ms, self._groups.unknown, ledger, self._groups.split)

    def _forget(self, more: int, now_ms: int) -> None:
        """Drop the tickets of which nothing is known any more; and to make room for so many, the longest resolved, then
        the longest open.
        """
        tickets = self.tickets.known
        done = tickets["stage"] == DONE
        kept = ~(done & (now_ms - tickets["last"] > FORGET_MS))
        surplus = int(kept.sum()) + more - self._most
        if surplus > 0:
            surplus += int(EVICTED_AT_ONCE * self._most)
            there = np.flatnonzero(kept)
            there = there[np.lexsort((tickets["last"][there], ~done[there]))][:surplus]
            kept[there] = False
            self.evicted.values += len(there)
            gone = tickets.take(there)
            for groups in groups_of(self._groups.split, gone["dims"][(gone["stage"] == OPEN) & (gone["known"] == 1)]):
                np.subtract.at(self.open.values, groups, 1)
        self.tickets.retain(kept)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in the windows that are new since the checkpoint the creation of the tickets that are known: those that
        escalate later are counted among them.
        """
        new, known = self.windows.begin(now_ms), self.tickets.known
        gone = (known["stage"] == DONE) & (now_ms - known["last"] > FORGET_MS)
        created = known[(known["known"] == 1) & ~gone]
        escalated = created["escalated"] == 1
        for groups in groups_of(self._groups.split, created["dims"]):
            first = groups * COUNTERS
            self.windows.book(new, created["created"], first + CREATED)
            self.windows.book(new, created["created"][escalated], first[escalated] + CREATED_ESCALATED)

    def read(self) -> NDArray[np.int64]:
        totals, groups = self.windows.totals, len(self._groups)
        values = np.zeros(1 + groups + totals.size, np.int64)
        values[:1] = self.evicted.values
        values[1 : 1 + groups] = self.open.values
        read_cumulative(totals, COUNTERS, BUCKETS, len(LONG_BOUNDS_S), values[1 + groups :])
        return values

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._groups.labels)

    def formulas(self) -> list[Formula]:
        return list(formulas_of(self._config))

    def definition(self) -> Definition:
        return Definition({})  # which events are transitions is how facts are read: it holds from then on

    def headlines(self) -> list[Number]:
        return HEADLINES

    def charts(self) -> list[ChartRow]:
        return charts_of(self._config)
