"""Reads a whole publish back from Redis: the live hash as of one moment, and the minutes that were closed by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from flows.audit.published import Published
from flows.config.model import Config
from flows.publish.redis.layout import Keys
from flows.publish.redis.primary import Primary

MINUTE_MS: Final = 60_000


def live_hash(primary: Primary, product: str) -> dict[str, str]:
    """All fields of one publish; none where nothing is published. Raises redis.RedisError."""
    return cast(dict[str, str], primary.run("HGETALL", Keys(product).live))


def with_minutes(primary: Primary, fields: Mapping[str, str], config: Config) -> Published:
    """The publish of these fields with its minutes, which are final and so may be read later than the fields.

    Raises redis.RedisError.
    """
    keys, minutes = Keys(config.product), {}
    watermark_ms = int(fields.get("_watermark", 0))
    oldest = (watermark_ms - config.minute_history) // MINUTE_MS * MINUTE_MS
    for start in range(max(oldest, 0), watermark_ms - MINUTE_MS + 1, MINUTE_MS):
        if found := cast(dict[str, str], primary.run("HGETALL", keys.minute(start))):
            minutes[start] = found
    # Since then the run may have gone on, and let go of the oldest.
    now = cast(str | None, primary.run("HGET", keys.live, "_as_of"))
    return Published(fields, minutes, int(now or 0) - config.minute_history)
