"""Drives a source as Bytewax does: every part in turn, round after round; and inside a tiny real flow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.source.kafka import KafkaSource
from tests.services import DEADLINE_SECONDS


class Rounds:
    """A source's parts outside a flow; `items` is what they have handed on, in order."""

    def __init__(self, source: FixedPartitionedSource[Raw | Tick, Any], states: dict[str, Any] | None = None) -> None:
        self.items: list[Raw | Tick] = []
        self.parts: dict[str, StatefulSourcePartition[Raw | Tick, Any]] = {
            name: source.build_part("source", name, (states or {}).get(name)) for name in source.list_parts()
        }

    def play(self) -> list[Raw | Tick]:
        """One round; parts that have ended are dropped."""
        fresh: list[Raw | Tick] = []
        for name in sorted(self.parts):
            try:
                fresh += self.parts[name].next_batch()
            except StopIteration:
                del self.parts[name]
        self.items += fresh
        return fresh

    def until(self, condition: Callable[[Rounds], bool]) -> Rounds:
        """Rounds until `condition(self)` holds."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition(self):
            assert time.monotonic() < deadline, f"in vain; {len(self.items)} items: {self.items[-5:]}"
            self.play()
        return self

    def to_end(self) -> Rounds:
        """Rounds until every part has ended."""
        return self.until(lambda rounds: not rounds.parts)

    def states(self) -> dict[str, Any]:
        """What a checkpoint would hold now."""
        return {name: part.snapshot() for name, part in self.parts.items()}

    @property
    def raws(self) -> list[Raw]:
        return raws(self.items)

    @property
    def ticks(self) -> list[Tick]:
        return [item for item in self.items if isinstance(item, Tick)]

    def values(self, partition: int) -> list[bytes]:
        """All values of a partition, in the order in which they were handed on."""
        return [value for raw in self.raws if raw.partition == partition for value in raw.values]

    def offsets(self, partition: int) -> list[int]:
        return [offset for raw in self.raws if raw.partition == partition for offset in raw.offsets.tolist()]

    def records(self) -> int:
        return sum(raw.count for raw in self.raws)

    def hold(self, count: int) -> bool:
        """Whether so many records have been handed on."""
        return self.records() == count

    def caught_up(self) -> bool:
        """Whether the last news of every partition is that its end was reached."""
        latest = {raw.partition: raw.caught_up for raw in self.raws}
        return len(latest) == len(self.parts) and all(latest.values())


def raws(items: Iterable[Raw | Tick]) -> list[Raw]:
    return [item for item in items if isinstance(item, Raw)]


class Collected(DynamicSink[Any]):
    """Gives every item to `see`, which may raise."""

    def __init__(self, see: Callable[[Any], None]) -> None:
        self._see = see

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[Any]:
        return _Seeing(self._see)


class _Seeing(StatelessSinkPartition[Any]):
    def __init__(self, see: Callable[[Any], None]) -> None:
        self._see = see

    def write_batch(self, items: list[Any]) -> None:
        for item in items:
            self._see(item)


def run_flow(
    source: KafkaSource,
    see: Callable[[tuple[str, list[tuple[int, int]]]], None],
    state: Path | None,
    *,
    watch: Callable[[Raw | Tick], None] = lambda item: None,
    epoch_ms: int = 20,
) -> None:
    """A flow whose state, per partition, lists what it was given: (offset of the first record, records).

    `see` gets (partition, the whole list) after each Raw with records; `watch` gets every item of the source.
    """

    def remember(seen: list[tuple[int, int]] | None, raw: Raw | Tick) -> tuple[Any, Any]:
        assert isinstance(raw, Raw)
        seen = [*(seen or []), (int(raw.offsets[0]), raw.count)]
        return seen, seen

    def key(item: Raw | Tick) -> str:
        assert isinstance(item, Raw)
        return str(item.partition)

    flow = Dataflow("driven")
    items = op.input("source", flow, source)
    op.output("watched", items, Collected(watch))
    records = op.filter("records", items, lambda item: isinstance(item, Raw) and item.count > 0)
    keyed = op.key_on("key", records, key)
    remembered = op.stateful_map("remember", keyed, remember)
    op.output("seen", remembered, Collected(see))
    try:
        cli_main(
            flow,
            epoch_interval=timedelta(milliseconds=epoch_ms),
            recovery_config=None if state is None else RecoveryConfig(str(state)),
        )
        source.flow_finished()
    finally:
        source.close()
