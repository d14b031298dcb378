"""How rows of one kind come into a shard, whatever they are: events, or facts of one kind.

    receive   they wait, with the clock readings of their polls      (cheap: polls are small)
    taken     all that wait, in one array: the clock at each, which are late, which are copies

Events then get the slots of their users and go to the reorder buffer. Facts wait in their lane until W is beyond
`used` = max(ts, clock - lateness), and go on in its order, so that one on time takes its turn at its own time, and a
late one when it is read, if late ones of its kind count. Where they do not, a fact of a user shares the fate of its
event: one that is late, but in order for its user, takes its turn at its own time, too (`latecomers.py`).

Where facts of a user count under what a session or the user began with, each has what its event was stamped with
(`stamps.py`); a late one then takes its turn with its event, when W has reached the bound that it missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flows.config.model import OTHER, Config
from flows.facts.fact import Fact
from flows.facts.words import Label
from flows.measure.clock import Reading, StreamClock, judge
from flows.measure.dedup import Recent
from flows.measure.reorder import order_of
from flows.measure.stamps import stamps_of
from flows.measure.users import Users
from flows.messages.columns import NEVER, joined
from flows.metrics.family import Family, Groups, Listed
from flows.state.axes import Legend, Names, Words
from flows.state.container import Arrays, Container

NOTHING: Final = np.zeros(0, np.uint64)


class Taken(NamedTuple):
    """Rows in the order read, and what is to be known of each."""

    rows: NDArray[Any]
    clocks: NDArray[np.int64]  # the clock at each, ms
    late: NDArray[np.bool_]
    copies: NDArray[np.bool_]


class Lane:
    """The rows of one kind that have come and are not looked at yet, and the ids of those before them."""

    def __init__(self, dtype: DTypeLike, config: Config) -> None:
        self.recent = Recent(config.dedup_horizon)
        self._dtype = dtype
        self._lateness = config.lateness
        self._waiting: list[tuple[NDArray[Any], Reading]] = []
        self._rows = 0

    def __len__(self) -> int:
        """Rows that wait."""
        return self._rows

    def receive(self, rows: NDArray[Any], reading: Reading) -> None:
        """Let rows wait (or their bytes) that were read when the clocks stood at `reading`."""
        self._waiting.append((rows, reading))
        self._rows += len(rows) * rows.itemsize // np.dtype(self._dtype).itemsize

    def taken(self, floor_ms: int) -> Taken | None:
        """All that wait, which then wait no more; None when there are none. What is before `floor_ms` is late."""
        if not self._waiting:
            return None
        size = np.dtype(self._dtype).itemsize
        lengths = [len(rows) * rows.itemsize // size for rows, _ in self._waiting]
        rows = joined([rows for rows, _ in self._waiting], self._dtype)
        readings = [reading for _, reading in self._waiting]
        clocks, late = judge(rows, lengths, readings, self._lateness, floor_ms)
        self._waiting.clear()
        self._rows = 0
        return Taken(rows, clocks, late, self.recent.copies(rows, clocks))


class Turns(Container):
    """`facts`: those whose turn has not come, in the order read."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._hold(np.zeros(0, dtype))

    def _hold(self, facts: NDArray[Any]) -> None:
        self.facts = facts
        self._soonest = int(facts["used"].min()) if len(facts) else NEVER

    def add(self, facts: NDArray[Any]) -> None:
        """Let these wait as well."""
        if len(facts):
            self._hold(joined([self.facts, facts], facts.dtype))

    def passed(self, watermark_ms: int) -> NDArray[Any]:
        """Those with `used` before the watermark, by it; ties by partition, then as they were read: by offset."""
        facts = self.facts
        if self._soonest >= watermark_ms:
            return facts[:0]
        passed = facts["used"] < watermark_ms
        due = facts.compress(passed)
        self._hold(facts.compress(~passed))
        return due.take(order_of(due["used"], due["partition"]))

    def waiting(self, now_ms: int) -> NDArray[Any]:
        """Those whose own time has come, in the order read."""
        come = self.facts["ts"] <= now_ms
        return self.facts if come.all() else self.facts.compress(come)

    def save(self, users: int) -> Arrays:
        return {"facts": self.facts}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._hold(arrays["facts"].copy())


