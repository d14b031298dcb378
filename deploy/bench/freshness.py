"""How old a number is when it is read, at a steady load; and how long a crash is felt.

A batch of the pacer counts as read at the first look at Redis in which every partition's consumed count covers it and
the product's own count of events has reached all that was due by then. Its age is that moment minus its due time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis

PAUSE_SECONDS = 0.004


@dataclass(frozen=True, slots=True)
class Look:
    """What Redis showed at one moment."""

    at_ms: float
    run: str  # fencing token of the process that published
    events: int  # cell events.1h
    consumed: tuple[int, ...]  # by partition


@dataclass(frozen=True, slots=True)
class Batch:
    """What was due by one moment."""

    due_ms: int
    sent: tuple[int, ...]  # by partition, since the beginning
    late_ms: float = 0.0  # how far the feed was behind its schedule


class Window:
    """Looks at the live hash of a product, and keeps each look that shows something new."""

    def __init__(self, url: str, product: str, partitions: int) -> None:
        self._client: Any = redis.Redis.from_url(url, decode_responses=True)
        self._key = f"tidegauge:v1:{{{product}}}:live"
        consumed = (f"accounting.consumed{{partition={number}}}" for number in range(partitions))
        self._fields = ["_run", "events.1h", *consumed]
        self.looks: list[Look] = []

    def look(self) -> Look | None:
        """The newest numbers; None before the first publish."""
        run, events, *consumed = self._client.hmget(self._key, self._fields)
        if run is None:
            return None
        found = Look(time.time() * 1000, run, int(events or 0), tuple(int(count or 0) for count in consumed))
        if not self.looks or (found.run, found.events, found.consumed) != (
            self.looks[-1].run,
            self.looks[-1].events,
            self.looks[-1].consumed,
        ):
            self.looks.append(found)
        return self.looks[-1]

    def wait(self, seconds: float) -> None:
        """Keep looking for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            time.sleep(PAUSE_SECONDS)


def batches(log: Path) -> list[Batch]:
    """What the pacer has written so far."""
    found = []
    for line in log.read_text().splitlines(keepends=True):
        if line.endswith("\n") and not line.startswith("end"):
            counts, _, late_ms = line.partition(" late ")
            due_ms, *sent = map(int, counts.split())
            found.append(Batch(due_ms, tuple(sent), float(late_ms or 0)))
    return found


def with_records(due: Sequence[Batch]) -> list[Batch]:
    """Those of consecutive batches that brought something; at a small rate most are empty."""
    return [batch for before, batch in pairwise([Batch(0, (0,)), *due]) if sum(batch.sent) > sum(before.sent)]


def lag_growth_ms(due: Sequence[Batch], looks: Sequence[Look], rate: float) -> float:
    """By how much more the numbers lag behind what was sent at the end than at the beginning, in ms of load.

    The medians over the looks of the first and the last third are compared: between two publishes lag rises and falls
    by as much as they are apart. Not a number when there are too few looks.
    """
    lags = []
    position = -1
    for look in looks:
        while position + 1 < len(due) and due[position + 1].due_ms + due[position + 1].late_ms <= look.at_ms:
            position += 1
        if position >= 0:
            lags.append(sum(due[position].sent) - sum(look.consumed))
    third = len(lags) // 3
    if not third:
        return float("nan")
    return (statistics.median(lags[-third:]) - statistics.median(lags[:third])) / rate * 1000


def covers(look: Look, batch: Batch) -> bool:
    """Whether everything due with `batch` was in the numbers."""
    return look.events >= sum(batch.sent) and all(
        seen >= sent for seen, sent in zip(look.consumed, batch.sent, strict=True)
    )


def ages_ms(due: list[Batch], looks: list[Look]) -> list[float]:
    """The age of each batch when it was first seen; infinity for one that never was."""
    ages = []
    position = 0
    for batch in due:
        while position < len(looks) and not covers(looks[position], batch):
            position += 1
        ages.append(looks[position].at_ms - batch.due_ms if position < len(looks) else float("inf"))
    return ages


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)] if ordered else float("nan")
