"""What all open pages see: the numbers of the newest publish, read once however many pages look.

One thread reads Redis, with the rights of a reader: the fields on the page after each publish, and each closed minute
by its name. While no page is open it reads nothing and holds no connection. Every page gets everything once and then
what has changed; one that is too slow for that gets everything again.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import redis

from flows.client.reader import LiveNumbers, Numbers
from flows.config.model import Config
from flows.messages.snapshot import ACCOUNTS
from flows.metrics.catalogue import Catalogue
from flows.publish.redis.client import connect, sentence
from flows.publish.redis.layout import Keys
from flows.web.cards import Layout
from flows.web.comparisons import Comparable, comparables, compared, parts_of_fields, trace
from flows.web.minutes import DAY, MINUTE_MS, Minutes

MOST_PAGES: Final = 32
LOOK_SECONDS: Final = 1.0
"""Without a publish the age of the numbers is looked at so often."""
PATIENCE_SECONDS: Final = 1.0
"""A failover is waited for by trying again and again, and the page says so meanwhile."""
AGAIN_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 2.0
"""A page that hears nothing for so long is told that the connection lives."""
ACCOUNTING: Final = tuple(f"accounting.{account}" for account in ACCOUNTS)
REMEMBERED: Final = 64  # messages; a page that is further behind gets everything

Top = Mapping[str, list[tuple[str, int]]]
"""Top lists by `<list>.<window>`: values and counts, the largest first."""

logger = logging.getLogger(__name__)


class Hub:
    """The newest numbers and who looks at them, from `start` to `close`.

    What is stale is decided by Redis' own clock (`flows/client/reader.py`). Raises RedisRefused for an address that
    cannot be used.
    """

    def __init__(self, url: str, config: Config, listed: Catalogue, layout: Layout) -> None:
        self._url = url
        self._config = config
        self._layout = layout
        self._primary = connect(url, Keys(config.product).live, PATIENCE_SECONDS)  # to say what errors mean
        self._since = {name: f"_since.{part}" for name, part in parts_of_fields(config).items()}  # of a field
        self._cells = [*layout.cells, *ACCOUNTING, *set(self._since.values()), "_run"]
        self._lists = layout.lists
        self._unshown = frozenset(["_partial", *self._since.values()])
        self._on_page = frozenset(layout.cells)
        self._comparables = comparables(layout.tiles, listed)
        self._minutes = Minutes(config, listed.minute_fields)
        self._changed = threading.Condition()
        self._closing = False
        self._pages = 0
        self._forget()
        self._thread = threading.Thread(target=self._run, name="live-page", daemon=True)

    def _forget(self) -> None:
        self._fields: dict[str, str] = {}
        self._top: Top = {}
        self._state: dict[str, Any] = {"state": "connecting"}
        self._tiles: list[dict[str, Any]] = []
        self._number = 0
        self._messages: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)

    @property
    def pages(self) -> int:
        """How many look."""
        return self._pages

    def start(self) -> None:
        """Begin to wait for pages."""
        self._thread.start()

    def close(self) -> None:
        """End every page's stream, and the reading."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._primary.close()

    def listen(self) -> Listener | None:
        """What one more page hears; None when as many as there may be look already."""
        with self._changed:
            if self._pages >= MOST_PAGES or self._closing:
                return None
            self._pages += 1
            self._changed.notify_all()
        return Listener(self)

    def course(self, field: str) -> dict[str, Any] | None:
        """A field of today's minutes and of the day before, from midnight; None for an unknown field."""
        with self._changed:
            minutes = self._minutes
            if field not in minutes.fields:
                return None
            today = minutes.midnight
            return {
                "field": field,
                "midnight": today * MINUTE_MS,
                "today": minutes.column(field, today, minutes.end),
                "before": minutes.column(field, today - DAY, today),
            }

    # The thread that reads

    def _run(self) -> None:
        while self._somebody_looks():
            try:
                with LiveNumbers(self._url, self._config.product, patience_seconds=PATIENCE_SECONDS) as numbers:
                    self._read(numbers)
            except (redis.RedisError, OSError) as error:
                self._say({"state": "unreachable", "why": sentence(error, self._primary, self._config.product)})
            except ValueError:
                logger.exception("The live page cannot read what Redis holds of product %s.", self._config.product)
                self._say(
                    {"state": "unreachable", "why": "Redis holds something else than numbers; the log says more."}
                )
            with self._changed:
                self._changed.wait_for(lambda: self._closing, AGAIN_SECONDS if self._pages else 0)

    def _somebody_looks(self) -> bool:
        """Wait until a page is open; False when it is all over."""
        with self._changed:
            if not self._pages:
                self._forget()
            self._changed.wait_for(lambda: self._closing or self._pages > 0)
            return not self._closing

    def _read(self, numbers: LiveNumbers) -> None:
        """Until nobody looks."""
        for now in numbers.changes(*self._cells, top=self._lists, at_least_every_seconds=LOOK_SECONDS):
            if self._closing or not self._pages:
                return
            fields = {name: now.fields[name] for name in now.fields if name not in self._unshown}
            top = {f"{name}.{window}": list(counts.items()) for (name, window), counts in now.top.items()}
            self._say(self._stands(now), fields, top)
            self._read_minutes(numbers, now)

    def _stands(self, now: Numbers) -> dict[str, Any]:
        partial = sorted(now.partial & self._on_page)
        state = {"state": now.state, "age": now.age_seconds, "behind": now.behind_seconds}
        return state | {"partial": partial} if partial else state

    def _read_minutes(self, numbers: LiveNumbers, now: Numbers) -> None:
        """Read those that have closed since, and say how tiles compare."""
        if now.watermark is None or now.as_of is None:
            return
        end, run = int(now.watermark.timestamp()) // 60, now.fields.get("_run", "")
        if self._tiles and (end, run) == (self._minutes.end, self._minutes.run):
            return
        asked = self._minutes.wanted(now.watermark, run)
        found = numbers.minutes(asked)
        with self._changed:
            self._minutes.take(now.watermark, asked, found)
        self._tiles = [self._tile(one, now.fields) for one in self._comparables]
        self._send("minutes", {"end": self._minutes.end * MINUTE_MS, "tiles": self._tiles})

    def _tile(self, one: Comparable | None, fields: Mapping[str, str]) -> dict[str, Any]:
        if one is None:
            return {}
        since_ms = max(int(fields.get(self._since[name], 0)) for name in one.fields)
        known_from = self._minutes.known_from(since_ms, int(fields["_as_of"]))
        over = {window: compared(one, self._minutes, window, known_from) for window in self._layout.windows}
        return {
            "compared": {window: asdict(found) | {"tells": found.tells} for window, found in over.items() if found},
            "trace": trace(one, self._minutes, known_from),
        }

    def _say(self, state: Mapping[str, Any], fields: Mapping[str, str] | None = None, top: Top | None = None) -> None:
        """Tell all pages the state and, with `fields` and `top` lists, those that have changed."""
        with self._changed:
            fields = self._fields if fields is None else fields
            changed = {name: text for name, text in fields.items() if self._fields.get(name) != text}
            gone = [name for name in self._fields if name not in fields]
            top = self._top if top is None else top
            lists = {name: pairs for name, pairs in top.items() if self._top.get(name) != pairs}
            self._fields, self._state, self._top = dict(fields), dict(state), dict(top)
        told = {**state, "set": changed, "gone": gone}
        self._send("numbers", told | {"top": lists} if lists else told)

    def _send(self, event: str, told: Mapping[str, Any]) -> None:
        with self._changed:
            self._number += 1
            self._messages.append((self._number, _message(event, told)))
            self._changed.notify_all()

    # What pages hear

    def _after(self, seen: int) -> tuple[int, bytes]:
        """Everything since message number `seen`, and the number of the last; empty when nothing came for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen or self._closing, BEAT_SECONDS)
            if self._closing or self._number == seen:
                return seen, b""
            news = [message for number, message in self._messages if number > seen]
            if 0 < seen < self._number and len(news) == self._number - seen:
                return self._number, b"".join(news)
            everything = {**self._state, "set": self._fields, "gone": [], "top": self._top, "whole": True}
            tiles = {"end": self._minutes.end * MINUTE_MS, "tiles": self._tiles}
            return self._number, _message("numbers", everything) + (_message("minutes", tiles) if self._tiles else b"")

    def _leave(self) -> None:
        with self._changed:
            self._pages -= 1


class Listener:
    """The stream of one page, as server-sent events, until `close` or the hub's end."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._leave: Callable[[], None] | None = hub._leave

    def __iter__(self) -> Iterator[bytes]:
        yield b"retry: 1000\n\n"
        seen = 0
        while not self._hub._closing:
            seen, news = self._hub._after(seen)
            yield news or b"event: beat\ndata: {}\n\n"

    def close(self) -> None:
        """Look no longer; calling it again does nothing."""
        if self._leave is not None:
            self._leave()
            self._leave = None


def _message(event: str, told: Mapping[str, Any]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(told, separators=(',', ':'))}\n\n".encode()
