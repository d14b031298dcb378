"""Compiles the loops before the first event: once per version, later starts load them from disk in a moment."""

from __future__ import annotations

import logging
import time

import numpy as np

from flows.columns import EVENT, NO_STATES, REASONS, STATE, TRACK, Columns, Tick
from flows.config import Config
from flows.shard import Shard

SLOW_SECONDS = 2.0
logger = logging.getLogger(__name__)


def warm_up(config: Config) -> float:
    """Run a made-up event, with a state where those count, through a shard that is thrown away; returns the seconds."""
    started = time.monotonic()
    logger.info("preparing the metric loops (compiled once per version, which takes some seconds)")
    rows = np.zeros(1, EVENT)
    now_ms = 1_700_000_000_000
    rows["user"] = rows["message"] = 1
    rows["ts"] = rows["clock"] = now_ms
    rows["kind"] = TRACK
    states = NO_STATES
    if config.subscriptions is not None:
        states = np.zeros(1, STATE)
        for name in ("user", "message", "customer", "subscription", "mrr", "status"):
            states[name] = 1
        states["ts"] = states["clock"] = states["effective"] = now_ms
    no_rejections = np.zeros(len(REASONS), np.int64)
    shard = Shard(config)
    shard.receive(Columns(0, 1, rows, now_ms, 1, no_rejections, 0, True, None), rows, True, states)
    shard.tick(Tick(1, None, now_ms + 2 * config.lateness + 1))
    thawed = Shard(config)
    thawed.thaw(shard.freeze())
    seconds = time.monotonic() - started
    if seconds > SLOW_SECONDS:
        logger.info("metric loops compiled in %.0f s", seconds)
    return seconds
