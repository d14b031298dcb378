"""Compiles the loops before the first event: once per version, later starts load them from disk in a moment."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from flows.config.limits import Limits
from flows.config.model import Config
from flows.config.notation import keys_of
from flows.decode.intake import Intake
from flows.measure.shard import Shard
from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.metrics.catalogue import facts
from flows.route.deal import deliveries

SLOW_SECONDS = 2.0
NOW_MS = 1_772_442_000_000
"""The time that the examples of facts are of: 2026-03-02, 9:00 UTC."""
logger = logging.getLogger(__name__)


def warm_up(config: Config) -> float:
    """Let made-up events run from their bytes through a shard that is thrown away; returns the seconds it took.

    Some come in time, some late, and one of them lives through a restart: what is compiled only when something rare
    happens would hold up the stream then.
    """
    started = time.monotonic()
    logger.info("preparing the metric loops (compiled once per version, which takes up to a minute)")
    intake, shard = Intake(config, Limits()), Shard(config)
    arrived_ms = NOW_MS
    for values in warming_events(config):
        raw = Raw.of("warm-up", 0, 1, values, range(len(values)), [arrived_ms] * len(values), True, None)
        poll, _ = intake.read(raw)
        (delivery,) = deliveries(poll, 1)
        shard.receive(delivery)
        arrived_ms += 2 * config.lateness + 1
        shard.tick(Tick(1, None, arrived_ms))
    thawed = Shard(config)
    thawed.thaw(shard.freeze())
    thawed.tick(Tick(1, None, arrived_ms + 1))
    seconds = time.monotonic() - started
    if seconds > SLOW_SECONDS:
        logger.info("metric loops compiled in %.0f s", seconds)
    return seconds


def warming_events(config: Config) -> list[list[bytes | None]]:
    """Those of two users, one after the other; the second is late, and for the escape in her id read the slow way."""
    return [[json.dumps(event).encode() for event in _events(config, user)] for user in ("Ann", "Zoë")]


def _events(config: Config, user: str) -> Iterator[dict[str, object]]:
    """One of a user's own, with a value of each listed field, and one for each that carries a fact; with their time
    as text.
    """
    event: dict[str, object] = {
        "messageId": f"{user} 1",
        "type": "track",
        "event": "Warmed Up",
        "userId": user,
        "timestamp": "2026-03-02T09:00:00.000Z",
    }
    listed = [keys_of(section.field) or () for section in config.top.values()]
    for *above, last in sorted(listed, key=len, reverse=True):  # one may be an object on the way to another
        place: Any = event
        for key in above:
            place = place.setdefault(key, {})
        place[last] = "/warm/up"
    yield event
    for fact in facts(config):
        for name in fact.events:
            yield event | {"messageId": f"{user} {fact.name} {name}", "event": name, "properties": fact.example()}
