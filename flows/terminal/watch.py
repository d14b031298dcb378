"""Keeps the view on the terminal: reads a product's live hash and shows it, as a page or as lines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from flows.publish.redis.client import connect
from flows.publish.redis.layout import Keys
from flows.publish.redis.primary import Primary
from flows.publish.redis.published import with_lists
from flows.terminal.reading import Reading, line
from flows.terminal.view import View

LIVE_KEY = re.compile(r"tidegauge:v1:\{([a-z0-9_]+)\}:live")
KEYS_PER_SCAN = 1000
MOST_SCANS = 200
TIMEOUT_S = 2.0
"""It is said soon when Redis does not answer."""


class Reader:
    """The live hash of one product; `read` raises redis.RedisError when Redis does not answer.

    `RedisRefused` for an address that cannot be used.
    """

    def __init__(self, url: str, product: str) -> None:
        self.product = product
        self.primary = connect(url, Keys(product).live, TIMEOUT_S)
        self._before: tuple[int, int] | None = None  # (_published_at, consumed)
        self._rate: float | None = None

    def read(self) -> Reading:
        """All fields and top lists of one publish, and the rate of events since an earlier reading."""
        found, top = with_lists(self.primary, self.product)
        # Whoever can write to Redis may not write to this terminal: no escapes, no text that runs backwards.
        fields = {name: text for name, text in found.items() if name.isprintable() and text.isprintable()}
        self._note_rate(fields)
        return Reading(self.product, fields, round(time.time() * 1000), self._rate, top)

    def _note_rate(self, fields: dict[str, str]) -> None:
        try:
            now = int(fields["_published_at"]), int(fields["accounting.consumed"])
        except (KeyError, ValueError):
            self._before = self._rate = None
            return
        if self._before is None or now[1] < self._before[1]:
            self._before, self._rate = now, None
        elif now[0] - self._before[0] >= 2_000:  # over two seconds the rate is steady enough to read
            self._rate = (now[1] - self._before[1]) * 1000 / (now[0] - self._before[0])
            self._before = now


def products(url: str) -> list[str]:
    """The products published in a Redis, by their keys; of millions of keys not all are looked at."""
    found = set[str]()
    for run in _every_primary(connect(url, Keys("").live, TIMEOUT_S)):
        cursor = 0
        for _ in range(MOST_SCANS):
            cursor, keys = run("SCAN", cursor, "MATCH", "tidegauge:v1:{*}:live", "COUNT", KEYS_PER_SCAN)
            found |= {match[1] for key in keys if (match := LIVE_KEY.fullmatch(str(key)))}
            if cursor == 0:
                break
    return sorted(found)


def _every_primary(primary: Primary) -> Iterator[Callable[..., Any]]:
    """What runs a command at each server that holds keys: of a cluster there are several."""
    if primary.address.kind != "cluster":
        yield primary.run
        return
    for place in sorted({(str(node[0]), int(node[1])) for _, _, node, *_ in primary.run("CLUSTER SLOTS")}):
        with primary.address.client(
            place, protocol=2, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        ) as one:
            yield one.execute_command


class Screen:
    """Where readings are shown: a page that changes in place on a terminal, else a line every few seconds."""

    def __init__(self, view: View, *, plain: bool = False, line_every_s: float = 2.0) -> None:
        self._view = view
        self.console = Console(highlight=False, soft_wrap=True)
        self.plain = plain or not self.console.is_terminal
        self._every_s = line_every_s
        self._last_line_s = float("-inf")
        self._live: Live | None = None

    def show(self, reading: Reading) -> None:
        """Show the newest reading."""
        if not self.plain:
            self._draw(self._view.page(reading, self.console.width, self.console.height))
        elif time.monotonic() - self._last_line_s >= self._every_s:
            self._last_line_s = time.monotonic()
            self.say(line(reading))

    def wait_for(self, message: str) -> None:
        """Show what is being waited for, in place of numbers."""
        if not self.plain:
            self._draw(Text(message, "yellow"))
        elif time.monotonic() - self._last_line_s >= 5 * self._every_s:
            self._last_line_s = time.monotonic()
            self.say(message)

    def say(self, message: str) -> None:
        """Print a line that stays."""
        self.console.print(message, markup=False)
        self.console.file.flush()

    def _draw(self, content: RenderableType) -> None:
        if self._live is None:
            self._live = Live(console=self.console, refresh_per_second=4)
            self._live.start()
        self._live.update(content)

    def close(self) -> None:
        """Leave the last page standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
