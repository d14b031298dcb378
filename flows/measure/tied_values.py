"""Values of fields that funnels hold constant, beside the events that show them, until these are used.

    read    a b c d e     values   b: 7  d: 9        joined when they are admitted, by partition and offset
    wait    a b c d e     steps    b: 7  c: 0  d: 9  in a buffer of the same kind
    turn    d a b e c     steps    d: 9  b: 7  c: 0  released and sorted in the same way

An event has no column for them, so that events are what they were for everybody else. A family that is tied to a field
has a second buffer, of its steps alone, whose rows have the value in place of breakdown codes. What is admitted,
released and sorted like the events comes out in the order of the events: so the values of the steps are found by
counting, and nothing has to be looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, inlined
from flows.measure.lane import counted
from flows.measure.latecomers import in_turns
from flows.measure.reorder import Waiting
from flows.messages.columns import TIED_VALUE, joined
from flows.metrics.family import Family, Tie

Turn: TypeAlias = tuple[NDArray[Any], int]
"""Rows, and the time to stand at after them."""


class TiedValues:
    """What is shown of one shard's events to those of `families` that are tied to a field."""

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._families = {name: family for name, family in families.items() if family.tie is not None}
        self._ties = {name: family.tie for name, family in self._families.items() if family.tie is not None}
        self._fields = 1 + max((tie.field for tie in self._ties.values()), default=-1)
        self._read: list[NDArray[Any]] = []
        self._admitted: dict[str, tuple[NDArray[Any], NDArray[np.intp]]] = {}  # steps, and where among all events
        self._turns: dict[str, Iterator[Turn]] = {}
        self.waiting = {name: Waiting() for name in self._ties}
        """By family: its steps that have not been used, with their values in place of `dims`."""

    def __len__(self) -> int:
        return len(self._ties)

    def receive(self, values: NDArray[Any]) -> None:
        """Let the values of a poll wait (dtype TIED_VALUE, or their bytes) for its events to be admitted."""
        self._read.append(values)

    def admit(self, events: NDArray[Any], copies: NDArray[np.bool_], held: NDArray[Any]) -> None:
        """The events read since (dtype EVENT) are admitted, without the copies as `held` (dtype HELD)."""
        if not self._ties:
            return
        found = np.zeros((self._fields, len(events)), np.uint64)
        _join(events, joined([np.zeros(0, TIED_VALUE), *self._read], TIED_VALUE), found)
        self._read.clear()
        found = found[:, ~copies]
        self._admitted = {name: self._steps(tie, held, found[tie.field]) for name, tie in self._ties.items()}
        for name, (steps, _) in self._admitted.items():
            self.waiting[name].add(steps)

    def admit_late(self, in_order: NDArray[np.bool_], bounds: NDArray[np.int64]) -> None:
        """Those of the events just admitted are late, but in order, and have missed `bounds` (ms, one for each)."""
        if not self._ties:
            return
        places = np.cumsum(in_order) - 1
        for name, (steps, events) in self._admitted.items():
            late = in_order[events]
            rows = steps.compress(late)
            rows["late"] = 0
            self.waiting[name].admit_late(rows, bounds[places[events[late]]])

    def _steps(self, tie: Tie, held: NDArray[Any], values: NDArray[np.uint64]) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """The steps among `held`, and which these are."""
        events = np.flatnonzero(tie.events[held["code"]])
        steps = held.take(events)
        steps["dims"] = values[events]
        steps["slot"] = 0  # nobody asks for it, and eviction renumbers users
        return steps, events

    def release(self, turns: Sequence[int], now_ms: int, watermark_ms: int) -> None:
        """What has passed `watermark_ms` is about to be used, in `turns`, as `in_turns` takes them."""
        for name, waiting in self.waiting.items():
            passed = waiting.release(now_ms, watermark_ms).passed
            self._turns[name] = in_turns(passed, waiting.late(watermark_ms), turns, watermark_ms)

    def show(self, rows: NDArray[Any], since: Mapping[str, int]) -> None:
        """Show the tied families the values of the `rows` of the next turn; each gets those since it began (ms)."""
        for name, family in self._families.items():
            steps, _ = next(self._turns[name])
            began = since.get(name, 0)
            seen = counted(rows, began)
            family.tied_values = np.zeros(len(seen), np.uint64)
            family.tied_values[self._ties[name].events[seen["code"]]] = counted(steps, began)["dims"]


@compiled
def _join(events: NDArray[Any], values: NDArray[Any], found: NDArray[np.uint64]) -> None:
    """Write `values` to `found`, shape (fields, events); they are in the order of their events."""
    v = 0
    for i in range(len(events)):
        event = events[i]
        while v < len(values) and _of_record(values[v], event["partition"], event["offset"]):
            found[values[v]["field"], i] = values[v]["value"]
            v += 1


@inlined
def _of_record(value: Any, partition: int, offset: int) -> bool:
    return bool(value["partition"] == partition and value["offset"] == offset)
