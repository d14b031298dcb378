"""Reads a whole publish back from Redis: the live hash as of one moment, and the minutes and days closed by then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, cast

from flows.audit.published import Published
from flows.config.model import Config
from flows.messages.snapshot import DAY_HISTORY_MS
from flows.metrics.local_days import DAY_MS, LocalDays
from flows.publish.redis.layout import Keys
from flows.publish.redis.primary import Primary

MINUTE_MS: Final = 60_000


def live_hash(primary: Primary, product: str) -> dict[str, str]:
    """All fields of one publish; none where nothing is published. Raises redis.RedisError."""
    return cast(dict[str, str], primary.run("HGETALL", Keys(product).live))


def with_history(primary: Primary, fields: Mapping[str, str], config: Config) -> Published:
    """The publish of these fields with its minutes and days, which are final and so may be read later than the fields.

    Raises redis.RedisError.
    """
    keys, minutes = Keys(config.product), {}
    watermark_ms = int(fields.get("_watermark", 0))
    oldest = (watermark_ms - config.minute_history) // MINUTE_MS * MINUTE_MS
    for start in range(max(oldest, 0), watermark_ms - MINUTE_MS + 1, MINUTE_MS):
        if found := cast(dict[str, str], primary.run("HGETALL", keys.minute(start))):
            minutes[start] = found
    today = LocalDays(config.time_zone).day_of(watermark_ms)
    days = {}
    for age in range(1, DAY_HISTORY_MS // DAY_MS):
        date = (today - timedelta(age)).isoformat()
        if found := cast(dict[str, str], primary.run("HGETALL", keys.day(date))):
            days[date] = found
    # Since then the run may have gone on, and let go of the oldest.
    now = cast(str | None, primary.run("HGET", keys.live, "_as_of"))
    return Published(fields, minutes, int(now or 0) - config.minute_history, days)
