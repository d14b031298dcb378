"""What a careful engineer would write without an engine: confluent-kafka, msgspec and dicts.

    python handwritten.py BOOTSTRAP TOPIC REDIS_URL STATE_FOLDER end|on

It gives the whole task, and rightly so: events are held until the watermark and sorted, copies are dropped, and state
and offsets are saved together every ten seconds. It has no metrics and no fence, and every definition is in the loop.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import redis
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

POLL: Final = 10_000
LATENESS: Final = 10_000
AHEAD: Final = 300_000
TIMEOUT: Final = 1_800_000
ENGAGED: Final = 10_000
HOUR: Final = 3_600_000
PANE_5M: Final = 5_000
PANE_1H: Final = 60_000
HORIZON: Final = 600_000  # a copy comes within it
TICK_SECONDS: Final = 0.5
CHECKPOINT_SECONDS: Final = 10.0
STEPS: Final = {"Product Viewed": 0, "Product Added": 1, "Checkout Started": 2, "Order Completed": 3}
VIEW, OTHER = 4, 5
FUNNEL: Final = (
    "funnel.checkout.01_product_viewed.1h",
    "funnel.checkout.02_product_added.1h",
    "funnel.checkout.03_checkout_started.1h",
    "funnel.checkout.04_order_completed.1h",
)
TUNED: Final = {
    "fetch.queue.backoff.ms": 20,
    "fetch.wait.max.ms": 20,
    "fetch.max.bytes": 8 * 1024 * 1024,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 64 * 1024,
}


class Event(msgspec.Struct, gc=False):
    """The fields that are needed, so that the decoder skips all others."""

    type: Literal["track", "identify", "page", "screen", "group", "alias"]
    timestamp: datetime
    userId: str  # noqa: N815 - the name on the wire
    messageId: str = ""  # noqa: N815
    event: str | None = None


@dataclass(slots=True)
class Seen:
    """Message ids of one partition: of the generation under way, and of the one before it."""

    generation: int = 0
    now: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)


class Numbers:
    """Everything that is known, so that it can be saved whole."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.clocks: dict[int, int] = {}
        self.now = 0  # the stream's clock
        self.watermark = 0
        self.seen: dict[int, Seen] = defaultdict(Seen)  # by partition, for partitions may be far apart
        self.held: list[tuple[int, int, int, str, int]] = []  # time, partition, offset, user, code
        self.events_5m: dict[int, int] = defaultdict(int)  # by pane, as all that follow
        self.events_1h: dict[int, int] = defaultdict(int)
        self.last: dict[str, int] = {}  # time of a user's newest event
        self.users_5m: dict[int, int] = defaultdict(int)  # users by the pane of their newest event
        self.users_1h: dict[int, int] = defaultdict(int)
        self.sessions: dict[str, list[int]] = {}  # start, last, views, orders
        self.closings: deque[tuple[int, str]] = deque()
        self.closed: dict[int, int] = defaultdict(int)
        self.bounced: dict[int, int] = defaultdict(int)
        self.attempts: dict[str, list[int]] = {}  # start, steps reached
        self.endings: deque[tuple[int, str]] = deque()
        self.reached: tuple[dict[int, int], ...] = tuple(defaultdict(int) for _ in STEPS)

    def read(self, partition: int, messages: list[Message], decode: Any) -> None:
        """Take the records of one partition that a poll has brought."""
        held, of_partition = self.held, self.seen[partition]
        seen, seen_before = of_partition.now, of_partition.before
        events_5m, events_1h, last = self.events_5m, self.events_1h, self.last
        users_5m, users_1h = self.users_5m, self.users_1h
        clock = self.clocks.get(partition, 0)
        first = messages[0].offset() or 0
        ahead = messages[0].timestamp()[1] + AHEAD
        for offset, value in enumerate(map(Message.value, messages), first):
            try:
                event = decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
                continue
            at = int(event.timestamp.timestamp() * 1000 + 0.5)
            if at > ahead and at > messages[offset - first].timestamp()[1] + AHEAD:
                continue
            late = at < clock - LATENESS
            if at > clock:
                clock = at
                if clock // HORIZON > of_partition.generation:
                    of_partition.before = seen if clock // HORIZON == of_partition.generation + 1 else set()
                    of_partition.now = set()
                    seen, seen_before = of_partition.now, of_partition.before
                    of_partition.generation = clock // HORIZON
            key = event.messageId
            if key in seen or key in seen_before:
                continue
            if key:
                seen.add(key)
            user = event.userId
            if not user:
                continue
            pane_5m, pane_1h = at // PANE_5M, at // PANE_1H
            events_5m[pane_5m] += 1
            events_1h[pane_1h] += 1
            newest = last.get(user, 0)
            if at > newest:
                last[user] = at
                if pane_5m != newest // PANE_5M:
                    users_5m[pane_5m] += 1
                    users_5m[newest // PANE_5M] -= 1
                    users_1h[pane_1h] += 1
                    users_1h[newest // PANE_1H] -= 1
            if not late:
                kind = event.type
                if kind == "track":
                    held.append((at, partition, offset, user, STEPS.get(event.event, OTHER)))
                elif kind == "page" or kind == "screen":
                    held.append((at, partition, offset, user, VIEW))
        self.clocks[partition] = clock

    def advance(self, watermark: int) -> None:
        """Use what the watermark has passed, in the order of time."""
        self.watermark = watermark
        held = self.held
        held.sort()
        sessions, closings, attempts, endings = self.sessions, self.closings, self.attempts, self.endings
        reached = self.reached
        used = 0
        for at, _, _, user, code in held:
            if at >= watermark:
                break
            used += 1
            session = sessions.get(user)
            if session is None or at - session[1] > TIMEOUT:
                if session is not None:
                    self._close(session)
                session = sessions[user] = [at, at, 0, 0]
            else:
                session[1] = at
            closings.append((at + TIMEOUT, user))
            if code == VIEW:
                session[2] += 1
                continue
            if code == OTHER:
                continue
            if code == 3:
                session[3] += 1
            attempt = attempts.get(user)
            if attempt is not None and at > attempt[0] + HOUR:
                attempt = None
            if attempt is None:
                if code == 0:
                    attempts[user] = [at, 1]
                    endings.append((at + HOUR, user))
                    reached[0][at // PANE_1H] += 1
            elif code == attempt[1]:
                reached[code][attempt[0] // PANE_1H] += 1
                if code == 3:
                    del attempts[user]
                else:
                    attempt[1] += 1
        del held[:used]
        while closings and closings[0][0] < watermark:
            due, user = closings.popleft()
            session = sessions.get(user)
            if session is not None and session[1] + TIMEOUT == due:
                self._close(sessions.pop(user))
        while endings and endings[0][0] < watermark:
            due, user = endings.popleft()
            attempt = attempts.get(user)
            if attempt is not None and attempt[0] + HOUR == due:
                del attempts[user]

    def _close(self, session: list[int]) -> None:
        start, last, views, orders = session
        pane = (last + TIMEOUT) // PANE_1H
        self.closed[pane] += 1
        if last - start <= ENGAGED and views < 2 and orders == 0:
            self.bounced[pane] += 1

    def cells(self) -> dict[str, int]:
        """The task's numbers as they stand."""
        now_5m, now_1h, mark = self.now // PANE_5M, self.now // PANE_1H, self.watermark // PANE_1H
        cells = {
            "events.5m": _total(self.events_5m, now_5m),
            "events.1h": _total(self.events_1h, now_1h),
            "active_users.5m": _total(self.users_5m, now_5m),
            "active_users.1h": _total(self.users_1h, now_1h),
            "sessions.closed.1h": _total(self.closed, mark),
            "sessions.bounced.1h": _total(self.bounced, mark),
        }
        return cells | {name: _total(panes, mark) for name, panes in zip(FUNNEL, self.reached, strict=True)}


def _total(panes: dict[int, int], now: int) -> int:
    for pane in [pane for pane in panes if pane <= now - 120]:
        del panes[pane]  # what no window will hold again, whichever partition is behind
    return sum(panes.get(pane, 0) for pane in range(now - 59, now + 1))


def run(bootstrap_servers: str, topic: str, redis_url: str, folder: Path, until_end: bool) -> None:
    """Count until the end of the topic as of the start, or for ever."""
    store = folder / "state.pickle"
    folder.mkdir(parents=True, exist_ok=True)
    numbers: Numbers = pickle.loads(store.read_bytes()) if store.exists() else Numbers()
    sink = redis.Redis.from_url(redis_url)
    settings: Any = {"bootstrap.servers": bootstrap_servers, "group.id": "handwritten", "enable.auto.commit": False}
    consumer = Consumer(settings | TUNED)
    parts = [TopicPartition(topic, number) for number in consumer.list_topics(topic, 10).topics[topic].partitions]
    ends = {part.partition: consumer.get_watermark_offsets(part, 10)[1] for part in parts}
    offsets = numbers.offsets
    for part in parts:
        part.offset = offsets.setdefault(part.partition, 0) or OFFSET_BEGINNING
    consumer.assign(parts)
    decode = msgspec.json.Decoder(Event).decode
    partition_of: Any = Message.partition
    next_tick = next_checkpoint = time.monotonic()
    next_checkpoint += CHECKPOINT_SECONDS
    while True:
        for number, together in itertools.groupby(consumer.consume(POLL, 0.02), partition_of):
            of_partition: list[Any] = list(together)
            if (error := of_partition[-1].error()) is not None:
                raise KafkaException(error)
            numbers.read(number, of_partition, decode)
            offsets[number] = of_partition[-1].offset() + 1
        done = until_end and all(offsets[number] >= end for number, end in ends.items())
        if time.monotonic() < next_tick and not done:
            continue
        for part in parts:  # what librdkafka has noted of the ends, without asking the broker
            ends[part.partition] = max(ends[part.partition], consumer.get_watermark_offsets(part, cached=True)[1])
        clocks = numbers.clocks
        behind = [clocks.get(number, 0) for number, end in ends.items() if offsets[number] < end]
        now = min(behind) if behind else max(clocks.values(), default=0)
        numbers.now = max(numbers.now, now)
        numbers.advance(numbers.now - LATENESS)
        sink.hset("peers", mapping=numbers.cells())  # type: ignore[arg-type]
        next_tick = time.monotonic() + TICK_SECONDS
        if time.monotonic() >= next_checkpoint or done:
            fresh = store.with_suffix(".new")
            fresh.write_bytes(pickle.dumps(numbers, protocol=5))
            os.replace(fresh, store)
            next_checkpoint = time.monotonic() + CHECKPOINT_SECONDS
        if done:
            break
    consumer.close()


if __name__ == "__main__":
    servers, name, url, state, mode = sys.argv[1:]
    run(servers, name, url, Path(state), until_end=mode == "end")