class TurnsOfFacts(Turns):
    """The same of facts with codes: `dims` says what those of breakdowns stand for."""

    def __init__(self, fact: Fact, dims: Words) -> None:
        super().__init__(fact.dtype)
        self._dims = dims
        self._labels = {
            field.column: Names(field.labels, rest=OTHER) for field in fact.fields if isinstance(field, Label)
        }

    def legend(self) -> Legend:
        return {"dims": self._dims.legend(), "labels": {name: one.legend() for name, one in self._labels.items()}}

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        if past is None:  # an earlier build did not say what codes stood for
            return {"facts": arrays["facts"][:0]}
        facts = arrays["facts"].copy()
        facts["dims"] = self._dims.words(facts["dims"], past["dims"])
        for column, labels in self._labels.items():
            facts[column] = labels.places(facts[column], past["labels"][column])
        return {"facts": facts}


class FactLane:
    """The facts of one kind in a shard, on their way to the families that take them."""

    def __init__(self, fact: Fact | Listed, config: Config, families: Mapping[str, Family]) -> None:
        self.fact = fact
        self._lane = Lane(fact.dtype, config)
        self.recent = self._lane.recent
        self.turns = TurnsOfFacts(fact, Groups(config, None)) if isinstance(fact, Fact) else Turns(fact.dtype)
        self.families = families
        self._lateness = config.lateness
        self.stamps = stamps_of(config, fact, families) if isinstance(fact, Fact) else None
        self._in_order = NOTHING  # of the facts that wait to be looked at: those beside such events

    def __len__(self) -> int:
        """Facts that have not been looked at."""
        return len(self._lane)

    def receive(self, facts: NDArray[Any], reading: Reading) -> None:
        """Let facts wait (or their bytes) that were read when the clocks stood at `reading`."""
        self._lane.receive(facts, reading)

    @property
    def waits_for_events(self) -> bool:
        """Whether the event of a fact has to be judged before it: whether it is in order for its user."""
        return self.fact.by_user and not self.fact.late_counts

    def note(self, in_order: NDArray[np.uint64]) -> None:
        """These events (`record_of`) are late, but in order for their user, and so are the facts beside them."""
        self._in_order = np.concatenate([self._in_order, in_order])

    def settle(self, floor_ms: int) -> None:
        """Drop copies, and say when each fact takes its turn: not before `floor_ms`, where W has been."""
        in_order, self._in_order = self._in_order, NOTHING
        taken = self._lane.taken(floor_ms)
        if taken is None:
            return
        facts, kept = taken.rows, ~taken.copies
        facts["clock"] = np.maximum(taken.clocks - self._lateness, floor_ms)
        facts["used"] = np.maximum(facts["ts"], facts["clock"])
        if not self.fact.late_counts and taken.late.any():
            late = np.flatnonzero(taken.late)
            in_place = late[np.isin(record_of(facts.take(late)), in_order)]
            if self.stamps is None:
                facts["used"][in_place] = facts["ts"][in_place]
            else:
                facts["used"][in_place] -= 1  # from the bound that its event has missed: as soon as W is there
            taken.late[in_place] = False
            kept &= ~taken.late
        self.turns.add(facts.compress(kept))

    def advance(
        self,
        clock: StreamClock,
        users: Users,
        since: Mapping[str, int],
        make_room: Callable[[], None],
    ) -> None:
        """Hand on the facts whose turn has come, and let the families stand at the watermark.

        A family that began at `since` (ms) gets none from before. `make_room` gives the families room for all users.
        """
        self.settle(clock.floor_ms)
        self.recent.forget(clock.now_ms)
        facts = self.turns.passed(clock.watermark_ms)
        if self.fact.by_user and len(facts):
            facts["slot"] = users.slots(facts)
            make_room()  # a user may have been evicted since the event was used
        if self.stamps is not None:
            self.stamps.give(facts)
        for name, family in self.families.items():
            family.advance(counted(facts, since.get(name, 0)), users.count, clock.watermark_ms)


def record_of(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """Of events or facts: one number for the partition and offset of the record that each was in."""
    records: NDArray[np.uint64] = rows["offset"].astype(np.uint64) << np.uint64(16)
    return records | rows["partition"].astype(np.uint64) & np.uint64(0xFFFF)


def counted(rows: NDArray[Any], since_ms: int) -> NDArray[Any]:
    """Those rows that a family counts which began at `since_ms`; 0: with the stream."""
    if not since_ms or not len(rows):
        return rows
    seen = rows["ts"] >= since_ms
    return rows if seen.all() else rows.compress(seen)
