r"""The whole dataflow on one screen.

    source --Raw|Tick--> decode --Read--> route --(shard, Delivery)--> measure --(all, Partial)--> total
                            \--Rejected--> dead_letters                            publish <--Snapshot--/

Step ids and keys are the address of the state in a checkpoint: frozen names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, Sink, StatelessSinkPartition
from numpy.typing import NDArray

from flows.cells import Snapshot
from flows.columns import Columns, Tick
from flows.config import Config
from flows.limits import Limits
from flows.records import Raw, Rejected
from flows.shard import Partial, Shard, route, route_states
from flows.state_files import History, StateFiles
from flows.totals import Totals

Decode = Callable[[Raw], tuple[Columns, list[Rejected]]]
Publish = Callable[[Snapshot], None]
ALL = "all"


class Watch(Protocol):
    """What the pipeline tells about itself while it runs."""

    def on_poll(self, poll: Columns) -> None:
        """A poll was decoded."""

    def on_checkpoint(self, seconds: float) -> None:
        """A shard's state was frozen for a checkpoint, which took `seconds`."""


@dataclass(frozen=True, slots=True)
class Read:
    """What decode makes of one item of the source."""

    item: Columns | Tick
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One shard's part of a poll. Every shard hears of every poll, for the clock."""

    poll: Columns  # without its rows and states
    rows: NDArray[Any]
    states: NDArray[Any]
    accounts: bool  # this shard books what the poll consumed


def build(
    config: Config,
    *,
    source: Source[Raw | Tick],
    decode: Decode,
    dead_letters: Sink[Rejected] | None,
    publish: Publish,
    watch: Watch,
    files: StateFiles | None,
    limits: Limits,
) -> Dataflow:
    """The dataflow of one product; `files` is None where nothing will ever resume (replay)."""
    totals = Totals(config)
    flow = Dataflow("tidegauge")
    items = op.input("source", flow, source)
    read = op.map("decode", items, lambda item: _decode(item, decode, watch))
    if dead_letters is not None:
        op.output("dead_letters", op.flat_map("reject", read, lambda read: read.rejected), dead_letters)
    deliveries = op.flat_map("route", read, lambda read: _route(read.item, config.shards))
    partials = op.stateful_batch(
        "measure",
        deliveries,
        lambda frozen: Measure(Shard(config, limits), frozen, files, watch),
    )
    gathered = op.map("gather", partials, lambda keyed: (ALL, keyed[1]))
    snapshots = op.stateful_batch("total", gathered, lambda _frozen: Total(totals))
    op.output("publish", op.map("unkey", snapshots, lambda keyed: keyed[1]), Publisher(publish))
    return flow


def _decode(item: Raw | Tick, decode: Decode, watch: Watch) -> Read:
    if isinstance(item, Tick):
        return Read(item, [])
    columns, rejected = decode(item)
    watch.on_poll(columns)
    return Read(columns, rejected)


def shard_key(index: int) -> str:
    """The state key of a shard."""
    return f"{index:03d}"


def _route(item: Columns | Tick, shards: int) -> Iterable[tuple[str, Delivery | Tick]]:
    if isinstance(item, Tick):
        return [(shard_key(index), item) for index in range(shards)]
    header = item.without_rows()
    return [
        (shard_key(index), Delivery(header, rows, states, item.partition % shards == index))
        for index, (rows, states) in enumerate(zip(route(item, shards), route_states(item, shards), strict=True))
    ]


class Measure(StatefulBatchLogic[Delivery | Tick, Partial, str]):
    """A shard in the engine's terms; what a checkpoint holds of it is the name of a file."""

    def __init__(self, shard: Shard, frozen: str | None, files: StateFiles | None, watch: Watch) -> None:
        self._shard = shard
        self._watch = watch
        self._history = None if files is None else History(files, frozen)
        if files is not None and frozen is not None:
            shard.thaw(files.read(frozen))

    def on_batch(self, values: list[Delivery | Tick]) -> tuple[Iterable[Partial], bool]:
        """Feed the shard; ticks yield partials."""
        partials = []
        for value in values:
            if isinstance(value, Tick):
                partials.append(self._shard.tick(value))
            else:
                self._shard.receive(value.poll, value.rows, value.accounts, value.states)
        return partials, StatefulBatchLogic.RETAIN

    def snapshot(self) -> str:
        """The shard's state at the end of an epoch."""
        if self._history is None:
            return ""
        started = time.perf_counter()
        frozen = self._history.write(self._shard.pieces())
        self._watch.on_checkpoint(time.perf_counter() - started)
        return frozen


class Total(StatefulBatchLogic[Partial, Snapshot, None]):
    """The sum over shards; all partials of a tick come in one epoch, so there is nothing to keep."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def on_batch(self, values: list[Partial]) -> tuple[Iterable[Snapshot], bool]:
        """Complete ticks yield snapshots."""
        return [s for s in map(self._totals.add, values) if s is not None], StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        """Nothing."""


class Publisher(DynamicSink[Snapshot]):
    """Hands each snapshot to `publish`."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[Snapshot]:
        """One per worker."""
        return _Publishing(self._publish)


class _Publishing(StatelessSinkPartition[Snapshot]):
    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def write_batch(self, items: list[Snapshot]) -> None:
        for snapshot in items:
            self._publish(snapshot)
