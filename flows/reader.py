"""For services: a product's live numbers from Redis, typed, with their age. Needs nothing of Tidegauge but this file.

    numbers = LiveNumbers(os.environ["REDIS_URL"], "shop")
    now = numbers.read()
    if now.state == "live":
        print(now.count("active_users.5m"), now.ratio("bounce_rate.1h"))

Every `read` is of one publish: numbers of two moments are never mixed. The age of a publish is taken from the time that
the hash has left to live, which one clock measures, that of Redis; so the clocks of reader and writer may differ.

Copy the file into your service or import it. The contract it keeps to is schemas/redis.v1.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final, Literal, cast

import redis

LIVE_MS: Final = 600_000
"""The live hash goes away so long after its last publish."""

STALE_AFTER_SECONDS: Final = 10.0
"""A publish every half second is usual; twenty missed ones mean that something is wrong."""

BEHIND_AFTER_SECONDS: Final = 60.0

State = Literal["live", "behind", "stale", "absent"]
"""absent: nothing is published, or no event has been seen yet. stale: nothing new has come for a while. behind: what
comes is of an earlier time, since the job catches up. live: what it says holds now."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one publish said, as read at one moment."""

    product: str
    fields: Mapping[str, str]
    """All fields that were asked for, as Redis has them."""
    age_seconds: float | None
    """How long ago they were published; None: nothing is published."""
    stale_after_seconds: float = STALE_AFTER_SECONDS

    @property
    def state(self) -> State:
        """Whether the numbers can be believed to be those of now."""
        if self.age_seconds is None:
            return "absent"
        if self.age_seconds > self.stale_after_seconds:
            return "stale"
        behind = self.behind_seconds
        if behind is None:
            return "absent"
        return "behind" if behind > BEHIND_AFTER_SECONDS else "live"

    def count(self, cell: str) -> int:
        """A counted number: users, sessions, money in minor units. 0 means none.

        Raises KeyError, with names that are near, for a cell that this product does not publish, and ValueError for
        one that is no whole number.
        """
        try:
            return int(self.fields[cell])
        except KeyError:
            near = get_close_matches(cell, self.fields, 3)
            hint = f"; there are {', '.join(near)}" if near else ""
            raise KeyError(f"{self.product} publishes no {cell}{hint}") from None

    def ratio(self, cell: str) -> float | None:
        """A derived number; None where it is undefined (no session has closed, so there is no bounce rate)."""
        text = self.fields.get(cell)
        return None if text is None else float(text)

    @property
    def as_of(self) -> datetime | None:
        """The stream clock: counts and active users stand here. None before the first event."""
        return self._time("_as_of")

    @property
    def watermark(self) -> datetime | None:
        """Sessions, funnels, lifecycle and subscriptions stand here. None before the first event."""
        return self._time("_watermark")

    @property
    def published_at(self) -> datetime | None:
        """When they were published, by the writer's clock."""
        return self._time("_published_at")

    @property
    def behind_seconds(self) -> float | None:
        """How far the stream clock lay behind the clock of the writer when it published; None: not known."""
        as_of, published_at = self.as_of, self.published_at
        return None if as_of is None or published_at is None else (published_at - as_of).total_seconds()

    def _time(self, field: str) -> datetime | None:
        text = self.fields.get(field)
        return None if text is None else datetime.fromtimestamp(int(text) / 1000, UTC)


TIMES: Final = ("_as_of", "_watermark", "_published_at")


class LiveNumbers:
    """Reads one product's numbers; every verb raises redis.RedisError when Redis does not answer.

    `url` is as redis-py takes it. With `stale_after_seconds` a reader says what is too old for it.
    """

    def __init__(self, url: str, product: str, *, stale_after_seconds: float = STALE_AFTER_SECONDS) -> None:
        self.product = product
        self._stale_after_seconds = stale_after_seconds
        self._redis: redis.Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=5.0, socket_connect_timeout=5.0
        )
        self._key = f"tidegauge:v1:{{{product}}}"

    def read(self, *cells: str) -> Numbers:
        """All numbers of the newest publish or, with `cells`, just those and the times."""
        live = f"{self._key}:live"
        with self._redis.pipeline(transaction=True) as both:
            if cells:
                both.hmget(live, [*cells, *TIMES])
            else:
                both.hgetall(live)
            both.pttl(live)
            found, left_ms = cast(tuple[Any, int], tuple(both.execute()))
        if cells:
            found = {name: text for name, text in zip([*cells, *TIMES], found, strict=True) if text is not None}
        return Numbers(self.product, found, self._age_seconds(found, left_ms), self._stale_after_seconds)

    @staticmethod
    def _age_seconds(found: Mapping[str, str], left_ms: int) -> float | None:
        if left_ms >= 0:
            return (LIVE_MS - left_ms) / 1000
        # A hash that never goes away was not left so by a publish (a copy, say): then the clocks have to do.
        at = found.get("_published_at")
        return None if at is None else max(0.0, time.time() - int(at) / 1000)

    def changes(self, *cells: str, at_least_every_seconds: float = STALE_AFTER_SECONDS) -> Iterator[Numbers]:
        """The numbers of now, and then again after each publish, without end.

        Publishes that come while the last numbers are being used are skipped, never queued: what is given is the
        newest. When none comes for `at_least_every_seconds` the numbers are read all the same, so that a reader
        learns from their `state` that they have grown old.
        """
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(f"{self._key}:changes")
            yield self.read(*cells)
            while True:
                waited_from = time.monotonic()
                while (left := waited_from + at_least_every_seconds - time.monotonic()) > 0:
                    if channel.get_message(timeout=left) is not None:
                        break
                while channel.get_message(timeout=0) is not None:
                    pass
                yield self.read(*cells)

    def minute(self, start: datetime) -> dict[str, int] | None:
        """The final numbers of the closed minute that began at `start`.

        None: it has not closed, is older than the history, or had no event in it. Raises ValueError for a time without
        an offset.
        """
        if start.tzinfo is None:
            raise ValueError("a time needs its offset, such as datetime(..., tzinfo=UTC)")
        key = f"{self._key}:minute:{start.astimezone(UTC):%Y-%m-%dT%H:%M}Z"
        found = cast(dict[str, str], self._redis.hgetall(key))
        return {name: int(text) for name, text in found.items()} or None

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def __enter__(self) -> LiveNumbers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
