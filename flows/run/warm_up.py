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
NOW_MS = 1_700_000_000_000
logger = logging.getLogger(__name__)


def warm_up(config: Config) -> float:
    """Let made-up events run from their bytes through shards that are thrown away; returns the seconds it took."""
    started = time.monotonic()
    logger.info("preparing the metric loops (compiled once per version, which takes some seconds)")
    values: list[bytes | None] = [json.dumps(event).encode() for event in _events(config)]
    raw = Raw.of("warm-up", 0, 1, values, range(len(values)), [NOW_MS] * len(values), True, None)
    poll, _ = Intake(config, Limits()).read(raw)
    for delivery in deliveries(poll, config.shards):
        if len(delivery.rows):
            shard = Shard(config)
            shard.receive(delivery)
            shard.tick(Tick(1, None, NOW_MS + 2 * config.lateness + 1))
            thawed = Shard(config)
            thawed.thaw(shard.freeze())
    seconds = time.monotonic() - started
    if seconds > SLOW_SECONDS:
        logger.info("metric loops compiled in %.0f s", seconds)
    return seconds


def _events(config: Config) -> Iterator[dict[str, object]]:
    """One of the user's own, with a value of each listed field, and one for each that carries a fact; with their time
    as text.
    """
    event: dict[str, object] = {
        "messageId": "1",
        "type": "track",
        "event": "Warmed Up",
        "userId": "warm-up",
        "timestamp": "2023-11-14T22:13:20.000Z",
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
            yield event | {"messageId": f"{fact.name} {name}", "event": name, "properties": fact.example()}
