"""What occurs most: the values of one field by the events that show them, or by users (METRICS.md 5.7, arrival).

`top.<list>.<w>` is no cell but a list of values, over 5m, 1h and 24h: an open set of texts, which no breakdown could
name. Each value is counted in one shard, that of its hash. A shard has `limits.top_values` slots for each list; a value
keeps its slot for as long as it counts in 24 h, and what finds none counts in `top.<list>.other.<w>`. So a list is
exact for every value that has had a slot since it was seen, and `other` says how much it does not show.

With `count: users` a value counts the distinct users whose latest event with it lies in the window, and `other` the
users of values without a slot: one who shows several of them counts once in each shard. Of pairs of value and user a
shard keeps `limits.top_pairs`, as long as they count in 24 h; beyond that, each event of a new pair counts in `other`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.limits import Limits
from flows.config.model import Config
from flows.config.notation import field_text, keys_of
from flows.config.top import WINDOWS_MS
from flows.messages.columns import NO_TIME
from flows.messages.partial import Ranked
from flows.metrics.cells import Metric
from flows.metrics.charts import ChartRow, Listing
from flows.metrics.family import Family, Listed
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Count
from flows.metrics.top.loop import (
    DAY_MS,
    KNOWN,
    OTHER,
    PAIRS,
    REFUSED,
    ROW,
    STEP,
    VALUES,
    Books,
    take_back,
    use,
)
from flows.metrics.top.texts import Texts
from flows.state.growing import GrowingWindows
from flows.state.table import Table
from flows.state.windows import PANES, move

REST: Final = Metric(
    "top.<name>.other",
    "Of the window, events or users that a top list does not count because their value found no slot.",
    "values",
    "Top lists",
    "top_other",
)

WORDS: Final = {
    "events": "The values that most events of the window show.",
    "users": "The values that most users of the window have shown.",
}


class Top(Family):
    """One list in one shard."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "top": {
                "pages": {"field": "context.page.path", "k": 3},
                "visited": {"field": "context.page.path", "count": "users", "k": 2},
            },
            "lateness": "1m",
        },
        {"top": {"plans": {"field": "properties.plan", "count": "users"}}, "lateness": "0s", "dedup_horizon": "1h"},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "top": Headings("acquisition", None, why="HEART has no heading for what is looked at most.")
    }
    ordered: ClassVar[bool] = False

    def __init__(self, config: Config, name: str, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._config = config
        self._section = config.top[name]
        self._name = name
        self.lists: Listed = Listed(f"values.{name}")
        self._by_user = self._section.count == "users"
        self._limits = np.array([limits.top_values, limits.top_pairs], np.int64)
        self.values = Table(KNOWN)
        self.pairs = Table(KNOWN)
        self.windows = GrowingWindows(WINDOWS_MS)
        self.texts = Texts()
        self._swept = NO_TIME  # the pane for which room was made last
        self._read: NDArray[np.int64] = np.zeros(len(WINDOWS_MS), np.int64)
        self._ranked: Ranked = ((),) * len(WINDOWS_MS)
        self._told = False  # both are as they were told last, when nothing waited

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        """Use `rows` (dtype VALUE), sorted by their turns, which have come; `now_ms` is T."""
        stood = self.windows.ring.heads.tolist()
        move(self.windows.ring, now_ms)
        self._told = self._told and not len(rows) and stood == self.windows.ring.heads.tolist()
        if len(rows):
            self._make_room(int(rows["used"][0]) * PANES // DAY_MS)
            self._use(rows, in_turn=True)

    def foresee(self, waiting: NDArray[Any]) -> None:
        """Let `read` and `ranked` say what they will once the turns of `waiting` (with ts <= T) have come."""
        if self._told and not len(waiting):
            return
        log, refused = self._use(waiting, in_turn=False)
        if refused or len(self.values) > self._limits[VALUES] or len(self.pairs) > self._limits[PAIRS]:
            # Then it makes a difference who is first, and what has left the 24 h meanwhile.
            take_back(self._books(), waiting, log, len(waiting))
            waiting = waiting.take(np.lexsort((waiting["offset"], waiting["partition"], waiting["used"])))
            log, _ = self._use(waiting, in_turn=True)
        self.texts.learn(self.values.entries.keys[: len(self.values)])
        self._read = self.windows.totals[:, OTHER].copy()
        self._ranked = tuple(self._largest(totals) for totals in self.windows.totals)
        self._told = not len(waiting)
        take_back(self._books(), waiting, log, len(waiting))

    def read(self) -> NDArray[np.int64]:
        return self._read

    def ranked(self) -> Ranked:
        """By window: the k values that count most, (count, text), ties by text."""
        return self._ranked

    def blocks(self) -> list[Block]:
        return [Block([Count(REST, f"top.{self._name}.other", {"list": self._name})], WINDOWS_MS)]

    def definition(self) -> Definition:
        path = field_text(keys_of(self._section.field) or ())
        return Definition({"field": path, "count": self._section.count})

    def charts(self) -> list[ChartRow]:
        """One row for all lists, drawn by the first."""
        lists = self._config.top
        if self._name != next(iter(lists)):
            return []
        charts = [
            Listing(name.replace("_", " "), WORDS[one.count], name, REST.name, one.k, one.export)
            for name, one in lists.items()
        ]
        return [ChartRow("Top lists", charts)]

    def _largest(self, totals: NDArray[np.int64]) -> tuple[tuple[int, str], ...]:
        counts = totals[1 : len(self.values) + 1]
        rows = np.flatnonzero(counts)
        most = self._section.k
        if len(rows) > most:
            least = np.partition(counts[rows], len(rows) - most)[len(rows) - most]
            rows = rows[counts[rows] >= least]
        keys = self.values.entries.keys[rows].tolist()
        found = ((count, self.texts.of[key]) for count, key in zip(counts[rows].tolist(), keys, strict=True))
        return tuple(sorted(found, key=lambda one: (-one[0], one[1]))[:most])

    def _use(self, rows: NDArray[Any], *, in_turn: bool) -> tuple[NDArray[Any], int]:
        """Use rows, with as much room as they need; what they changed, and how many found no room."""
        log = np.zeros(len(rows), STEP)
        live = np.array([len(self.values), len(self.pairs)], np.int64)
        at = np.array([0, NO_TIME, 0], np.int64)
        while at[ROW] < len(rows):
            self.values.reserve(1)
            self.pairs.reserve(1)
            self.windows.reserve(self.values.capacity + 1)
            use(self._books()._replace(live=live, at=at), rows, log, self._by_user, in_turn)
        return log, int(at[REFUSED])

    def _books(self) -> Books:
        nothing = np.zeros(3, np.int64)
        return Books(self.values.entries, self.pairs.entries, self.windows.ring, self._limits, nothing, nothing)

    def _make_room(self, pane: int) -> None:
        """Forget what has left the 24 h now that turns have come to `pane`: it is as if it had never been."""
        if pane == self._swept:
            return
        self._swept = pane
        kept = self.values.known["last"] * PANES // DAY_MS > pane - PANES
        if not kept.all():
            self.values.retain(kept)
            self.windows.retain(np.concatenate([[OTHER], np.flatnonzero(kept) + 1]), self.values.capacity + 1)
            self.texts.retain(self.values.entries.keys[: len(self.values)])
        kept = self.pairs.known["last"] * PANES // DAY_MS > pane - PANES
        if not kept.all():
            self.pairs.retain(kept)
