"""The simulated product's event stream, in the order in which it arrives: history first, then for ever.

A discrete-event simulation in simulated time: visits begin at a rate that changes with the hour and the weekday, each
step becomes an event, each event is delivered at once or later (`sending`), and some are sent twice, broken, or come
from a robot. Nothing here looks at a clock: whoever sends the records waits until each `arrival_ms`. The same arguments
give the same records.

The history has two parts. The last days have the traffic of today, so that yesterday and last week can be compared with
it. The month before has little, but enough that people come back from it, or are missed.

    traffic   ______________.-'-.-'-.-'-.-'-.-
              |  a month    |  days    | live
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from heapq import heappop, heappush
from math import log
from random import Random
from typing import Final, TypeAlias
from zlib import crc32
from zoneinfo import ZoneInfo

import msgspec

from flows.config.model import Config
from flows.demo.billing import Billing, State, Subscription
from flows.demo.broken import breakages
from flows.demo.profile import Facts, Profile
from flows.demo.profiles import PROFILES
from flows.demo.scenarios import NORMAL, Conditions, Scenario, Switch
from flows.demo.sending import Delivery, Event, Sender
from flows.demo.spending import corrected, spent
from flows.demo.visitors import Crowd, Visitor
from flows.demo.walk import Fork, Step, Walk, crawl

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
HOUR_MS = 3_600_000
MONTH_SHARE = 0.2  # events of the month, per event of the days behind it
DAYS = 14.0
HISTORY_EVENTS = 50_000  # of days that are to be sent through a broker

RHYTHM_MS = 600_000  # a level of the rhythm holds for so long

RESENT = 0.01  # of events
BROKEN = 0.002  # records per event
ROBOTS = 0.004  # of visits
BOOKED_MS = 6 * 3_600_000  # after midnight: the spend of the day before
BOOKKEEPER: Final = "books"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record to send, and what is known of it."""

    partition: int
    key: bytes | None
    value: bytes | None
    arrival_ms: int  # when it is to be sent; becomes the Kafka record timestamp
    event: Event | None  # None: broken
    reason: str = ""  # why a broken record has to be rejected
    resent: bool = False  # a copy of an earlier record of the same partition
    clamped: bool = False  # its timestamp lies ahead, so it counts at its arrival


class Arrival(msgspec.Struct, gc=False):
    """The next visit begins."""


class Sequel(msgspec.Struct, gc=False):
    """A scene that follows a visit, of the same visitor or, None, of a newcomer."""

    scene: str
    visitor: Visitor | None
    facts: Facts


class Due(msgspec.Struct, gc=False):
    """Something happens to a subscription, unless it has happened before."""

    subscription: Subscription
    due_ms: int


class Founding(msgspec.Struct, gc=False):
    """A subscription that has been there before the history begins is told of."""


class Morning(msgspec.Struct, gc=False):
    """The spend of the day before is booked."""


What: TypeAlias = Arrival | Sequel | Delivery | Due | Founding | Morning


