r"""The whole dataflow on one screen.

    source --Raw|Tick--> decode --Read--> route --(shard, Sent)--> measure --(all, Partial)--> total
                            \--Rejected--> dead_letters                          publish <--Snapshot--/
                             \--Word--> peers

Several processes run it together; rows then go to the process of their shard, partials to that of `total`, snapshots
to process 0, and at each tick every process has a `Word` for all (`cluster/peers.py`).

Step ids and keys are the address of the state in a checkpoint: frozen names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, FixedPartitionedSink, StatefulSinkPartition, StatelessSinkPartition

from flows.checkpoint.files import History, StateFiles
from flows.cluster.alignment import Alignment
from flows.cluster.peers import MAX_PROCESSES, Cluster, Word
from flows.cluster.placement import placed, shard_keys
from flows.config.limits import Limits
from flows.config.model import Config
from flows.measure.shard import Shard
from flows.messages.columns import Columns
from flows.messages.delivery import Delivery, lag_notice
from flows.messages.partial import Partial
from flows.messages.raw import Raw, Rejected
from flows.messages.snapshot import Snapshot
from flows.messages.tick import Tick
from flows.route.deal import deliveries
from flows.total.totals import Totals

Decode = Callable[[Raw], tuple[Columns, list[Rejected]]]
Publish = Callable[[Snapshot], None]
ALL = placed("all", 0)  # where its numbers are published
PROCESSES = [f"{number:02d}" for number in range(MAX_PROCESSES)]
"""A key for each process there may be."""
ALONE = Cluster()
Item = TypeVar("Item")


class Watch(Protocol):
    """What the pipeline tells about itself while it runs."""

    def on_poll(self, poll: Columns, rejected: list[Rejected]) -> None:
        """A poll was decoded."""

    def on_shard(self) -> None:
        """This process measures one more shard."""

    def on_failure(self, failure: Exception) -> None:
        """A step raises this; in a cluster the engine ends all without saying what it was."""

    def on_checkpoint(self, seconds: float) -> None:
        """A shard's state was frozen for a checkpoint, which took `seconds`."""


class Letters(Protocol):
    """Where rejected records are kept."""

    def write(self, rejected: list[Rejected]) -> None:
        """Begin to keep copies of these."""

    def settle(self) -> None:
        """Return when all copies are safe, which is before a checkpoint says that the records were read."""


class Talk(Protocol):
    """What the processes of a cluster have to say to each other."""

    def say(self, tick: Tick) -> Word:
        """What this process says with its tick."""

    def hear(self, word: Word) -> None:
        """What a process has said, this one included."""


@dataclass(frozen=True, slots=True)
class Read:
    """What decode makes of one item of the source."""

    item: Columns | Tick
    rejected: list[Rejected]


