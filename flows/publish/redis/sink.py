"""Writes snapshots to Redis: absolute values, all of one publish at once, and never by two runs.

The flow hands over a snapshot and goes on; a thread of its own always writes the newest one, so an outage
queues nothing: older unsent snapshots are superseded, and only the closed minutes and days of the history are
kept. One script does a whole publish, so readers see all of it or nothing. It opens with the fence:
each run takes a token larger than all before, and a larger stored token means that a newer run has taken
over.

Only what has changed since the last *acknowledged* publish is sent. The script first compares what the hash
holds (run, time of the last publish, number of fields) with what this run believes it wrote, and writes
nothing when they differ. Then everything is sent again and whatever else the hash held is gone. So a lost
reply, a Redis that was emptied, restarted or restored, a failover to a replica that lacked the last writes, and
another run's writes all end in the same right content. At a server found anew everything is sent as well.

Layout and meaning of all keys: schemas/redis.v1.md.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha1
from itertools import islice
from typing import Any, Final, NamedTuple, cast

import msgspec
import redis

from flows.messages.errors import TidegaugeError
from flows.messages.snapshot import DAY_HISTORY_MS, Snapshot
from flows.process.health import Health
from flows.publish.redis import scripts as redis_scripts
from flows.publish.redis.client import RedisRefused, connect, sentence
from flows.publish.redis.layout import LIVE_SECONDS, Keys, Value, format_value, own_fields
from flows.publish.redis.trouble import explain

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000

BACKOFF_SECONDS: Final = (0.1, 0.75)
"""First and longest pause after a failure. The newest numbers are there 2 s after Redis has come back, even when an
attempt that began right before waits for its answer as long as it may (SOCKET_SECONDS)."""

SOCKET_SECONDS: Final = 1.0
"""How long one answer may take, for each begun FIELDS_PER_TIMEOUT of fields."""

FIELDS_PER_TIMEOUT: Final = 50_000
"""The script takes 0.1 s for so many on a busy machine; a whole publish that never fits would never end."""

logger = logging.getLogger(__name__)


class FencedOut(TidegaugeError):  # noqa: N818 - an outcome, not a mistake
    """A newer run publishes this product now; this one must end (exit code 3)."""


class Period(NamedTuple):
    """The numbers of a closed minute or day."""

    until_ms: int  # event time from which on it is older than what is kept
    fields: Mapping[str, int]


Periods = Mapping[str, Period]
"""By their keys, those that go first at the front. Replaced, never changed in place."""

Lists = Mapping[str, Mapping[str, int]]
"""Top lists by their keys: value -> count."""


class RedisPublisher:
    """Keeps one product's keys in Redis equal to the newest snapshot.

    `url` is as `flows.client.reader.Address` has it; `minute_history_ms` is how long, in event
    time, a closed minute is kept; `after_token` is that of the run before, where it is known. The verbs
    belong to the flow's thread; only `start` and `close` may wait.
    """

    def __init__(
        self,
        url: str,
        product: str,
        health: Health,
        *,
        minute_history_ms: int = 48 * 3_600_000,
        after_token: int = 0,
        wall: Callable[[], float] = time.time,
        backoff_seconds: tuple[float, float] = BACKOFF_SECONDS,
        socket_seconds: float = SOCKET_SECONDS,
    ) -> None:
        self.keys = Keys(product)
        self.token = 0  # taken by start()
        self._health = health
        self._minute_history_ms = minute_history_ms
        self._after_token = after_token
        self._wall = wall
        self._socket_seconds = socket_seconds
        self._backoff_seconds = backoff_seconds
        self._primary = connect(url, self.keys.live, socket_seconds)
        self._trouble: str | None = None  # the kind of failure that goes on, said once
        self._thread = threading.Thread(target=self._run, name="redis-publisher", daemon=True)
        # Shared with the thread, under the condition's lock:
        self._changed = threading.Condition()
        self._newest: Snapshot | None = None  # not yet acknowledged
        self._touched: set[str] | None = None  # cells that may differ from those last taken to be written; None: any
        self._periods: Periods = {}
        self._closing = False
        self._abandoned = False
        self._outcome: Exception | None = None
        # The thread's own:
        self._published_at_ms = 0
        self._finds = 0  # of the primary, at the last publish
        self._written: Mapping[str, Value] | None = None  # None: what the hash holds is not known
        self._written_periods: Periods = {}
        self._written_lists: Lists = {}

    def start(self) -> None:
        """Take the fencing token, so that older runs of the product end, and begin to publish.

        Raises `RedisRefused` when Redis refuses this user or its certificate is not trusted. A Redis that
        is away is waited for in the background.
        """
        # Without Redis the token is the time of this start; if Redis comes back with a larger one, a run that
        # started later was faster, and this one is fenced out like any older one. Where the run before is known,
        # the token follows its, for the system clock may have been put back meanwhile.
        now_ms = self.token = max(int(self._wall() * 1000), self._after_token + 1)
        try:
            taken = False
            while not taken:  # each turn lost is another run's start
                stored = cast(str, self._primary.run("GET", self.keys.fence)) or ""
                self.token = max(now_ms, int(stored) + 1 if stored.isdecimal() else 0)
                taken = bool(self._script(redis_scripts.TAKE, [self.keys.fence], [stored, self.token]))
        except (redis.RedisError, OSError) as error:
            trouble = explain(error)
            if trouble.lasting:
                raise RedisRefused(sentence(error, self._primary, self.keys.product)) from None
            self._failed(error)
        self._thread.start()

    def publish(self, snapshot: Snapshot) -> None:
        """Have `snapshot` written as soon as possible, unless a newer one comes first. Returns at once."""
        with self._changed:
            self._newest = snapshot
            if self._touched is not None:
                self._touched = None if snapshot.changed is None else self._touched | snapshot.changed
            self._periods = self._kept_periods(snapshot)
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what has ended publishing, if anything has: `FencedOut`, or a mistake of the program."""
        if self._outcome is not None:
            raise self._outcome

    def close(self, deadline_seconds: float) -> bool:
        """Write what still waits, for so long at most; True when the newest snapshot is in Redis."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(deadline_seconds)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            written = self._newest is None and self._outcome is None
        if not self._thread.is_alive():
            self._primary.close()
        return written

    def _kept_periods(self, snapshot: Snapshot) -> Periods:
        now_ms = snapshot.as_of_ms
        if now_ms is None:
            return self._periods
        closed = dict(self._closed(snapshot))
        if not closed and all(period.until_ms > now_ms for period in islice(self._periods.values(), 1)):
            return self._periods
        merged = sorted({**self._periods, **closed}.items(), key=lambda one: one[1].until_ms)
        return {key: period for key, period in merged if period.until_ms > now_ms}

    def _closed(self, snapshot: Snapshot) -> Iterator[tuple[str, Period]]:
        for start, fields in snapshot.minutes.items():
            yield self.keys.minute(start), Period(start + MINUTE_MS + self._minute_history_ms, fields)
        for date, fields in snapshot.days.items():
            begins_ms = int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 1000
            yield self.keys.day(date), Period(begins_ms + DAY_MS + DAY_HISTORY_MS, fields)

    def _run(self) -> None:
        first_pause, longest_pause = self._backoff_seconds
        pause = first_pause
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._closing)
                    if self._newest is None or self._abandoned:
                        return
                    closing = self._closing
                if self._deliver():
                    pause = first_pause
                else:
                    self._pause(pause * random.uniform(0.5, 1), closing)
                    pause = first_pause if closing else min(2 * pause, longest_pause)
        except Exception as error:  # FencedOut, or a mistake of ours: the flow must hear of it
            self._outcome = error

    def _deliver(self) -> bool:
        """Write the newest snapshot, once; False when that failed, and the then newest one is to be tried."""
        with self._changed:
            snapshot, periods = self._newest, self._periods
            touched, self._touched = self._touched, set()
        assert snapshot is not None
        try:
            self._write(snapshot, periods, touched)
        except (redis.RedisError, OSError) as error:
            self._written = None  # it may have been carried out all the same
            with self._changed:
                self._touched = None
            self._failed(error)
            return False
        with self._changed:
            if self._newest is snapshot:
                self._newest = None
        return True

    def _pause(self, seconds: float, already_closing: bool) -> None:
        """Wait; the call of `close` ends it, for its deadline may be shorter."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or (self._closing and not already_closing), timeout=seconds)

    def _write(self, snapshot: Snapshot, periods: Periods, touched: set[str] | None) -> None:
        began = time.perf_counter()
        own = own_fields(snapshot)
        # Strictly growing, whatever the wall clock does, for it tells one publish from the next.
        self._published_at_ms = max(int(self._wall() * 1000), self._published_at_ms + 1)
        own["_published_at"] = self._published_at_ms
        own["_run"] = self.token
        fields = dict(snapshot.cells) | own
        self._give_time(len(fields))
        if self._finds != self._primary.finds:
            self._written, self._finds = None, self._primary.finds  # what another server holds is not known
        reply = self._send(snapshot, fields, periods, None if touched is None else touched.union(own))
        if reply[0] == "differs":
            logger.warning(
                "The numbers in Redis at %s are not those last written; writing all again.", self._primary.where
            )
            self._written = None
            reply = self._send(snapshot, fields, periods, None)
        if reply[0] == "fenced":
            raise FencedOut(
                f"A newer run publishes product {self.keys.product} to Redis at {self._primary.where}: its fencing "
                f"token is {reply[1]}, this run's is {self.token}. This run ends; keep only one run per "
                f"product, or give them different product names."
            )
        if reply[0] == "overtaken":
            raise FencedOut(
                f"Another run publishes product {self.keys.product} to Redis at {self._primary.where} with this "
                f"run's fencing token {self.token}: both started without Redis in the same millisecond. "
                f"This run ends; keep only one run per product, or give them different product names."
            )
        self._written, self._written_periods, self._written_lists = fields, periods, self._lists(snapshot)
        self._health.published(time.perf_counter() - began)
        self._recovered(channel_refused=reply[1] != "told")

    def _give_time(self, fields: int) -> None:
        """Let answers take as long as so many fields need; how many there are hardly changes in a run."""
        self._primary.give_time(self._socket_seconds * math.ceil(fields / FIELDS_PER_TIMEOUT))

    def _send(
        self, snapshot: Snapshot, fields: Mapping[str, Value], periods: Periods, touched: set[str] | None
    ) -> list[str]:
        """Call the script: with all fields when it is unknown what the hash holds, else with the changes, which are
        looked for in the `touched` fields only (None: in all).
        """
        before = self._written or {}
        looked_at: Iterable[str] = before.keys() | fields.keys()
        if self._written is not None and touched is not None:
            looked_at = touched
        changed: list[str] = []
        vanished: list[str] = []
        for name in looked_at:
            value = fields.get(name)
            if value is None:
                if name in before:
                    vanished.append(name)
            elif before.get(name) != value:
                changed += (name, format_value(value))
        keys, histories = self._changes_of(periods, snapshot.as_of_ms or 0)
        lists = self._lists(snapshot)
        arguments = [
            self.token,
            self._published_at_ms,
            before.get("_published_at", ""),
            len(before),
            LIVE_SECONDS,
            self.keys.changes,
            # One argument instead of thousands: for 5,000 fields the client packs for 0.1 ms, not 5.9.
            *(msgspec.msgpack.encode(value) for value in (changed, vanished, histories, self._list_changes(lists))),
        ]
        keys = [self.keys.fence, self.keys.live, *keys, *lists]
        return cast(list[str], self._script(redis_scripts.PUBLISH, keys, arguments))

    def _lists(self, snapshot: Snapshot) -> Lists:
        return {
            self.keys.top(name, window): counts
            for name, windows in snapshot.top.items()
            for window, counts in windows.items()
        }

    def _list_changes(self, lists: Lists) -> list[tuple[int, list[int | str] | None]]:
        """For each list, how many values it had, and its counts and values where they are not the same."""
        changes: list[tuple[int, list[int | str] | None]] = []
        for key, counts in lists.items():
            before = {} if self._written is None else self._written_lists.get(key, {})
            as_it_was = self._written is not None and before == counts
            pairs = None if as_it_was else [one for value, count in counts.items() for one in (count, value)]
            changes.append((len(before), pairs))
        return changes

    def _changes_of(self, periods: Periods, as_of_ms: int) -> tuple[list[str], list[tuple[int, list[str]]]]:
        """Keys of hashes of minutes and days to write or delete; for each, ms to keep it (0: delete) and its fields."""
        before = self._written_periods
        everything = self._written is None
        keys: list[str] = []
        histories: list[tuple[int, list[str]]] = []
        if periods is before and not everything:
            return keys, histories
        for key, period in periods.items():
            if everything or before.get(key) is not period:
                keys.append(key)
                fields = [text for name, value in period.fields.items() for text in (name, str(value))]
                histories.append((max(1, period.until_ms - as_of_ms), fields))
        for key in before:
            if key not in periods:
                keys.append(key)
                histories.append((0, []))
        return keys, histories

    def _script(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run `script` by its hash; its text is sent only to a Redis that does not know it."""
        try:
            return self._primary.run("EVALSHA", sha1(script.encode()).hexdigest(), len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            return self._primary.run("EVAL", script, len(keys), *keys, *arguments)

    def _failed(self, error: Exception) -> None:
        trouble = explain(error)
        self._health.publish_failed(reachable=trouble.reachable)
        if trouble.kind != self._trouble:
            self._trouble = trouble.kind
            said = sentence(error, self._primary, self.keys.product)
            logger.error("%s Counting goes on; the newest numbers follow.", said)

    def _recovered(self, *, channel_refused: bool) -> None:
        trouble = "channel" if channel_refused else None
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if channel_refused:
            logger.warning(
                "Redis at %s takes the numbers, but does not allow this user to announce them on %s.",
                self._primary.where,
                self.keys.changes,
            )
        else:
            logger.info("Redis at %s takes the numbers again.", self._primary.where)
