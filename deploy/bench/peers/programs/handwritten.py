"""What a careful engineer would write without an engine: confluent-kafka, msgspec and dicts.

    python handwritten.py BOOTSTRAP TOPIC REDIS_URL STATE_FOLDER end|on

It gives the whole task, and rightly so: events are held until the watermark and sorted, copies are dropped, and state
and offsets are saved together every ten seconds. It has no metrics and no fence, and every definition is in the loop.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import os
import pickle
import sys
import time
from collections import defaultdict
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
PANE: Final = 5_000
MINUTE: Final = 60_000
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


class User:
    """What is known of one user; one look-up finds it all."""

    __slots__ = ("began", "last", "newest", "orders", "reached", "start", "views")

    def __init__(self) -> None:
        self.newest = 0  # time of the newest event
        self.start = -1  # of the open session; -1: there is none
        self.last = 0
        self.views = 0
        self.orders = 0
        self.began = -1  # of the attempt in progress; -1: there is none
        self.reached = 0  # steps of it


class Numbers:
    """Everything that is known, so that it can be saved whole. Panes are of 5 s: twelve make up a pane of the hour."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.clocks: dict[int, int] = {}
        self.now = 0  # the stream's clock
        self.watermark = 0
        self.seen: dict[int, Seen] = defaultdict(Seen)  # by partition, for partitions may be far apart
        self.users: dict[str, User] = {}
        self.held: list[tuple[int, int, int, User, int]] = []  # time, partition, offset, user, code
        self.events: dict[int, int] = defaultdict(int)  # by pane
        self.active: dict[int, int] = defaultdict(int)  # users by the pane of their newest event
        self.closings: list[tuple[int, int, User]] = []  # a heap; when a session may close, and a number to tell equals
        self.opened = 0
        self.closed: dict[int, int] = defaultdict(int)  # by minute, as all that follow
        self.bounced: dict[int, int] = defaultdict(int)
        self.reached: tuple[dict[int, int], ...] = tuple(defaultdict(int) for _ in STEPS)

    def read(self, partition: int, messages: list[Message], decode: Any) -> None:
        """Take the records of one partition that a poll has brought."""
        held, of_partition, users = self.held, self.seen[partition], self.users
        seen, seen_before = of_partition.now, of_partition.before
        events, active = self.events, self.active
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
            name = event.userId
            if not name:
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
            pane = at // PANE
            events[pane] += 1
            user = users.get(name)
            if user is None:
                user = users[name] = User()
            if at > user.newest:
                before = user.newest // PANE
                user.newest = at
                if pane != before:
                    active[pane] += 1
                    active[before] -= 1
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
        held, reached, closings = self.held, self.reached, self.closings
        held.sort()
        used = 0
        for at, _, _, user, code in held:
            if at >= watermark:
                break
            used += 1
            if user.start < 0 or at - user.last > TIMEOUT:
                if user.start >= 0:
                    self._close(user)
                user.start = at
                user.views = user.orders = 0
                self.opened += 1
                heapq.heappush(closings, (at + TIMEOUT, self.opened, user))
            user.last = at
            if code == VIEW:
                user.views += 1
                continue
            if code == OTHER:
                continue
            if code == 3:
                user.orders += 1
            if user.began >= 0 and at > user.began + HOUR:
                user.began = -1
            if user.began < 0:
                if code == 0:
                    user.began, user.reached = at, 1
                    reached[0][at // MINUTE] += 1
            elif code == user.reached:
                reached[code][user.began // MINUTE] += 1
                user.reached += 1
                if code == 3:
                    user.began = -1
        del held[:used]
        while closings and closings[0][0] < watermark:
            due, number, user = heapq.heappop(closings)
            if user.start < 0:
                continue
            if user.last + TIMEOUT < watermark:
                self._close(user)
                user.start = -1
            elif due < user.last + TIMEOUT:
                heapq.heappush(closings, (user.last + TIMEOUT, number, user))

    def _close(self, user: User) -> None:
        minute = (user.last + TIMEOUT) // MINUTE
        self.closed[minute] += 1
        if user.last - user.start <= ENGAGED and user.views < 2 and user.orders == 0:
            self.bounced[minute] += 1

    def cells(self) -> dict[str, int]:
        """The task's numbers as they stand."""
        pane, minute, mark = self.now // PANE, self.now // MINUTE, self.watermark // MINUTE
        last_5m = range(pane - 59, pane + 1)
        last_1h = range((minute - 59) * 12, (minute + 1) * 12)
        cells = {
            "events.5m": _total(self.events, last_5m),
            "events.1h": _total(self.events, last_1h),
            "active_users.5m": _total(self.active, last_5m),
            "active_users.1h": _total(self.active, last_1h),
            "sessions.closed.1h": _total(self.closed, range(mark - 59, mark + 1)),
            "sessions.bounced.1h": _total(self.bounced, range(mark - 59, mark + 1)),
        }
        return cells | {
            name: _total(panes, range(mark - 59, mark + 1)) for name, panes in zip(FUNNEL, self.reached, strict=True)
        }

    def forget(self) -> None:
        """Drop panes that no window will hold again, whichever partition is behind."""
        for panes, width in ((self.events, PANE), (self.active, PANE), (self.closed, MINUTE), (self.bounced, MINUTE)):
            for pane in [pane for pane in panes if pane * width < self.now - 2 * HOUR]:
                del panes[pane]


def _total(panes: dict[int, int], window: range) -> int:
    return sum(panes.get(pane, 0) for pane in window)


def run(bootstrap_servers: str, topic: str, redis_url: str, folder: Path, until_end: bool) -> None:
    """Count until the end of the topic as of the start, or for ever."""
    gc.disable()  # there are no cycles, and looking for them in millions of objects takes a fifth of the time
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
            numbers.forget()
            next_checkpoint = time.monotonic() + CHECKPOINT_SECONDS
        if done:
            break
    consumer.close()


if __name__ == "__main__":
    servers, name, url, state, mode = sys.argv[1:]
    run(servers, name, url, Path(state), until_end=mode == "end")
