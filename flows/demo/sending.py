"""How what happens becomes events on their way: as each client writes them, and as late as its network makes them.

Disorder is unambiguous on purpose. An event is delivered either less than half the lateness after it happened, so it is
on time whatever the reader's watermark, or so long after that its own partition has moved on by more than twice the
lateness, so it is late for every reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Any, Final

import msgspec

from flows.demo.visitors import Visitor
from flows.demo.walk import Step

DELAYED: Final = 0.12  # of mobile and of slow servers' events: within lateness
LATE: Final = 0.006  # of mobile events: beyond lateness
WRONG_CLOCK: Final = 0.002  # of mobile events: the phone is hours ahead
NO_TIMESTAMP: Final = 0.01  # of web events: the record's timestamp is all there is
AHEAD_MS: Final = 2 * 3_600_000


class Event(msgspec.Struct, frozen=True, gc=False):
    """What one event says, and when it counts as having happened."""

    user: str
    ts_ms: int
    body: Mapping[str, Any]  # as sent


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """An event on its way."""

    partition: int
    event: Event
    late: bool = False
    resent: bool = False
    clamped: bool = False  # its timestamp lies ahead, so it counts at its arrival
    bot: bool = False


class Sender:
    """The clients and servers that send events, each through its network."""

    def __init__(self, lateness_ms: int, partitions: int) -> None:
        self._lateness_ms = lateness_ms
        self._partitions = partitions
        self._messages = 0

    def client(self, now_ms: int, visitor: Visitor, step: Step, rng: Random) -> tuple[int, Delivery]:
        """When the event of a step that a visitor takes now is delivered (ms), and the delivery."""
        chance = rng.random
        luck, platform = chance(), visitor.platform
        delay_ms = 5 + int(145 * chance())
        body = self._body(visitor, step, rng)
        ts_ms, late, clamped = now_ms, False, False
        if visitor.mobile and luck < LATE + DELAYED + WRONG_CLOCK:
            if luck < LATE:
                late, delay_ms = True, int(self._lateness_ms * (6 + 18 * chance()))
            elif luck < LATE + DELAYED:
                delay_ms = self._slow_ms(rng)
            else:
                clamped, ts_ms = True, now_ms + delay_ms
        if clamped:
            body["timestamp"] = timestamp(now_ms + AHEAD_MS, platform)
        elif not visitor.mobile and luck < NO_TIMESTAMP:
            ts_ms = now_ms + delay_ms  # the reader knows only when it arrived
        else:
            body["timestamp"] = timestamp(now_ms, platform)
        event = Event(visitor.id[1], ts_ms, body)
        partition = visitor.hash % self._partitions
        return now_ms + delay_ms, Delivery(partition, event, late=late, clamped=clamped, bot=visitor.bot)

    def server(
        self,
        now_ms: int,
        user: tuple[str, str],  # the field that names the user, and the name
        user_hash: int,
        event: str,
        properties: Mapping[str, object],
        rng: Random,
    ) -> tuple[int, Delivery]:
        """The same for an event that a server tells about a user."""
        self._messages += 1
        body = {
            "messageId": f"m-{self._messages:x}-{rng.getrandbits(48):012x}",
            "type": "track",
            "event": event,
            user[0]: user[1],
            "timestamp": timestamp(now_ms, None),
            "channel": "server",
            "properties": properties,
        }
        delay_ms = self._slow_ms(rng) if rng.random() < DELAYED else 5 + int(145 * rng.random())
        return now_ms + delay_ms, Delivery(user_hash % self._partitions, Event(user[1], now_ms, body))

    def _slow_ms(self, rng: Random) -> int:
        return int(self._lateness_ms * (0.02 + 0.28 * rng.random()))

    def _body(self, visitor: Visitor, step: Step, rng: Random) -> dict[str, object]:
        self._messages += 1
        scene = step.scene
        context: dict[str, object] = {**step.context}
        if visitor.platform is not None:
            context["device"] = {"type": visitor.platform}
        if visitor.bot:
            context["bot"] = True
        body: dict[str, object] = {
            "messageId": f"m-{self._messages:x}-{rng.getrandbits(48):012x}",
            "type": scene.kind,
            "anonymousId": visitor.anonymous_id,
            "context": context,
        }
        if visitor.user_id is not None:
            body["userId"] = visitor.user_id
        if scene.kind == "track":
            body["event"] = scene.name
            body["properties"] = step.properties
        elif scene.kind == "identify":
            body["traits"] = {"plan": "free"}
        else:
            body["name"] = scene.name
            if visitor.mobile:
                body["type"] = "screen"
            else:
                body["type"] = "page"
                if scene.path:
                    context["page"] = {**context.get("page", {}), "path": scene.path}  # type: ignore[dict-item]
        return body


def timestamp(at_ms: int, platform: str | None) -> str | int:
    """One instant as three clients write it: RFC 3339 in UTC, with an offset, and epoch milliseconds."""
    if platform == "android":
        return at_ms
    if platform == "ios":
        return _written(at_ms + 7_200_000) + "+02:00"
    return _written(at_ms) + "Z"


def _written(at_ms: int) -> str:
    minute, ms = divmod(at_ms, 60_000)
    return f"{_minute(minute)}{ms // 1000:02d}.{ms % 1000:03d}"


@lru_cache(maxsize=1024)
def _minute(minute: int) -> str:
    return datetime.fromtimestamp(60 * minute, UTC).isoformat()[:17]
