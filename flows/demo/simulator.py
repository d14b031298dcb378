"""The simulated product's event stream, in the order in which it arrives: history first, then for ever.

A discrete-event simulation in simulated time: visits begin at a rate that changes with the hour and the weekday, each
step becomes an event, each event is delivered at once or later, and some are sent twice, broken, or come from a robot.
Nothing here looks at a clock: whoever sends the records waits until each `arrival_ms`. The same arguments give the same
records.

Disorder is unambiguous on purpose. An event is delivered either less than half the lateness after it happened, so it is
on time whatever the reader's watermark, or so long after that its own partition has moved on by more than twice the
lateness, so it is late for every reader.

The history has two parts. The last days have the traffic of today, so that yesterday and last week can be compared with
it. The month before has little, but enough that people come back from it, or are missed.

    traffic   ______________.-'-.-'-.-'-.-'-
              |  a month    |  days    | live
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from heapq import heappop, heappush
from random import Random
from zoneinfo import ZoneInfo

import msgspec

from flows.config.model import Config
from flows.demo.billing import Billing
from flows.demo.scenarios import NORMAL, Conditions, Scenario, Switch
from flows.demo.shop import EVENTS_PER_VISIT, PERSONAS, Step, Visitor, crawl, new_visitor, visit

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
MONTH_SHARE = 0.2  # events of the month, per event of the days behind it
DAYS = 14.0
HISTORY_EVENTS = 50_000  # of days that are to be sent through a broker

SAME_DAY = 0.2  # of returns
NEXT_DAYS = 1.0  # mean of how many days later than tomorrow the other returns are
WEEKDAYS = (0.96, 0.93, 0.94, 0.98, 1.0, 1.09, 1.1)  # traffic of Monday to Sunday
RHYTHM_MS = 600_000  # a level of the rhythm holds for so long

DELAYED = 0.12  # of mobile events: within lateness
LATE = 0.006  # of mobile events: beyond lateness
WRONG_CLOCK = 0.002  # of mobile events: the phone is hours ahead
NO_TIMESTAMP = 0.01  # of web events: the record's timestamp is all there is
RESENT = 0.01  # of events
BROKEN = 0.002  # records per event
MOST_BYTES = 900_000  # Kafka itself takes 1 MB
ROBOTS = 0.004  # of visits
BILLED = 0.05  # as often as that, per visit, something happens to a subscription, where they are measured


@dataclass(frozen=True, slots=True)
class Event:
    """What one event says, and when it counts as having happened."""

    user: str
    ts_ms: int
    body: Mapping[str, object]  # as sent


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record to send, and what is known of it."""

    partition: int
    key: bytes | None
    value: bytes | None
    arrival_ms: int  # when it is to be sent; becomes the Kafka record timestamp
    event: Event | None  # None: broken
    reason: str = ""  # why a broken record has to be rejected
    resent: bool = False  # a copy of an earlier record of the same partition
    clamped: bool = False  # its timestamp lies ahead, so it counts at its arrival


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way."""

    visitor: Visitor
    event: Event
    late: bool = False
    resent: bool = False
    clamped: bool = False


@dataclass(slots=True)
class Visit:
    """A visit that goes on: its next step is known, for it has its time."""

    visitor: Visitor
    steps: Iterator[Step]
    next: Step


class Arrival:
    """The next visit begins."""


class Simulator:
    """A web shop that goes live at `start_ms`, after a month of little traffic and some `days` of full traffic.

    `rate`: live events per second at the hour of the start, before the scenario. `records()` never ends.
    """

    def __init__(
        self,
        config: Config,
        *,
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
        self._partitions = partitions
        self._start_ms = start_ms
        self._lateness_ms = config.lateness
        self._resend_ms = max(1000, min(60_000, config.dedup_horizon // 4))
        self._zone = ZoneInfo(config.time_zone)
        self._scenario = scenario
        self._rhythm = lru_cache(maxsize=256)(rhythm)
        self._visits_per_s = rate / EVENTS_PER_VISIT / self._level(start_ms)  # of a mean hour
        days = days_of(HISTORY_EVENTS, self.mean_rate) if days is None else days
        self._full_from_ms = start_ms - round(days * DAY_MS)
        self._first_share = MONTH_SHARE * days * DAY_MS / MONTH_MS  # of full traffic, in the month
        self._breakages = [*BREAKAGES, *([_oversized(record_bytes)] if record_bytes < MOST_BYTES else [])]
        self._clocks = [0] * partitions  # largest event time by partition, as a reader will see it
        self._waiting: list[tuple[int, int, Arrival | Visit | Delivery]] = []
        self._pushed = 0
        self._visitors = 0
        self._messages = 0
        self._returning: list[tuple[int, int, Visitor]] = []  # who comes back, the next one first
        self._robots = [Visitor(f"crawler-{n}", PERSONAS[0], "web", bot=True) for n in (1, 2)]
        self._billing = None if config.subscriptions is None else Billing(config.subscriptions)
        self._billed = "" if config.subscriptions is None else next(iter(config.subscriptions.events))
        self._fate = Random(f"{seed} billing")  # its own, so that subscriptions change no visit
        self._push(self.begins_ms, Arrival())

    @property
    def begins_ms(self) -> int:
        """When the history begins."""
        return self._full_from_ms - MONTH_MS

    @property
    def mean_rate(self) -> float:
        """Events per second, in the mean over a week."""
        return self._visits_per_s * EVENTS_PER_VISIT

    def records(self) -> Iterator[Record]:
        """All records in the order of `arrival_ms`."""
        while True:
            now_ms, _, what = heappop(self._waiting)
            if isinstance(what, Delivery):
                yield from self._deliver(now_ms, what)
            elif isinstance(what, Visit):
                self._act(now_ms, what)
            else:
                self._welcome(now_ms)

    def _push(self, at_ms: int, what: Arrival | Visit | Delivery) -> None:
        self._pushed += 1  # breaks ties in the order of pushing
        heappush(self._waiting, (at_ms, self._pushed, what))

    # Visits

    def _welcome(self, now_ms: int) -> None:
        self._push(self._next_visit(now_ms), Arrival())
        conditions = self._conditions(now_ms)
        # Visits of a surge are no more subscribers, so as much more rarely something happens at each of them.
        billed = BILLED * conditions.billing / conditions.traffic
        if self._billing is not None and self._fate.random() < billed:
            self._bill(now_ms, self._billing, conditions)
        visitor = self._choose_visitor(now_ms)
        steps = crawl(self._random) if visitor.bot else visit(visitor, conditions, self._random)
        self._act(now_ms, Visit(visitor, steps, next(steps)))

    def _next_visit(self, now_ms: int) -> int:
        """A Poisson process whose rate is taken anew in steps that are short against its change."""
        at_ms = float(now_ms)
        while True:
            step_ms = RHYTHM_MS if at_ms >= self._full_from_ms else min(RHYTHM_MS, self._full_from_ms - at_ms)
            gap_ms = 1000 * self._random.expovariate(self._visits_per_second(round(at_ms)))
            if gap_ms < step_ms:
                return max(now_ms + 1, round(at_ms + gap_ms))
            at_ms += step_ms  # nobody came in this step; what the next one brings does not depend on it

    def _conditions(self, now_ms: int) -> Conditions:
        return NORMAL if self._scenario is None else self._scenario.at((now_ms - self._start_ms) / 1000)

    def _visits_per_second(self, now_ms: int) -> float:
        share = 1.0 if now_ms >= self._full_from_ms else self._first_share
        return self._visits_per_s * share * self._level(now_ms) * self._conditions(now_ms).traffic

    def _level(self, at_ms: int) -> float:
        return self._rhythm(at_ms // RHYTHM_MS * RHYTHM_MS, self._zone)

    def _choose_visitor(self, now_ms: int) -> Visitor:
        """Who wants to come back comes first; for all other visits there is somebody new."""
        if self._random.random() < ROBOTS:
            return self._random.choice(self._robots)
        if self._returning and self._returning[0][0] <= now_ms:
            visitor = heappop(self._returning)[2]
        else:
            self._visitors += 1
            visitor = new_visitor(self._visitors, self._random)
        if self._random.random() < visitor.persona.returns:
            self._pushed += 1
            heappush(self._returning, (self._next_return(now_ms), self._pushed, visitor))
        return visitor

    def _next_return(self, now_ms: int) -> int:
        """Hours later, or about the same time on one of the next days."""
        if self._random.random() < SAME_DAY:
            return now_ms + round(self._random.uniform(2, 9) * DAY_MS / 24)
        days = 1 + int(self._random.expovariate(1 / NEXT_DAYS))
        return now_ms + round((days + self._random.gauss(0, 0.06)) * DAY_MS)

    def _act(self, now_ms: int, going: Visit) -> None:
        """The visitor does the next step now; its event sets out, and the step after it is planned."""
        self._send(now_ms, going.visitor, going.next)
        following = next(going.steps, None)
        if following is None:
            return
        going.next = following
        self._push(now_ms + max(1, round(following.pause_s * 1000)), going)

    # Events on their way

    def _send(self, now_ms: int, visitor: Visitor, step: Step) -> None:
        chance = self._random.random
        luck = chance()
        body = self._body(visitor, step)
        stamp: object = _timestamp(now_ms, visitor.platform)
        delay_ms = 5 + int(145 * chance())
        late = clamped = False
        ts_ms = now_ms
        if visitor.mobile:
            if luck < LATE:
                late, delay_ms = True, int(self._lateness_ms * self._random.uniform(6, 24))
            elif luck < LATE + DELAYED:
                delay_ms = int(self._lateness_ms * self._random.uniform(0.02, 0.3))
            elif luck < LATE + DELAYED + WRONG_CLOCK:
                stamp = _timestamp(now_ms + 2 * 3_600_000, visitor.platform)
                clamped = True
        elif luck < NO_TIMESTAMP:
            stamp = None
        if clamped or stamp is None:
            ts_ms = now_ms + delay_ms  # the reader knows only when it arrived
        if stamp is not None:
            body["timestamp"] = stamp
        user = str(body.get("userId", visitor.anonymous_id))
        self._push(now_ms + delay_ms, Delivery(visitor, Event(user, ts_ms, body), late=late, clamped=clamped))

    def _bill(self, now_ms: int, billing: Billing, conditions: Conditions) -> None:
        """The billing system tells the state of a subscription, soon after it has changed."""
        told = billing.happens(now_ms, conditions, self._fate)
        if told is None:
            return
        customer, properties = told
        self._messages += 1
        body = {
            "messageId": f"m-{self._messages:x}-{self._fate.getrandbits(48):012x}",
            "type": "track",
            "event": self._billed,
            "userId": customer,
            "timestamp": _timestamp(now_ms, None),
            "properties": properties,
        }
        slow = self._fate.random() < DELAYED
        delay_ms = int(self._lateness_ms * self._fate.uniform(0.02, 0.3)) if slow else self._fate.randrange(5, 150)
        sender = Visitor(customer, PERSONAS[0], None)
        self._push(now_ms + delay_ms, Delivery(sender, Event(customer, now_ms, body)))

    def _body(self, visitor: Visitor, step: Step) -> dict[str, object]:
        self._messages += 1
        body: dict[str, object] = {
            "messageId": f"m-{self._messages:x}-{self._random.getrandbits(48):012x}",
            "type": step.kind,
            "anonymousId": visitor.anonymous_id,
        }
        context: dict[str, object] = {**step.context}
        if visitor.platform is not None:
            context["device"] = {"type": visitor.platform}
        if visitor.bot:
            context["bot"] = True
        body["context"] = context
        if visitor.user_id is not None:
            body["userId"] = visitor.user_id
        if step.kind == "track":
            body["event"] = step.name
            body["properties"] = step.properties
        elif step.kind == "identify":
            body["traits"] = {"plan": "free"}
        else:
            body["name"] = step.name
        return body

    def _deliver(self, now_ms: int, delivery: Delivery) -> Iterator[Record]:
        if self._conditions(now_ms).lost:
            return
        visitor, event = delivery.visitor, delivery.event
        partition = visitor.hash % self._partitions
        if delivery.late and self._clocks[partition] < event.ts_ms + 2 * self._lateness_ms:
            self._push(now_ms + 6 * self._lateness_ms, delivery)  # not yet late for certain
            return
        if not visitor.bot:
            self._clocks[partition] = max(self._clocks[partition], event.ts_ms)
        yield Record(
            partition,
            key=event.user.encode(),
            value=msgspec.json.encode(event.body),
            arrival_ms=now_ms,
            event=event,
            resent=delivery.resent,
            clamped=delivery.clamped,
        )
        counts_at_arrival = delivery.clamped or "timestamp" not in event.body
        if self._random.random() < RESENT and not (delivery.resent or counts_at_arrival):
            again_ms = now_ms + self._random.randrange(200, self._resend_ms)
            self._push(again_ms, Delivery(visitor, event, resent=True))
        if self._random.random() < BROKEN:
            yield self._broken(now_ms)

    def _broken(self, now_ms: int) -> Record:
        reason, make = self._random.choice(self._breakages)
        value = make(now_ms)
        return Record(self._random.randrange(self._partitions), None, value, now_ms, event=None, reason=reason)


def days_of(events: int, mean_rate: float) -> float:
    """How many days of full traffic have about so many events, at most DAYS."""
    return min(DAYS, events / mean_rate / (DAY_MS / 1000))


def rhythm(at_ms: int, zone: ZoneInfo) -> float:
    """Traffic as a multiple of its mean: most at 20 h, fewest at 8 h, and more at weekends."""
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    hour = local.hour + local.minute / 60
    return WEEKDAYS[local.weekday()] * (1 + 0.6 * math.cos((hour - 20) * math.tau / 24))


def _timestamp(at_ms: int, platform: str | None) -> str | int:
    """One instant as three clients write it: RFC 3339 in UTC, with an offset, and epoch milliseconds."""
    if platform == "android":
        return at_ms
    second, ms = divmod(at_ms, 1000)
    if platform == "ios":
        return f"{_second(second + 7_200)}.{ms:03d}+02:00"
    return f"{_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def _written(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


Breakage = tuple[str, Callable[[int], bytes | None]]


def _oversized(limit_bytes: int) -> Breakage:
    return "too_large", lambda now_ms: _written(type="page", userId="u-1", timestamp=now_ms, name="x" * limit_bytes)


BREAKAGES: tuple[Breakage, ...] = (
    ("empty", lambda now_ms: b" "),
    ("not_json", lambda now_ms: b'{"type": "track", "event": "Product Vie'),
    ("not_json", lambda now_ms: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*\xa9"),
    ("not_an_object", lambda now_ms: b'[{"type": "page"}]'),
    ("missing_field", lambda now_ms: _written(type="track", userId="u-1", timestamp=now_ms)),
    ("missing_field", lambda now_ms: _written(type="page", timestamp=now_ms)),
    ("bad_id", lambda now_ms: _written(type="page", userId="undefined", timestamp=now_ms)),
    ("bad_type", lambda now_ms: _written(type="page", userId=[4711], timestamp=now_ms)),
    (
        "bad_timestamp",
        lambda now_ms: _written(type="page", userId="u-1", timestamp="two days ago"),
    ),
    ("bad_timestamp", lambda now_ms: _written(type="page", userId="u-1", timestamp="9999-12-31T23:59:59Z")),
)
"""Broken records: the reason a reader has to give, and the value at a time."""
