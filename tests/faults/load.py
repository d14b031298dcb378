"""What producers send, from a seed: shoppers and subscribers, copies, disorder, late and future events, and poison.

Event time runs faster than the clock (STEP_MS of it a step), so that minutes of a product fit into seconds, and an
outage of seconds is minutes of backlog. Producers keep the promise that exact numbers need: what is in time is at most
DISORDER behind the newest event, far less than the lateness; what is late is much later, by every clock there is, and
its user has either an event between that was used long ago, or none at all. So the reference has one answer, whenever
records are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from flows.config.model import Config

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
START = 1_774_742_400_000  # 2026-03-29T00:00Z
STEP_MS = 6 * SECOND
STEP_EVENTS = 12
DISORDER = MINUTE
LATE = (20 * MINUTE, 3 * HOUR)
LONG_USED = 9 * MINUTE  # ago: by every clock there is the ordered metrics have used it
LIMIT_BYTES = 32 * 1024

CONFIG = Config(
    product="faults",
    lateness="5m",
    sessions={"timeout": "90s"},
    key_actions=["Bought"],
    churn_after="10m",
    funnels={
        "buy": {"window": "3m", "steps": ["Viewed", "Added", "Bought"]},
        "same": {"window": "3m", "hold": "context.device.type", "steps": ["Viewed", "Added", "Bought"]},
    },
    breakdowns={"platform": {"field": "context.device.type", "values": ["web", "ios"]}},
    subscriptions={"currency": "USD", "plans": ["Pro"]},
    windows=["1m", "30m", "24h"],
    ratio_windows=["30m"],
    shards=4,
)
POISON = (
    b"",
    b"{",
    b"null",
    b"5",
    b'"text"',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"\x1f\x8b\x08\x00gzip?",
    b'{"type":"track"}',
    b'{"type":"track","event":"x","userId":{}}',
    b'{"type":"track","event":"x","userId":"null"}',
    b'{"type":"page","userId":"u1","timestamp":"9999-12-31T23:59:59Z"}',
    b'{"type":"page","userId":"u1","timestamp":1e400}',
    b'{"type":"page","userId":"u1","timestamp":-1}',
    b'{"type":"page","userId":"\xed\xa0\x80"}',
)
"""Each is refused, with a reason, and leaves its neighbours as they are."""


@dataclass(frozen=True)
class Sent:
    """A record to produce."""

    value: bytes
    partition: int
    timestamp_ms: int  # the record's own, of Kafka


@dataclass
class Load:
    """The producers of one product. `step` gives what is sent next, in order."""

    seed: int
    partitions: int
    now_ms: int = START
    steps: int = 0
    _numbers: int = 0  # records that have been given one
    _documents: list[tuple[bytes, int]] = field(default_factory=list)  # that may come again
    _huge: int = 1  # records of 10 MB still to come
    _used: dict[str, list[int]] = field(default_factory=dict)  # by user, the times of events that are used in order
    _homes: dict[str, int] = field(default_factory=dict)  # by user, the partition that it stays in
    _newest: dict[str, int] = field(default_factory=dict)  # by user, the time of the newest event that may be

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    def grow(self, partitions: int) -> None:
        """There are more partitions: new users go to all of them, known ones stay where they are."""
        self.partitions = partitions

    def step(self) -> list[Sent]:
        """The records of the next moment; every partition has one event of now among them."""
        self.now_ms += STEP_MS
        self.steps += 1
        sent = [self._record(self._event(f"steady-{number}"), number) for number in range(self.partitions)]
        for _ in range(STEP_EVENTS):
            sent.append(self._one())
        return sent

    def _one(self) -> Sent:
        chance = self._chance
        kind = chance.random()
        if kind < 0.08 and self._documents:
            value, partition = chance.choice(self._documents[-400:])  # a copy, maybe much later
            return Sent(value, partition, self.now_ms)
        if kind < 0.12:
            return Sent(chance.choice(POISON), chance.randrange(self.partitions), self.now_ms)
        if kind < 0.122 and self._huge and self.steps > 20:
            self._huge -= 1
            return Sent(b'{"type":"page","userId":"' + b"x" * 10_000_000 + b'"}', 0, self.now_ms)
        user = int(60 * chance.random() ** 2)
        offline = 0.15 <= kind < 0.19  # a phone tells of what it has done long ago
        event = self._event(f"phone-{user}" if offline else f"u{user}")
        ahead = kind < 0.15
        if ahead:
            event["timestamp"] = self.now_ms + chance.choice((6 * MINUTE, HOUR, 2 * DAY))  # clamped, or refused
        elif kind < 0.22 and (late_ms := self._late(event["userId"])) is not None:
            event["timestamp"] = late_ms
        elif kind < 0.50:
            event["timestamp"] = self.now_ms - chance.choice((1, SECOND, chance.randint(0, DISORDER), DISORDER))
        if kind < 0.13 or kind > 0.99:
            self._fill(event, LIMIT_BYTES + chance.choice((0, 0, 1)))
        if event.get("event") == "Subscription Changed":
            event["timestamp"] = self.now_ms  # when a late state takes its turn depends on when it is read
        self._note(event, is_sure=0.15 <= kind <= 0.99)
        home = user % self.partitions if user >= 40 else user % 2 % self.partitions
        partition = self._homes.setdefault(event["userId"], home)
        # A copy of what lies ahead would be sent when it does so no more, and move the clock to the edge of lateness.
        return self._record(event, partition, copied=not ahead)

    def _late(self, user: str) -> int | None:
        """A time of which all agree whether it is in order for the user; None: it depends on the clock."""
        late_ms = self.now_ms - self._chance.randint(*LATE)
        long_used = any(late_ms < time < self.now_ms - LONG_USED for time in self._used.get(user, ()))
        return late_ms if long_used or self._newest.get(user, 0) <= late_ms else None

    def _note(self, event: dict[str, Any], *, is_sure: bool) -> None:
        """Remember when an event of its user is; `is_sure`: it is accepted."""
        user, time = event["userId"], min(event["timestamp"], self.now_ms)
        in_order = time > self.now_ms - LATE[0] or time >= self._newest.get(user, 0)
        if is_sure and in_order:
            self._used.setdefault(user, []).append(time)
        self._newest[user] = max(self._newest.get(user, 0), time)

    def _event(self, user: str) -> dict[str, Any]:
        chance = self._chance
        event: dict[str, Any] = {
            "messageId": f"m{self.seed}-{self._numbers}",
            "type": chance.choice(("track", "track", "track", "track", "page", "identify")),
            "userId": user,
            "timestamp": self.now_ms,
            "context": {"device": {"type": chance.choice(("web", "ios", "tv", None))}},
        }
        if event["type"] == "track":
            event["event"] = chance.choice(("Viewed", "Viewed", "Added", "Bought", "Left", "Subscription Changed"))
        if event.get("event") == "Subscription Changed":
            event["properties"] = {
                "subscription_id": chance.choice("ab"),
                "status": chance.choice(("active", "active", "trialing", "past_due", "cancelled")),
                "plan": chance.choice(("Pro", "Team")),
                "amount": chance.choice(("10", "25.50", "99")),
                "interval": chance.choice(("month", "year")),
                "currency": "USD",
            }
        return event

    def _record(self, event: dict[str, Any], partition: int, *, copied: bool = True) -> Sent:
        value = json.dumps(event).encode()
        self._numbers += 1
        if copied:
            self._documents.append((value, partition))
        return Sent(value, partition, self.now_ms)

    @staticmethod
    def _fill(event: dict[str, Any], size: int) -> None:
        """Make the document `size` bytes long: the limit is still good, one more is not."""
        event["filling"] = ""
        event["filling"] = "x" * (size - len(json.dumps(event)))