class Sent(NamedTuple):
    """What a process sends to a shard."""

    process: int
    item: Delivery | Tick


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where goes what leaves the dataflow."""

    publish: Publish
    watch: Watch
    dead_letters: Letters | None  # None: nobody keeps rejected records
    talk: Talk | None = None  # None: there is no other process


def build(
    config: Config,
    limits: Limits,
    *,
    source: Source[Raw | Tick],
    decode: Decode,
    sinks: Sinks,
    files: StateFiles | None,
    cluster: Cluster = ALONE,
) -> Dataflow:
    """The dataflow of one product; `files` is None where nothing will ever resume (replay)."""
    watch, dead_letters, talk = sinks.watch, sinks.dead_letters, sinks.talk
    totals = Totals(config)
    flow = Dataflow("tidegauge")
    items = op.input("source", flow, source)
    read = op.map("decode", items, lambda item: _decode(item, decode, watch))
    if dead_letters is not None:
        own = PROCESSES[cluster.process]
        rejected = op.flat_map("reject", read, lambda read: [(own, rejected) for rejected in read.rejected])
        kept = ToProcess(dead_letters.write, cluster, PROCESSES, watch, settle=dead_letters.settle)
        op.output("dead_letters", rejected, kept)
    if talk is not None:
        words = op.flat_map("say", read, lambda read: _say(read.item, talk, cluster))
        op.output("peers", words, ToProcess(_each(talk.hear), cluster, PROCESSES, watch))
    sent = op.flat_map("route", read, lambda read: _route(read.item, config.shards, cluster))
    partials = op.stateful_batch(
        "measure",
        sent,
        lambda frozen: Measure(Shard(config, limits), frozen, files, watch, cluster),
    )
    gathered = op.map("gather", partials, lambda keyed: (ALL, keyed[1]))
    snapshots = op.stateful_batch("total", gathered, lambda _frozen: Total(totals))
    if cluster.alone:
        op.output("publish", op.map("unkey", snapshots, lambda keyed: keyed[1]), Publisher(sinks.publish))
    else:
        op.output("publish", snapshots, ToProcess(_each(sinks.publish), cluster, [ALL], watch))
    return flow


def _decode(item: Raw | Tick, decode: Decode, watch: Watch) -> Read:
    if isinstance(item, Tick):
        return Read(item, [])
    with _noted(watch):
        columns, rejected = decode(item)
    watch.on_poll(columns, rejected)
    return Read(columns, rejected)


def _say(item: Columns | Tick, talk: Talk, cluster: Cluster) -> Iterable[tuple[str, Word]]:
    """Behind everything that this process has handed on before."""
    if not isinstance(item, Tick):
        return []
    word = talk.say(item)
    return [(PROCESSES[process], word) for process in range(cluster.processes)]


def _route(item: Columns | Tick, shards: int, cluster: Cluster) -> Iterable[tuple[str, Sent]]:
    if isinstance(item, Tick):
        return [(key, Sent(cluster.process, item)) for key in shard_keys(shards)]
    if not cluster.alone:
        item = replace(item, monotonic_ms=None)  # hosts have clocks of their own: see cluster/alignment.py
    dealt = deliveries(item, shards)
    return [(key, Sent(cluster.process, one)) for key, one in zip(shard_keys(shards), dealt, strict=True)]


class Measure(StatefulBatchLogic[Sent, Partial, str]):
    """A shard in the engine's terms; what a checkpoint holds of it is the name of a file."""

    def __init__(
        self, shard: Shard, frozen: str | None, files: StateFiles | None, watch: Watch, cluster: Cluster = ALONE
    ) -> None:
        self._shard = shard
        self._watch = watch
        self._history: History | None = None
        self._alignment: Alignment[Delivery] | None = None
        if not cluster.alone:
            self._alignment = Alignment(cluster.processes, lag_notice)
        watch.on_shard()
        if files is not None:
            with _noted(watch):
                self._history = History(files, frozen)
                if frozen is not None:
                    shard.thaw(files.read(frozen))

    def on_batch(self, values: list[Sent]) -> tuple[Iterable[Partial], bool]:
        """Feed the shard; ticks yield partials."""
        try:
            return self._measured(values), StatefulBatchLogic.RETAIN
        except Exception as failure:  # as `_noted`, which would be most of a small batch's time
            self._watch.on_failure(failure)
            raise

    def _measured(self, values: list[Sent]) -> list[Partial]:
        partials = []
        for process, sent in values:
            for item in (sent,) if self._alignment is None else self._alignment.put(process, sent):
                if isinstance(item, Tick):
                    partials.append(self._shard.tick(item))
                else:
                    self._shard.receive(item)
        return partials

    def snapshot(self) -> str:
        """The shard's state at the end of an epoch."""
        if self._alignment is not None:
            for item in self._alignment.drain():
                self._shard.receive(item)
        history = self._history
        if history is None:
            return ""
        started = time.perf_counter()
        with _noted(self._watch):
            frozen = history.write(self._shard.pieces(history.scratch))
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


class ToProcess(FixedPartitionedSink[Item, None]):
    """Hands items to `take` in the process that their key names: `keys[i]` stands for process i modulo processes.

    The engine sends a key to the process that lists it, and each lists its own. `settle` is called at the end of every
    epoch, before the engine stores it.
    """

    def __init__(
        self,
        take: Callable[[list[Item]], None],
        cluster: Cluster,
        keys: list[str],
        watch: Watch,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._taking = _Taking(take, settle, watch)
        self._own = [key for number, key in enumerate(keys) if cluster.reads(number)]
        self._places = {key: place for place, key in enumerate(keys)}

    def list_parts(self) -> list[str]:
        """The keys of this process."""
        return self._own

    def part_fn(self, item_key: str) -> int:
        """The place of a key among all."""
        return self._places[item_key]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> StatefulSinkPartition[Item, None]:
        """The same for every key."""
        return self._taking


class _Taking(StatefulSinkPartition[Item, None]):
    def __init__(self, take: Callable[[list[Item]], None], settle: Callable[[], None], watch: Watch) -> None:
        self._take = take
        self._settle = settle
        self._watch = watch

    def write_batch(self, values: list[Item]) -> None:
        with _noted(self._watch):
            self._take(values)

    def snapshot(self) -> None:
        with _noted(self._watch):
            self._settle()


def _each(take: Callable[[Item], None]) -> Callable[[list[Item]], None]:
    def take_all(items: list[Item]) -> None:
        for item in items:
            take(item)

    return take_all


@contextmanager
def _noted(watch: Watch) -> Iterator[None]:
    """What is raised within is told: in a cluster the engine prints it, and forgets it."""
    try:
        yield
    except Exception as failure:
        watch.on_failure(failure)
        raise
