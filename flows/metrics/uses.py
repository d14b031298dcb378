"""Uses of one thing by users: what goals and features have in common (METRICS.md 5.1, ordered).

Every event that the thing's selectors choose is a use of it, whatever the event's type, and though it shows nobody. In
each window: the uses, the users whose latest use lies in it, and those whose first use ever does, under the value that
this showed. Few users use most things, so a user has a row here from the first use on, and none before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import steady
from flows.config import canonical
from flows.config.alerts import UsesFall
from flows.config.model import Config
from flows.config.selectors import Selector
from flows.messages.columns import NO_TIME
from flows.metrics.alerts import Amount, CountFell, Series, label_of, window_of
from flows.metrics.cells import Cell, Metric
from flows.metrics.days import begin_of_day, note_on_day
from flows.metrics.distinct import renew
from flows.metrics.family import Family, Groups, Split, Trail, group_of, selected, trailing
from flows.metrics.minutes import MinuteBook, Page, open_from
from flows.metrics.rows import Block, Count
from flows.state.pairs import BYTES_OF_PAIR, TIME, Latest, Pairs, has_room, position
from flows.state.rows import Counters
from flows.state.windows import Ring, Windows, add, move, pane_of

EVENTS, USERS, FIRST = range(3)
FIELDS: Final = 3
EVERYBODY: Final = 0
"""The group of the total."""
NOT_BY_DAY: Final = -1


class Ledger(NamedTuple):
    """What the kernel writes to."""

    latest: Latest
    windows: Ring
    ever: NDArray[np.int64]  # (1,) users with a row
    page: Page
    day: int  # column of the days: users; or NOT_BY_DAY


class Uses(Family):
    """Who uses the thing called `name`, how often, and since when."""

    ordered: ClassVar[bool] = True
    KIND: ClassVar[str]
    """What the thing is: begins the names of its cells, and is the label that has its name."""
    METRICS: ClassVar[Mapping[str, Metric]]
    """Of uses, users and first users, in this order, by how the names of their cells end."""

    BY_DAY: ClassVar[bool] = False
    """Whether closed days have its users."""

    def __init__(self, config: Config, name: str, events: Sequence[Selector], book: MinuteBook) -> None:
        self._config = config
        self._name = name
        self._events = events
        self._groups = Groups(config, self.broken_down_as)
        self._is_use = selected(config, events)  # by event code
        self.windows = Windows(config.windows, self._groups, FIELDS)
        self.latest = Pairs(self._groups)
        self.ever = Counters(1)  # users with a row
        self._book = book
        self._day = book.days.columns(self.stem, f"{self.stem}.users") if self.BY_DAY else NOT_BY_DAY

    @property
    def stem(self) -> str:
        """How the names of its cells begin."""
        return f"{self.KIND}.{self._name}"

    @property
    def labels(self) -> dict[str, str]:
        """Of all its series."""
        return {self.KIND: self._name}

    @property
    def bytes_per_use(self) -> int:
        return BYTES_OF_PAIR * len(self._groups.split.base)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        done = 0
        while True:
            ledger = Ledger(self.latest.latest, self.windows.ring, self.ever.values, self._book.page, self._day)
            done = _advance(rows, done, now_ms, self._is_use, ledger, self._groups.split)
            if done == len(rows):
                return
            self.latest.reserve(len(self._groups.split.base))

    def forget(self, slots: NDArray[Any]) -> None:
        """Users who are evicted are not known any more, and so do not count as ever having used it."""
        held, groups, _ = self.latest.since(NO_TIME + 1)
        self.ever.values[0] -= np.isin(held[groups == EVERYBODY], slots).sum()

    def rebuild(self, users: int, now_ms: int) -> None:
        """Count who is in the windows that are new since the checkpoint, which is known of everybody."""
        _, groups, times = self.latest.since(NO_TIME + 1)
        self.windows.book(self.windows.begin(now_ms), times, groups * FIELDS + USERS)

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once with users; how often, and who for the first time, begins then."""
        if cell.metric is self.METRICS["users"] and isinstance(cell.window, int):
            return trailing(cell.window, None)
        return super().trail(cell)

    def read(self) -> NDArray[np.int64]:
        return self.windows.totals.ravel()

    def blocks(self) -> list[Block]:
        rows = [Count(metric, f"{self.stem}.{end}", self.labels) for end, metric in self.METRICS.items()]
        return [Block(rows, self._config.windows, self._groups.labels)]

    def definition(self) -> Definition:
        return Definition({"events": canonical.selected(self._events)})


def users_fell(kind: str, alert: str, names: Sequence[str], config: Config, limits: UsesFall) -> Iterator[CountFell]:
    """Fewer users of any of the things called `names` than usual; `{kind}_users` is their Prometheus family."""
    window_ms = window_of(config.windows, limits.window)
    window = label_of(window_ms)
    if names:
        yield CountFell(
            name=f"{kind}_users",
            alert=alert,
            about=f"Users of each {kind} within {window}.",
            counts=[
                Amount(
                    "now",
                    f"Users of {name}.",
                    Series(f"{kind}_users", {kind: name, "window": window}),
                    labels={"what": name},
                )
                for name in names
            ],
            window_ms=window_ms,
            drop=limits.drop,
            below=limits.below,
            least=limits.users,
            summary=f"Only {{{{ $value }}}} users of the {kind} {{{{ $labels.what }}}} of {{{{ $labels.product }}}}",
            description=f"{{{{ $value }}}} users used it within {window}.",
            severity=limits.severity,
        )


@steady
def _advance(
    rows: NDArray[Any], first_row: int, now: int, is_use: NDArray[np.bool_], ledger: Ledger, split: Split
) -> int:
    """Use the rows from `first_row` on; returns how many are done: not all, where a use may find no room."""
    latest, ring = ledger.latest, ledger.windows
    move(ring, now)
    for i in range(first_row, len(rows)):
        use = rows[i]
        if not is_use[use["code"]]:
            continue
        if not has_room(latest, len(split.base)):
            return i
        ts = use["ts"]
        first = False
        for d in range(len(split.base)):
            group = group_of(split, d, use["dims"])
            at = position(latest, use["slot"], group)
            before = latest.entries[at, TIME]
            latest.entries[at, TIME] = ts
            if d == EVERYBODY:
                first = before == NO_TIME
                ledger.ever[0] += first
                if ledger.day != NOT_BY_DAY and before < begin_of_day(ledger.page.days, ts):
                    note_on_day(ledger.page.days, ts, open_from(ledger.page), ledger.day, 1)
            for w in range(len(ring.widths)):
                new = pane_of(ring, w, ts)
                old = -1 if before == NO_TIME else pane_of(ring, w, before)
                if new != old:
                    renew(ring, w, old, new, group * FIELDS + USERS)
            add(ring, ts, group * FIELDS + EVENTS, 1)
            if first:
                add(ring, ts, group * FIELDS + FIRST, 1)
    return len(rows)
