"""Several processes without processes: sources, channels and shards, delivered in whatever order a seed says.

What a process sends to a shard arrives in its order; what different processes send is interleaved anyhow, and anew for
every shard. Time is that of events only, as with --until-end.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from flows.audit import Record
from flows.cluster.alignment import Alignment
from flows.cluster.peers import Cluster
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.measure.shard import Shard
from flows.messages.delivery import Delivery, lag_notice
from flows.messages.raw import Raw
from flows.messages.snapshot import Snapshot
from flows.messages.tick import Tick
from flows.route.deal import deliveries
from flows.total.totals import Totals
from tests.engine import polls

Channel = deque[Delivery | Tick]


class Process:
    """One source: its partitions' polls, in any order among them, and its ticks."""

    def __init__(self, config: Config, waiting: dict[int, deque[Raw]]) -> None:
        self.waiting = waiting
        self.number = 0  # of its last tick
        self.ended = False
        self._config = config
        self._intake = Intake(config, Limits())

    def read(self, partition: int) -> list[Delivery]:
        """The next poll of a partition, for each shard."""
        poll, _ = self._intake.read(self.waiting[partition].popleft())
        sent = deliveries(poll, self._config.shards)
        return [pickle.loads(pickle.dumps(delivery)) for delivery in sent]  # as the engine does between processes


class Several:
    """A cluster over `records`; `rescale` is a crash right after a checkpoint and a start with another size."""

    def __init__(
        self, records: Sequence[Record], config: Config, processes: int, lengths: Sequence[int], random: Random
    ):
        self.snapshots: list[Snapshot] = []
        self.minutes: dict[int, Mapping[str, int]] = {}
        self._days: dict[str, Mapping[str, int]] = {}
        self._config = config
        self._random = random
        self._partitions = 1 + max((record.partition for record in records), default=0)
        self._unread: dict[int, deque[Raw]] = {number: deque() for number in range(self._partitions)}
        for raw in polls(records, lengths, self._partitions):
            self._unread[raw.partition].append(raw)
        self._shards = [Shard(config) for _ in range(config.shards)]
        self._begin(processes)

    def _begin(self, processes: int) -> None:
        for partition, waiting in self._unread.items():
            if not waiting:  # the source finds the end again
                waiting.append(Raw.of("events", partition, self._partitions, [], [], [], True, None))
        addresses = tuple(map(str, range(processes)))
        self._processes = [
            Process(self._config, {p: w for p, w in self._unread.items() if Cluster(number, addresses).reads(p)})
            for number in range(processes)
        ]
        self._channels: list[list[Channel]] = [[deque() for _ in self._shards] for _ in self._processes]
        self._alignments: list[Alignment[Delivery]] = [Alignment(processes, lag_notice) for _ in self._shards]
        self._totals = Totals(self._config)

    def work(self, steps: int) -> None:
        """Random steps of sources and channels."""
        for _ in range(steps):
            number = self._random.randrange(len(self._processes))
            if self._random.random() < 0.3:
                self._source(number)
            else:
                self._deliver(number, self._random.randrange(len(self._shards)))

    def _source(self, number: int) -> None:
        process = self._processes[number]
        readable = [partition for partition, waiting in process.waiting.items() if waiting]
        if readable and self._random.random() < 0.6:
            self._send(number, process.read(self._random.choice(readable)))
        elif not process.ended:
            heard = self._random.choice(self._processes).number  # of now, or of another process
            process.number = max(process.number + 1, heard if self._random.random() < 0.5 else 0)
            self._send(number, [Tick(process.number, None)] * len(self._shards))

    def _send(self, number: int, items: Sequence[Delivery | Tick]) -> None:
        for channel, item in zip(self._channels[number], items, strict=True):
            channel.append(item)

    def _deliver(self, number: int, index: int) -> None:
        channel = self._channels[number][index]
        if channel:
            for item in self._alignments[index].put(number, channel.popleft()):
                self._take(self._shards[index], item)

    def _take(self, shard: Shard, item: Delivery | Tick) -> None:
        if isinstance(item, Delivery):
            shard.receive(item)
        elif (snapshot := self._totals.add(shard.tick(item))) is not None:
            self.snapshots.append(snapshot)
            self.minutes |= snapshot.minutes
            self._days |= snapshot.days

    def end_epoch(self) -> None:
        """Every shard gets all that was sent, and is then frozen."""
        while any(any(channels) for channels in self._channels):
            self._deliver(self._random.randrange(len(self._processes)), self._random.randrange(len(self._shards)))
        for shard, alignment in zip(self._shards, self._alignments, strict=True):
            for item in alignment.drain():
                self._take(shard, item)

    def rescale(self, processes: int) -> None:
        """A checkpoint, a crash, and a start with another number of processes."""
        self.end_epoch()
        frozen = [shard.freeze() for shard in self._shards]
        self._shards = [Shard(self._config) for _ in frozen]
        for shard, state in zip(self._shards, frozen, strict=True):
            shard.thaw(state)
        self._begin(processes)

    def finish(self, as_of_ms: int | None = None) -> Snapshot:
        """Every process reads its partitions to their ends, at its own pace, and says so with a final tick."""
        while not all(process.ended for process in self._processes):
            self.work(5)
            number = self._random.randrange(len(self._processes))
            process = self._processes[number]
            if not process.ended and not any(process.waiting.values()):
                process.ended = True
                process.number += 1
                self._send(number, [Tick(process.number, None, as_of_ms, final=True)] * len(self._shards))
        self.end_epoch()
        assert [snapshot.final for snapshot in self.snapshots].index(True) == len(self.snapshots) - 1
        return replace(self.snapshots[-1], days=self._days)
