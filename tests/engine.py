"""The job without Kafka, Bytewax, Redis and clocks: intake, shards and totals, driven by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from flows.audit import Record
from flows.audit.days import DAYS_KEPT
from flows.audit.retention import local_date
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.measure.shard import Shard
from flows.messages.raw import Raw
from flows.messages.snapshot import Snapshot
from flows.messages.tick import Tick
from flows.route.deal import deliveries
from flows.total.totals import Totals


@dataclass
class Engine:
    """One run; `restart` throws everything away but a checkpoint."""

    config: Config
    limits: Limits = field(default_factory=Limits)
    minutes: dict[int, Mapping[str, int]] = field(default_factory=dict)  # all closed minutes seen

    def __post_init__(self) -> None:
        self._intake = Intake(self.config, Limits())
        self._shards = self._fresh_shards()
        self._totals = Totals(self.config)
        self._ticks = 0
        self._days: dict[str, Mapping[str, int]] = {}
        self._told: Mapping[str, int | float] = {}  # by the last snapshot
        self._at_end: dict[int, Raw] = {}  # partitions read to their end

    def _fresh_shards(self) -> list[Shard]:
        return [Shard(self.config, self.limits) for _ in range(self.config.shards)]

    def read(self, raw: Raw) -> None:
        if raw.caught_up:
            ended = Raw.of("events", raw.partition, raw.partitions, [], [], [], True, raw.monotonic_ms)
            self._at_end[raw.partition] = ended
        else:
            self._at_end.pop(raw.partition, None)
        poll, _ = self._intake.read(raw)
        for shard, delivery in zip(self._shards, deliveries(poll, self.config.shards), strict=True):
            shard.receive(delivery)

    def tick(self, as_of_ms: int | None = None, monotonic_ms: int | None = None, final: bool = False) -> Snapshot:
        """The snapshot, with all days closed so far."""
        self._ticks += 1
        tick = Tick(self._ticks, monotonic_ms, as_of_ms, final)
        snapshots = [self._totals.add(shard.tick(tick)) for shard in self._shards]
        assert snapshots[:-1] == [None] * (len(snapshots) - 1)
        snapshot = snapshots[-1]
        assert snapshot is not None
        self.minutes |= snapshot.minutes
        self._days = self._kept_days({**self._days, **snapshot.days}, snapshot.watermark_ms)
        before, now = self._told, snapshot.cells
        assert snapshot.changed is not None
        assert {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)} <= snapshot.changed
        self._told = now
        return replace(snapshot, days=dict(self._days))

    def _kept_days(
        self, days: Mapping[str, Mapping[str, int]], watermark_ms: int | None
    ) -> dict[str, Mapping[str, int]]:
        """Those that Redis would still have."""
        if watermark_ms is None:
            return dict(days)
        oldest = local_date(watermark_ms, ZoneInfo(self.config.time_zone)) - timedelta(DAYS_KEPT)
        return {day: counts for day, counts in days.items() if day >= oldest.isoformat()}

    def restart(self) -> None:
        """A crash right after a checkpoint: what was published stays published, all else is rebuilt from bytes."""
        self._go_on_from([shard.freeze() for shard in self._shards])

    def under(self, config: Config) -> Engine:
        """Another run that goes on from a checkpoint of this one with another config."""
        other = Engine(config, self.limits)
        other._at_end = dict(self._at_end)
        other._go_on_from([shard.freeze() for shard in self._shards])
        return other

    def _go_on_from(self, frozen: Sequence[bytes]) -> None:
        self._shards = self._fresh_shards()
        for shard, state in zip(self._shards, frozen, strict=True):
            shard.thaw(state)
        for ended in list(self._at_end.values()):  # the source finds the ends again
            self.read(ended)


def polls(records: Sequence[Record], lengths: Iterable[int], partitions: int) -> Iterator[Raw]:
    """`records` in their order of reading as polls: runs of one partition, cut after `lengths` records (then 1000)."""
    lasts = {record.partition: index for index, record in enumerate(records)}
    sizes = iter(lengths)
    index = 0
    for partition in range(partitions):
        if partition not in lasts:  # an empty partition is known, and at its end
            yield Raw.of("events", partition, partitions, [], [], [], True, None)
    for partition, run in groupby(records, key=lambda record: record.partition):
        waiting = list(run)
        while waiting:
            taken = waiting[: max(1, next(sizes, 1000))]
            del waiting[: len(taken)]
            index += len(taken)
            yield Raw.of(
                "events",
                partition,
                partitions,
                [record.value for record in taken],
                [record.offset for record in taken],
                [record.timestamp_ms for record in taken],
                index > lasts[partition],
                None,
            )


def replay(
    records: Sequence[Record],
    config: Config,
    *,
    as_of_ms: int | None = None,
    lengths: Iterable[int] = (),
    tick_after: frozenset[int] = frozenset(),
    restart_after: frozenset[int] = frozenset(),
    limits: Limits | None = None,
) -> tuple[Snapshot, dict[int, Mapping[str, int]]]:
    """The last snapshot, with all closed days, and all closed minutes, after `records`; ticks and restarts after the
    polls so numbered.
    """
    engine = Engine(config, limits or Limits())
    partitions = 1 + max((record.partition for record in records), default=0)
    for number, raw in enumerate(polls(records, lengths, partitions)):
        engine.read(raw)
        if number in tick_after:
            engine.tick()
        if number in restart_after:
            engine.restart()
    return engine.tick(as_of_ms, final=True), engine.minutes