class Simulator:
    """A product that goes live at `start_ms`, after a month of little traffic and some `days` of full traffic.

    `rate`: live events per second at the hour of the start, before the scenario. `records()` never ends.
    """

    def __init__(
        self,
        config: Config,
        *,
        profile: Profile = PROFILES["shop"],
        seed: int = 1,
        rate: float = 300.0,
        partitions: int = 8,
        start_ms: int,
        days: float | None = None,  # None: as many as HISTORY_EVENTS need
        record_bytes: int = 32 * 1024,  # the reader's limit, which a broken record may exceed
        scenario: Scenario | Switch | None = None,
    ) -> None:
        if rate <= 0 or partitions < 1 or config.lateness < 1000:
            raise ValueError("the simulation needs a positive rate, a partition, and a lateness of at least 1s")
        self._random = Random(seed)
        self._profile = profile
        self._partitions = partitions
        self._start_ms = start_ms
        self._lateness_ms = config.lateness
        self._resend_ms = max(1000, min(60_000, config.dedup_horizon // 4))
        self._zone = ZoneInfo(config.time_zone)
        self._scenario = scenario
        self._level = lru_cache(maxsize=256)(lambda at_ms: profile.rhythm.level(at_ms, self._zone))
        self._visits_per_s = rate / profile.events_per_visit / profile.rhythm.level(start_ms, self._zone)  # mean hour
        if days is None:
            days = days_of(HISTORY_EVENTS, self.mean_rate)
            if days * DAY_MS < HOUR_MS:
                days = days_of(HISTORY_EVENTS, rate)  # so short a time has the traffic of its hour
        self._full_from_ms = start_ms - round(days * DAY_MS)
        self._first_share = MONTH_SHARE * days * DAY_MS / MONTH_MS  # of full traffic, in the month
        self._breakages = breakages(record_bytes)
        self._clocks = [0] * partitions  # largest event time by partition, as a reader will see it
        self._encode = msgspec.json.Encoder().encode
        self._walk = Walk(profile)
        self._crowd = Crowd(profile)
        self._sender = Sender(config.lateness, partitions)
        self._waiting: list[tuple[int, int, What]] = []
        self._pushed = 0
        self._returning: list[tuple[int, int, Visitor]] = []  # who comes back, the next one first
        self._office = Random(f"{seed} office")  # its own, so that what is not measured changes no visit
        self._push(self.begins_ms, Arrival())
        self._push(self._morning_ms(self.begins_ms), Morning())
        self._billing = None
        if config.subscriptions is not None:
            self._billing = Billing(config.subscriptions, profile.subscribers, self._office)
            self._billed = next(iter(config.subscriptions.events))
            for _ in range(profile.subscribers.there):
                self._push(self.begins_ms + round(DAY_MS * self._office.random()), Founding())

    @property
    def begins_ms(self) -> int:
        """When the history begins."""
        return self._full_from_ms - MONTH_MS

    @property
    def mean_rate(self) -> float:
        """Events per second, in the mean over a week."""
        return self._visits_per_s * self._profile.events_per_visit

    def records(self) -> Iterator[Record]:
        """All records in the order of `arrival_ms`."""
        while True:
            now_ms, _, what = heappop(self._waiting)
            match what:
                case Delivery():
                    record = self._deliver(now_ms, what)
                    if record is not None:
                        yield record
                        if self._random.random() < BROKEN:
                            yield self._broken(now_ms)
                case Arrival():
                    self._welcome(now_ms)
                case Sequel():
                    self._follow(now_ms, what)
                case Due():
                    self._happens(now_ms, what)
                case Founding():
                    self._subscribe(now_ms, long_ago=True)
                case Morning():
                    self._book(now_ms)

    def _push(self, at_ms: int, what: What) -> None:
        self._pushed += 1  # breaks ties in the order of pushing
        heappush(self._waiting, (at_ms, self._pushed, what))

    # Visits

    def _welcome(self, now_ms: int) -> None:
        self._push(self._next_visit(now_ms), Arrival())
        conditions = self._conditions(now_ms)
        if self._billing is not None and self._office.random() < conditions.cancels:
            cancelled = self._billing.cancels(now_ms)
            if cancelled is not None:
                self._bill(now_ms, *cancelled)
        rng = self._random
        visitor = self._choose_visitor(now_ms)
        self._lives(now_ms, visitor, crawl(rng) if visitor.bot else self._walk.visit(visitor, conditions, rng))

    def _follow(self, now_ms: int, sequel: Sequel) -> None:
        visitor = sequel.visitor or self._new(now_ms)
        steps = self._walk.follow(sequel.scene, sequel.facts, visitor, self._conditions(now_ms), self._random)
        self._lives(now_ms, visitor, steps)

    def _next_visit(self, now_ms: int) -> int:
        """A Poisson process whose rate is taken anew in steps that are short against its change."""
        at_ms = float(now_ms)
        while True:
            step_ms = RHYTHM_MS if at_ms >= self._full_from_ms else min(RHYTHM_MS, self._full_from_ms - at_ms)
            gap_ms = -1000 * log(1 - self._random.random()) / self._visits_per_second(round(at_ms))
            if gap_ms < step_ms:
                return max(now_ms + 1, round(at_ms + gap_ms))
            at_ms += step_ms  # nobody came in this step; what the next one brings does not depend on it

    def _conditions(self, now_ms: int) -> Conditions:
        return NORMAL if self._scenario is None else self._scenario.at((now_ms - self._start_ms) / 1000)

    def _visits_per_second(self, now_ms: int) -> float:
        level = self._level(now_ms // RHYTHM_MS * RHYTHM_MS)
        return self._visits_per_s * self._share(now_ms) * level * self._conditions(now_ms).traffic

    def _share(self, at_ms: int) -> float:
        """Of full traffic."""
        return 1.0 if at_ms >= self._full_from_ms else self._first_share

    def _choose_visitor(self, now_ms: int) -> Visitor:
        """Usually a visitor whose return is due, if there is one; otherwise somebody new."""
        if self._random.random() < ROBOTS:
            return self._random.choice(self._crowd.robots)
        if self._returning and self._returning[0][0] <= now_ms and self._random.random() < self._profile.returning:
            visitor = heappop(self._returning)[2]
            self._plan_return(now_ms, visitor)
            return visitor
        return self._new(now_ms)

    def _new(self, now_ms: int) -> Visitor:
        visitor = self._crowd.newcomer(self._random)
        self._plan_return(now_ms, visitor)
        return visitor

    def _plan_return(self, now_ms: int, visitor: Visitor) -> None:
        """Hours later, or about the same time on one of the next days, or never."""
        rng, profile = self._random, self._profile
        if rng.random() >= visitor.persona.returns:
            return
        if rng.random() < profile.same_day:
            at_ms = now_ms + round((2 + 7 * rng.random()) * DAY_MS / 24)
        else:
            days = 1 + int(-profile.next_days * log(1 - rng.random()))
            at_ms = now_ms + round((days + rng.gauss(0.05, 0.05)) * DAY_MS)
        self._pushed += 1
        heappush(self._returning, (at_ms, self._pushed, visitor))

    def _lives(self, now_ms: int, visitor: Visitor, steps: Iterator[Step | Fork]) -> None:
        """All that a visitor does, from now on, sets out; what follows long after waits."""
        rng = self._random
        for step in steps:
            at_ms = now_ms + round(1000 * step.after_s)
            if isinstance(step, Fork):
                self._push(at_ms, Sequel(step.later.scene, None if step.later.newcomer else visitor, step.facts))
                continue
            scene = step.scene
            if scene.server:
                self._push(*self._sender.server(at_ms, visitor.id, visitor.hash, scene.name, step.properties, rng))
            else:
                self._push(*self._sender.client(at_ms, visitor, step, rng))
            if scene.subscribes and self._office.random() < scene.subscribes:
                self._subscribe(at_ms)

    # What servers tell by themselves

    def _subscribe(self, now_ms: int, *, long_ago: bool = False) -> None:
        if self._billing is not None:
            self._bill(now_ms, *self._billing.begins(now_ms, long_ago=long_ago))

    def _happens(self, now_ms: int, due: Due) -> None:
        subscription = due.subscription
        if self._billing is None or subscription.due_ms != due.due_ms:
            return
        state = self._billing.happens(subscription, now_ms)
        self._bill(now_ms, subscription, state)

    def _bill(self, now_ms: int, subscription: Subscription, state: State | None) -> None:
        """The billing system tells the state of a subscription, soon after it has changed."""
        self._push(subscription.due_ms, Due(subscription, subscription.due_ms))
        if state is not None:
            customer, properties = state
            self._tell(now_ms, customer, self._billed, properties)

    def _book(self, now_ms: int) -> None:
        self._push(self._morning_ms(now_ms), Morning())
        day = (datetime.fromtimestamp(now_ms / 1000, self._zone) - timedelta(days=1)).date()
        visits = self._visits_per_s * self._share(now_ms - DAY_MS) * DAY_MS / 1000
        told = [
            *spent(self._profile, day, visits, self._office),
            *corrected(self._profile, day - timedelta(days=1), visits),
        ]
        for properties in told:
            self._tell(now_ms, BOOKKEEPER, "Marketing Spend Recorded", properties)

    def _morning_ms(self, after_ms: int) -> int:
        """The next morning."""
        local = datetime.fromtimestamp((after_ms - BOOKED_MS) / 1000, self._zone)
        midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return round(midnight.timestamp() * 1000) + BOOKED_MS

    def _tell(self, now_ms: int, user: str, event: str, properties: Mapping[str, object]) -> None:
        self._push(
            *self._sender.server(now_ms, ("userId", user), crc32(user.encode()), event, properties, self._office)
        )

    # Events on their way

    def _deliver(self, now_ms: int, delivery: Delivery) -> Record | None:
        """Its record; None when it is lost, or has to wait to be late for certain."""
        if self._conditions(now_ms).lost:
            return None
        event, partition = delivery.event, delivery.partition
        if delivery.late and self._clocks[partition] < event.ts_ms + 2 * self._lateness_ms:
            self._push(now_ms + 6 * self._lateness_ms, delivery)
            return None
        if not delivery.bot and self._clocks[partition] < event.ts_ms:
            self._clocks[partition] = event.ts_ms
        counts_at_arrival = delivery.clamped or "timestamp" not in event.body
        if self._random.random() < RESENT and not (delivery.resent or counts_at_arrival):
            again_ms = now_ms + self._random.randrange(200, self._resend_ms)
            self._push(again_ms, Delivery(partition, event, resent=True, bot=delivery.bot))
        key, value = event.user.encode(), self._encode(event.body)
        return Record(partition, key, value, now_ms, event, "", delivery.resent, delivery.clamped)

    def _broken(self, now_ms: int) -> Record:
        reason, make = self._random.choice(self._breakages)
        value = make(now_ms)
        return Record(self._random.randrange(self._partitions), None, value, now_ms, event=None, reason=reason)


def days_of(events: int, mean_rate: float) -> float:
    """How many days of full traffic have about so many events, at most DAYS."""
    return min(DAYS, events / mean_rate / (DAY_MS / 1000))
