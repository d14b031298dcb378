"""The fields of a product's live hash as read at a moment: how old they are, and all of it in one line.

The line is read off the fields themselves (METRICS.md 4): which windows and funnels there are. So it needs no config.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from flows.terminal.figures import NOTHING, age, shown

STALE_AFTER_MS = 5_000
"""A publish every half second is usual; ten missed ones mean that something is wrong."""

UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

State = Literal["live", "stale", "absent"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The fields of one product's live hash as read at a moment; no fields: nothing is published."""

    product: str
    fields: Mapping[str, str]
    read_at_ms: int  # wall clock
    events_per_second: float | None = None  # as seen between two readings
    top: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """By list and window: value -> count. Values are input of strangers, and not made fit for a terminal."""

    @property
    def state(self) -> State:
        """Whether the numbers can be believed to be of now."""
        if not self.fields:
            return "absent"
        age_ms = self._age_ms("_published_at")
        return "stale" if age_ms is None or age_ms > STALE_AFTER_MS else "live"

    def number(self, cell: str) -> float | None:
        """The cell's value; None when it is absent."""
        try:
            return float(self.fields[cell])
        except (KeyError, ValueError):
            return None

    def freshness(self) -> str:
        """One phrase that says how old the numbers are."""
        if self.state == "absent":
            return f"NO DATA: nothing is published for product {self.product}"
        published = self._age_ms("_published_at")
        if self.state == "stale":
            when = "at an unknown time" if published is None else f"{age(published)} ago"
            return f"STALE: last published {when}"
        as_of, behind_ms = self.number("_as_of"), self._age_ms("_as_of")
        if as_of is None or behind_ms is None:
            return "no event yet"
        clock = datetime.fromtimestamp(as_of / 1000, UTC)
        behind = "now" if behind_ms < 1500 else f"{age(behind_ms)} ago"
        return f"as of {clock:%Y-%m-%d %H:%M:%S} UTC ({behind})"

    def _age_ms(self, reserved: str) -> float | None:
        at_ms = self.number(reserved)
        return None if at_ms is None else max(0.0, self.read_at_ms - at_ms)

    def windows(self, metric: str) -> list[str]:
        """The windows for which a metric has cells, shortest first."""
        found = re.compile(re.escape(metric) + r"\.(\d+(?:ms|s|m|h|d))")
        windows = {match[1] for cell in self.fields if (match := found.fullmatch(cell))}
        return sorted(windows, key=_window_ms)

    def summary(self) -> str:
        """What becomes of the records, in one line."""
        parts = [f"{_rate(self)} events/s", f"{_count(self, 'accounting.consumed')} read", _balance(self)]
        named = [f"{_count(self, f'accounting.{name}')} {name}" for name in ("late", "duplicate", "excluded")]
        return ", ".join([*parts, *named, f"{_rejected(self):,} rejected"])

    def funnels(self) -> list[str]:
        """Names of the funnels."""
        return sorted({m[1] for cell in self.fields if (m := re.match(r"funnel\.([a-z0-9_]+)\.01_", cell))})

    def steps(self, funnel: str, window: str) -> list[tuple[str, int]]:
        """(step, attempts that reached it) in order."""
        found = re.compile(rf"funnel\.{funnel}\.(\d\d_[a-z0-9_]+)\.{window}")
        steps = sorted(match[1] for cell in self.fields if (match := found.fullmatch(cell)))
        return [(step, round(self.number(f"funnel.{funnel}.{step}.{window}") or 0)) for step in steps]


def line(reading: Reading) -> str:
    """The reading in one line of plain text, for logs and pipes."""
    if reading.state != "live":
        return reading.freshness()
    parts = [reading.freshness(), f"{_rate(reading)} events/s"]
    for w in _preferred(reading.windows("active_users"), "5m"):
        parts.append(f"active users {w} {_count(reading, f'active_users.{w}')}")
    parts.append(f"open sessions {_count(reading, 'sessions.open')}")
    for w in _preferred(reading.windows("bounce_rate"), "1h"):
        parts.append(f"bounce {w} {_percent(reading, f'bounce_rate.{w}')}")
    if "bounce_rate_provisional" in reading.fields:
        parts.append(f"provisional {_percent(reading, 'bounce_rate_provisional')}")
    for funnel in reading.funnels():
        for w in _preferred(reading.windows(f"funnel.{funnel}.converted"), "1h"):
            steps = " > ".join(f"{reached:,}" for _, reached in reading.steps(funnel, w))
            live = _percent(reading, f"funnel.{funnel}.conversion_live")
            parts.append(f"{funnel} {w} {steps} (converts {live})")
    parts.append(f"alive {_count(reading, 'users.alive')}")
    parts.append(_balance(reading))
    return " | ".join(parts)


# Numbers as text


def _count(reading: Reading, cell: str) -> str:
    return shown("count", reading.number(cell))


def _percent(reading: Reading, cell: str) -> str:
    return shown("share", reading.number(cell))


def _rate(reading: Reading) -> str:
    last_minute = reading.number("events.1m")
    rate = reading.events_per_second
    if rate is None and last_minute is not None:
        rate = last_minute / 60
    return NOTHING if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _rejected(reading: Reading) -> int:
    reasons = (cell for cell in reading.fields if re.fullmatch(r"accounting\.rejected\.[a-z_]+", cell))
    return round(sum(reading.number(cell) or 0 for cell in reasons))


def _balance(reading: Reading) -> str:
    """Whether every consumed record is accounted for."""
    consumed = reading.number("accounting.consumed")
    if consumed is None:
        return "no accounting"
    parts = sum(reading.number(f"accounting.{name}") or 0 for name in ("accepted", "duplicate", "excluded"))
    missing = round(consumed - parts) - _rejected(reading)
    return "all accounted for" if missing == 0 else f"{missing:,} RECORDS UNACCOUNTED FOR"


def _window_ms(window: str) -> int:
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", window)
    return int(match[1]) * UNIT_MS[match[2]] if match else 0


def _preferred(windows: Sequence[str], wanted: str) -> Iterator[str]:
    """The wanted window, else the longest there is, else none."""
    if windows:
        yield wanted if wanted in windows else windows[-1]
