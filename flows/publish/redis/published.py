"""Reads a whole publish back from Redis: the live hash and the top lists as of one moment, and the minutes and days
closed by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

import redis

from flows.audit.published import Published, Top
from flows.config.model import Config
from flows.messages.snapshot import DAY_HISTORY_MS
from flows.metrics.local_days import DAY_MS, LocalDays
from flows.publish.redis.layout import Keys
from flows.publish.redis.primary import Primary

MINUTE_MS: Final = 60_000
LIST: Final = re.compile(r"top\.([a-z0-9_]+)\.other\.([0-9a-z]+)")
"""The field of what a top list does not show tells that there is one."""
TRIES: Final = 100
"""A publish comes every 250 ms, and reading takes a few."""


def live_hash(primary: Primary, product: str) -> dict[str, str]:
    """All fields of one publish; none where nothing is published. Raises redis.RedisError."""
    return cast(dict[str, str], primary.run("HGETALL", Keys(product).live))


def with_lists(primary: Primary, product: str) -> tuple[dict[str, str], Top]:
    """The live hash and the top lists of the same publish. Raises redis.RedisError."""
    keys = Keys(product)
    for _ in range(TRIES):
        fields = live_hash(primary, product)
        top: dict[str, dict[str, dict[str, int]]] = {}
        for match in filter(None, map(LIST.fullmatch, fields)):
            name, window = match.groups()
            found = cast(list[Any], primary.run("ZRANGE", keys.top(name, window), 0, -1, "WITHSCORES"))
            top.setdefault(name, {})[window] = _counts(found)
        published = primary.run("HGET", keys.live, "_published_at") if top else None
        if not top or published == fields["_published_at"]:
            return fields, top
    raise redis.TimeoutError("the numbers change faster than they can be read")


def _counts(found: list[Any]) -> dict[str, int]:
    """Counts by value, from pairs or, as an older protocol answers, from values and scores in turn."""
    pairs = found if found and isinstance(found[0], list | tuple) else zip(found[::2], found[1::2], strict=True)
    return {str(value): int(float(score)) for value, score in pairs}


def with_history(primary: Primary, fields: Mapping[str, str], top: Top, config: Config) -> Published:
    """The publish of these fields and lists with its minutes and days, which are final and so may be read later.

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
    return Published(fields, minutes, int(now or 0) - config.minute_history, top, days)
