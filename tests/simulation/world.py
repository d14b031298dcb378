"""A small world around the real core: a topic, a clock, a checkpoint, a Redis, and runs that crash, stall and race.

Real are intake, shards, totals, the ticker of the sources and the publisher with its script's rules; the topic, the
engine's epochs and Redis are models. Everything happens in one thread, when somebody says so: a `World` has one
method per thing that can happen, and any sequence of them has to leave the numbers of the reference behind.

    produce --> topic --round--> intake, route --> shards --tick--> totals --deliver--> Redis
                  ^                                  |
                  '---- crash: offsets and shards of the last checkpoint ----'

Time is one clock in ms, that of the machine and of the events' producers. What producers promise is what the product
asks of them: disorder up to DISORDER, which leaves the rest of the lateness for the way, or more than LATE behind what
its own partition has. Whether an event between the two is late depends on when it is read, and has no reference.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any

from flows.audit import Record, Result, recompute
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.measure.shard import Shard
from flows.messages.raw import Raw
from flows.messages.snapshot import Snapshot
from flows.messages.tick import Tick
from flows.process.health import Health
from flows.publish.redis.sink import FencedOut, RedisPublisher
from flows.route.deal import deliveries
from flows.source.ticks import Ticker
from flows.total.totals import Totals
from tests.job.running import cells_of, disagreements
from tests.simulation.redis_model import Fate, ModelClient, RedisModel

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START = 1_774_740_600_000
"""Half an hour before the end of a day."""
LATENESS = 10 * SECOND
DISORDER = 4 * SECOND
LATE = 15 * SECOND
TICK_MS = 500

CONFIG = Config(
    product="sim",
    lateness="10s",
    sessions={"timeout": "1m"},
    key_actions=["Bought"],
    churn_after="5m",
    funnels={
        "buy": {"window": "2m", "steps": ["Viewed", "Added", "Bought"]},
        "same": {"window": "2m", "hold": "context.device.type", "steps": ["Viewed", "Added", "Bought"]},
    },
    breakdowns={"platform": {"field": "context.device.type", "values": ["web"], "of": ["active_users", "sessions"]}},
    windows=["1m", "1h"],
    ratio_windows=["1h"],
    subscriptions={"currency": "USD", "plans": ["Pro"]},
    minute_history="30m",
    dedup_horizon="24h",
    shards=2,
)
BROKEN = (
    b"",
    b"{",
    b'"text"',
    b'{"type":"track"}',
    b"\xff\xfe",
    b"[" * 200,
    b'{"type":"track","event":"x","userId":1}',
)
INTAKE = Intake(CONFIG, Limits())


@dataclass(frozen=True)
class Checkpoint:
    """One cut: what the shards held and where reading goes on."""

    shards: list[bytes]
    offsets: Mapping[int, int]


class Run:
    """One process from its start to its end; what it does not find in a checkpoint it does not know."""

    def __init__(self, world: World, checkpoint: Checkpoint | None) -> None:
        self.world = world
        self.alive = True
        self.fenced = False
        self.fates: deque[Fate] = deque()  # of the next commands to Redis; then the world's
        self.partitions = world.partitions
        self.offsets = dict.fromkeys(range(self.partitions), 0)
        self.shards = [Shard(CONFIG) for _ in range(CONFIG.shards)]
        self.totals = Totals(CONFIG)
        self.ticker = Ticker(TICK_MS, timed=True, monotonic=lambda: world.now_ms / 1000)
        self.health = Health(redis_configured=True)
        self.publisher = world.sink(world, self.health)
        self.publisher._primary = ModelClient(world.redis, self._fate)  # type: ignore[assignment] # in its place
        self.publisher._thread.start = lambda: None  # type: ignore[method-assign] # nothing happens by itself here
        self.publisher.start()
        world.token = self.publisher.token
        self.restore(checkpoint)

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Take back what a checkpoint holds; nothing is known of the ends of partitions."""
        self.told = dict.fromkeys(range(self.partitions), False)
        if checkpoint is not None:
            self.offsets |= checkpoint.offsets
            for shard, frozen in zip(self.shards, checkpoint.shards, strict=True):
                shard.thaw(frozen)

    def _fate(self) -> Fate:
        return self.fates.popleft() if self.fates else "done" if self.world.redis_up else "away"

    def round(
        self, limit: int, parts: int | None = None, before: int = 0, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """As the source does it: notice a stall, hand on what waits, `limit` records of each of the first `parts`
        partitions, then tick when it is time. `meanwhile` happens before partition `before` is asked."""
        for partition in range(self.partitions if parts is None else min(parts, self.partitions)):
            if partition == before:
                meanwhile()
            if self.ticker.beat():  # nothing is known of the ends any more
                for doubted in range(self.partitions):
                    self._read(doubted, 0, doubt=True)
            self._read(partition, limit)
        if parts is None and (tick := self.ticker.due()):
            self.tick(tick)

    def _read(self, partition: int, limit: int, doubt: bool = False) -> None:
        log, first = self.world.topic[partition], self.offsets[partition]
        records = log[first : first + limit]
        caught_up = not doubt and first + len(records) == len(log)
        if not records and caught_up == self.told[partition]:
            return
        self.told[partition] = caught_up
        self.offsets[partition] += len(records)
        raw = Raw.of(
            "events",
            partition,
            self.partitions,
            [record.value for record in records],
            [record.offset for record in records],
            [record.timestamp_ms for record in records],
            caught_up,
            self.ticker.stamp(),
        )
        poll, _ = INTAKE.read(raw)
        for shard, delivery in zip(self.shards, deliveries(poll, CONFIG.shards), strict=True):
            shard.receive(delivery)

    def tick(self, tick: Tick) -> None:
        """A snapshot for the publisher, which keeps only the newest."""
        snapshot = [self.totals.add(shard.tick(tick)) for shard in self.shards][-1]
        assert snapshot is not None
        assert_closes(snapshot)
        self.publisher.publish(snapshot)
        self.deliver()

    def deliver(self) -> None:
        """One attempt of the publisher's thread."""
        if self.publisher._newest is None or not self.alive:
            return
        try:
            self.publisher._deliver()
        except FencedOut:
            self.alive, self.fenced = False, True
        self.world.note_publisher()

    def checkpoint(self) -> Checkpoint:
        """What the engine stores at the end of an epoch."""
        return Checkpoint([self.world.freeze(shard) for shard in self.shards], dict(self.offsets))

    def grow(self) -> None:
        """The topic has more partitions: the flow ends with a last tick and a checkpoint, and starts again."""
        self.tick(self.ticker.final())
        saved = self.world.saved = self.checkpoint()
        self.partitions = self.world.partitions
        self.offsets = dict.fromkeys(range(self.partitions), 0)
        self.shards = [Shard(CONFIG) for _ in range(CONFIG.shards)]
        self.ticker = Ticker(TICK_MS, timed=True, monotonic=lambda: self.world.now_ms / 1000)
        self.restore(saved)


def publisher(world: World, health: Health) -> RedisPublisher:
    """The real one."""
    return RedisPublisher(
        "redis://model",
        CONFIG.product,
        health,
        minute_history_ms=CONFIG.minute_history,
        after_token=world.token,
        wall=world.wall,
    )


@dataclass
class World:
    """Everything there is, and everything that can happen to it."""

    partitions: int = 2
    sink: Callable[[World, Health], RedisPublisher] = publisher
    freeze: Callable[[Shard], bytes] = Shard.freeze
    now_ms: int = START
    skew_ms: int = 0  # of the system clock, which only the publisher reads
    redis_up: bool = True
    saved: Checkpoint | None = None
    token: int = 0  # of the last run; it is kept beside the checkpoint
    topic: list[list[Record]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    newest_published: int = 0  # the largest token whose numbers have been there
    went_back: bool = False
    zombies: list[Run] = field(default_factory=list)  # stopped, replaced, maybe to be continued

    def __post_init__(self) -> None:
        self.topic = [[] for _ in range(self.partitions)]
        self.redis = RedisModel(lambda: self.now_ms)
        self.run = Run(self, None)

    def wall(self) -> float:
        """The system clock, s."""
        return (self.now_ms + self.skew_ms) / 1000

    # What producers do

    def produce(self, chance: Random, events: int) -> None:
        """So many events of now, with all that is usual among them: copies, disorder, late and broken ones."""
        for partition in range(self.partitions_of_keys):  # nothing is late by one partition's clock alone
            self._send(self._event(chance, "ab"[partition], usual=True))
        for _ in range(events):
            kind = chance.random()
            if kind < 0.10 and self.sent:
                self._send(chance.choice(self.sent[-20:]))  # a copy
            elif kind < 0.16:
                self._append(chance.choice(BROKEN), chance.randrange(self.partitions))
            else:
                self._send(self._event(chance))

    def _event(self, chance: Random, user: str = "", usual: bool = False) -> dict[str, Any]:
        delay = (
            0
            if usual
            else chance.choice((0, 0, 0, 1, chance.randint(0, DISORDER), DISORDER, LATE, chance.randint(LATE, HOUR)))
        )
        ahead = (
            chance.choice((6 * MINUTE, HOUR)) if chance.random() < 0.05 and not usual else 0
        )  # clamped to the record's time
        event: dict[str, Any] = {
            "messageId": f"m{len(self.sent)}",
            "type": chance.choice(("track", "track", "track", "page", "identify")),
            "userId": user or chance.choice("abcdef"),
            "timestamp": self.now_ms + (ahead or -delay),
            "context": {"device": {"type": chance.choice(("web", "tv", None))}},
        }
        if event["type"] == "track":
            event["event"] = chance.choice(("Viewed", "Added", "Bought", "Left", "Subscription Changed"))
        if event.get("event") == "Subscription Changed":
            event["timestamp"] = self.now_ms - min(delay, DISORDER)  # the turn of a late state is when it is read
            event["properties"] = {
                "subscription_id": chance.choice("xy"),
                "status": chance.choice(("active", "active", "trialing", "cancelled")),
                "plan": chance.choice(("Pro", "Team")),
                "amount": chance.choice(("10", "25.50", "99")),
                "interval": chance.choice(("month", "year")),
                "currency": "USD",
            }
        self.sent.append(event)
        return event

    def _send(self, event: dict[str, Any]) -> None:
        self._append(json.dumps(event).encode(), ord(event["userId"]) % self.partitions_of_keys)

    @property
    def partitions_of_keys(self) -> int:
        """Producers go on with the partitions they know of, so that a user's events stay in one."""
        return 2 if self.partitions >= 2 else 1

    def _append(self, value: bytes, partition: int) -> None:
        log = self.topic[partition]
        log.append(Record(value, partition, len(log), self.now_ms))

    # What the machines do

    def elapse(self, ms: int) -> None:
        """Time passes and nobody does anything: for the run a stall, if it is long."""
        self.now_ms += ms

    def stall_in_a_round(self, chance: Random, before: int, ms: int) -> None:
        """The run is stopped for so long between two partitions, or before the first, while producers go on."""

        def stopped() -> None:
            self.produce(chance, 2)
            self.elapse(ms)
            self.produce(chance, 2)

        if self.run.alive:
            self.run.round(1000, before=before, meanwhile=stopped)

    def work(self, ms: int, limit: int = 1000) -> None:
        """The run goes on for so long, a round every 250 ms."""
        for _ in range(0, ms, 250):
            self.now_ms += 250
            if self.run.alive:
                self.run.round(limit)

    def checkpoint(self) -> None:
        """An epoch ends."""
        if self.run.alive:
            self.saved = self.run.checkpoint()

    def crash(self) -> None:
        """SIGKILL, wherever it is; the next one starts from the last checkpoint."""
        self.run.alive = False
        self.run = Run(self, self.saved)

    def replace(self) -> None:
        """The run is frozen, another starts on the same checkpoint; the old one may be let go on."""
        if self.run.alive:
            self.zombies.append(self.run)
        self.run = Run(self, self.saved)

    def awaken(self, limit: int = 1000) -> None:
        """Runs that were replaced go on for a while, as if nothing had happened."""
        for zombie in self.zombies:
            if zombie.alive:
                zombie.round(limit)
                self.now_ms += TICK_MS
                zombie.round(limit)

    def add_partition(self) -> None:
        """The topic grows, and the run has noticed."""
        if self.partitions < 4 and self.run.alive:
            self.partitions += 1
            self.topic.append([])
            self.run.grow()

    def empty_redis(self) -> None:
        """All is gone, the fence too: the next run to publish may be an old one, once."""
        self.redis.forget()
        self.newest_published = 0

    def note_publisher(self) -> None:
        """Whose numbers are there now? Those of a run that was replaced must not come back."""
        token = int(self.redis.read(self.run.publisher.keys.live).get("_run", 0))
        if token and token < self.newest_published:
            self.went_back = True
        self.newest_published = max(self.newest_published, token)

    # What is right

    def settle(self) -> None:
        """All faults end; the run, or the next one, reads and publishes everything."""
        self.redis_up = True
        self.redis.deliver_late()
        self.awaken()
        self.run.fates.clear()
        if not self.run.alive:
            assert self.run.fenced, "a run that was not killed has ended"
            self.run = Run(self, self.saved)
        self.work(3 * SECOND)
        self.redis.deliver_late()
        self.work(2 * TICK_MS)

    def assert_right(self) -> None:
        """Redis holds the numbers of the reference, all of them, and those of the newest run."""
        assert not self.went_back, "a run that had been replaced published"
        live = self.redis.read(self.run.publisher.keys.live)
        expected = self.expected(int(live["_as_of"])) if "_as_of" in live else None
        total = sum(map(len, self.topic))
        assert int(live.get("_consumed", 0)) == total, f"{live.get('_consumed')} of {total} records"
        assert live["_run"] == str(self.run.publisher.token), "the numbers are not those of the newest run"
        if expected is None:
            assert not any(self.expected(None).cells.values()), "events were accepted, and there is no time"
            return
        assert expected.watermark_ms is not None
        found = cells_of(live)
        cells = disagreements(expected, found)
        assert not cells, f"{len(cells)} cells differ (expected, found): {dict(list(cells.items())[:3])}"
        accounts: dict[str, int] = {}
        for account in expected.accounting.values():
            for name, records in account.items():
                accounts[f"accounting.{name}"] = accounts.get(f"accounting.{name}", 0) + records
        published = {
            name: int(text) for name, text in live.items() if name.startswith("accounting.") and "{" not in name
        }
        assert {name: number for name, number in published.items() if number} == {
            name: number for name, number in accounts.items() if number
        }
        closed = {
            (key, name): str(number)
            for period, key, values in self._closed(expected)
            for name, number in values.items()
            if (period, name) not in expected.touched  # it depends on when a late event was read
        }
        # A run that crashed may have been further, by time alone, than the one that came after it is again.
        stored = self.redis.closed()
        assert {(key, name): stored.get(key, {}).get(name, "0") for key, name in closed} == closed, "closed ones differ"

    def _closed(self, expected: Result) -> Iterator[tuple[int | date, str, Mapping[str, int]]]:
        """Minutes and days, with their keys in Redis."""
        keys = self.run.publisher.keys
        for start, values in expected.minutes.items():
            yield start, keys.minute(start), values
        for day, values in expected.days.items():
            yield date.fromisoformat(day), keys.day(day), values

    def expected(self, as_of_ms: int | None) -> Result:
        """What the reference says of the topic, in an order of reading in which no partition runs ahead."""
        records = [record for log in self.topic for record in log]
        records.sort(key=lambda record: (record.timestamp_ms, record.partition, record.offset))
        return recompute(records, CONFIG, as_of_ms)


def assert_closes(snapshot: Snapshot) -> None:
    """Every record consumed has one fate, and only one."""
    for account in snapshot.accounting.values():
        rejected = sum(records for name, records in account.items() if name.startswith("rejected."))
        fates = account["accepted"] + rejected + account["duplicate"] + account["excluded"]
        assert account["consumed"] == fates, account
        assert account["accepted"] == account["on_time"] + account["late"], account


HAPPENINGS = {
    "produce": 8,
    "work": 8,
    "elapse": 2,
    "part of a round": 1,
    "stall in a round": 1,
    "checkpoint": 3,
    "crash": 2,
    "replace": 1,
    "awaken": 1,
    "fate": 2,
    "late arrives": 1,
    "redis down": 1,
    "redis up": 2,
    "redis empty": 1,
    "clock stepped": 1,
    "partition added": 0.5,
}
"""What can happen, and how often, one beside the other."""

MOST_STEPS = 25


def history(seed: int, **parts: Any) -> World:
    """One history from its seed, settled; `parts` as of World."""
    chance = Random(seed)
    world = World(partitions=chance.choice((1, 2)), **parts)
    for _ in range(chance.randint(3, MOST_STEPS)):
        _step(world, chance)
    world.settle()
    return world


def _step(world: World, chance: Random) -> None:
    """One thing happens."""
    happening = chance.choices(list(HAPPENINGS), list(HAPPENINGS.values()))[0]
    world.happened.append(happening)
    if happening == "produce":
        world.produce(chance, chance.randint(1, 8))
    elif happening == "work":
        world.work(chance.choice((250, 500, SECOND, 3 * SECOND)), chance.choice((1, 3, 1000)))
    elif happening == "elapse":
        world.elapse(chance.choice((100, 400, 2 * SECOND, LATENESS + SECOND, MINUTE + 1, 7 * MINUTE, HOUR)))
    elif happening == "part of a round":
        if world.run.alive:
            world.run.round(chance.choice((1, 1000)), parts=1)
    elif happening == "stall in a round":
        world.stall_in_a_round(chance, chance.choice((0, 1)), chance.choice((400, 2 * SECOND, LATENESS + SECOND, HOUR)))
    elif happening == "checkpoint":
        world.checkpoint()
    elif happening == "crash":
        world.crash()
    elif happening == "replace":
        world.replace()
    elif happening == "awaken":
        world.awaken()
    elif happening == "fate":
        fates: list[Fate] = ["done", "away", "reply lost", "late"]
        world.run.fates.extend(chance.choices(fates, k=chance.randint(1, 3)))
    elif happening == "late arrives":
        world.redis.deliver_late()
    elif happening == "redis down":
        world.redis_up = False
    elif happening == "redis up":
        world.redis_up = True
    elif happening == "redis empty":
        world.empty_redis()
    elif happening == "clock stepped":
        world.skew_ms = chance.choice((-HOUR, -SECOND, 0, SECOND, HOUR))
    elif happening == "partition added":
        world.add_partition()
