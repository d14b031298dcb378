"""The terminal view of a running product: one page drawn from the fields of its live hash in Redis, or one
line.

Everything is read off the fields themselves (METRICS.md 4): which windows, funnels and platforms there are,
how old the numbers are. So the same code shows the demo and any deployment, and knows neither config nor
Redis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

STALE_AFTER_MS = 5_000
"""A publish every half second is usual; ten missed ones mean that something is wrong."""

UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MOST_COLUMNS = 6  # breakdown values beside the total
NOTHING = "-"

State = Literal["live", "stale", "absent"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The fields of one product's live hash as read at a moment; no fields: nothing is published."""

    product: str
    fields: Mapping[str, str]
    read_at_ms: int  # wall clock
    events_per_second: float | None = None  # as seen between two readings

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
            when = "at an unknown time" if published is None else f"{_age(published)} ago"
            return f"STALE: last published {when}"
        as_of, age = self.number("_as_of"), self._age_ms("_as_of")
        if as_of is None or age is None:
            return "no event yet"
        clock = datetime.fromtimestamp(as_of / 1000, UTC)
        behind = "now" if age < 1500 else f"{_age(age)} ago"
        return f"as of {clock:%Y-%m-%d %H:%M:%S} UTC ({behind})"

    def _age_ms(self, reserved: str) -> float | None:
        at_ms = self.number(reserved)
        return None if at_ms is None else max(0.0, self.read_at_ms - at_ms)

    def windows(self, metric: str) -> list[str]:
        """The windows for which a metric has cells, shortest first."""
        found = re.compile(re.escape(metric) + r"\.(\d+(?:ms|s|m|h|d))")
        windows = {match[1] for cell in self.fields if (match := found.fullmatch(cell))}
        return sorted(windows, key=_window_ms)

    def values(self, cell: str) -> list[str]:
        """The breakdown labels of a cell, such as `platform=ios`, by name; other and unknown last."""
        found = [name[len(cell) + 1 : -1] for name in self.fields if name.startswith(cell + "{")]
        return sorted(found, key=lambda label: (label.endswith(("=other", "=unknown")), label))

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


def page(reading: Reading) -> RenderableType:
    """The reading as a page for a terminal."""
    style = {"live": "green", "stale": "bold white on red", "absent": "bold white on red"}[reading.state]
    header = Text.assemble((f" {reading.product} ", "bold reverse"), "  ", (reading.freshness(), style))
    if reading.state == "absent":
        return header
    funnels = [_funnel(reading, funnel) for funnel in reading.funnels()]
    return Group(
        header,
        Columns([_active_users(reading), _sessions(reading)], padding=(0, 1)),
        *funnels,
        Columns([_lifecycle(reading), _accounting(reading)], padding=(0, 1)),
    )


# Panels


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim", expand=False)


def _active_users(reading: Reading) -> Panel:
    windows = reading.windows("active_users")
    longest = windows[-1] if windows else ""
    labels = reading.values(f"active_users.{longest}")[:MOST_COLUMNS]
    table = _table("", "all", *(label.partition("=")[2] for label in labels))
    for w in windows:
        cell = f"active_users.{w}"
        table.add_row(w, *(_count(reading, cell + suffix) for suffix in ("", *(f"{{{x}}}" for x in labels))))
    if "active_users.day" in reading.fields:
        table.add_row("today", _count(reading, "active_users.day"))
    if "stickiness" in reading.fields:
        table.add_row("stickiness", _percent(reading, "stickiness"))
    return _panel("Active users", table)


def _sessions(reading: Reading) -> Panel:
    windows = reading.windows("bounce_rate") or reading.windows("sessions.closed")[-3:]
    table = _table("", *windows)
    rows = [
        ("started", "sessions.started", _count),
        ("closed", "sessions.closed", _count),
        ("bounced", "sessions.bounced", _count),
        ("bounce rate", "bounce_rate", _percent),
        ("duration, median", "session_duration_p50", _duration),
        ("duration, mean", "session_duration_mean", _duration),
        ("events per session", "events_per_session", _decimal),
    ]
    for title, metric, shown in rows:
        table.add_row(title, *(shown(reading, f"{metric}.{w}") for w in windows))
    now = Text.assemble(
        (" open now ", "dim"),
        _count(reading, "sessions.open"),
        ("   provisional bounce ", "dim"),
        _percent(reading, "bounce_rate_provisional"),
        (f" of {_count(reading, 'sessions.settling')}", "dim"),
    )
    return _panel("Sessions", Group(table, now))


def _funnel(reading: Reading, funnel: str) -> Panel:
    prefix = f"funnel.{funnel}"
    windows = list(_preferred(reading.windows(f"{prefix}.converted"), "1h"))
    table = _table("", "reached", "", "of entered", "drop-off")
    w = windows[0] if windows else ""
    steps = reading.steps(funnel, w)
    entered = steps[0][1] if steps else 0
    for number, (step, reached) in enumerate(steps, 1):
        share = f"{reached / entered:.1%}" if entered else NOTHING
        lost = Text(_percent(reading, f"{prefix}.drop_off_{number:02d}.{w}") if number > 1 else "", "red")
        bar = ProgressBar(total=max(entered, 1), completed=reached, width=24)
        table.add_row(step[3:], f"{reached:,}", bar, share, lost)
    error = reading.number(f"{prefix}.conversion_live_se")
    facts = [
        ("converted", _count(reading, f"{prefix}.converted.{w}")),
        ("in progress", _count(reading, f"{prefix}.in_progress.{w}")),
        ("dropped", _count(reading, f"{prefix}.dropped.{w}")),
        ("conversion", _percent(reading, f"{prefix}.conversion_live") + (f" ± {error:.1%}" if error else "")),
        ("matured", _percent(reading, f"{prefix}.conversion_matured.{w}")),
        ("median time", _duration(reading, f"{prefix}.convert_p50.{w}")),
    ]
    return _panel(f"Funnel {funnel}, entered in the last {w}", Group(table, _facts(facts)))


def _lifecycle(reading: Reading) -> Panel:
    windows = reading.windows("users.new")[-4:]
    table = _table("", *windows)
    for transition in ("new", "resurrected", "churned"):
        table.add_row(transition, *(_count(reading, f"users.{transition}.{w}") for w in windows))
    return _panel("Users", Group(table, _facts([("alive", _count(reading, "users.alive"))])))


def _accounting(reading: Reading) -> Panel:
    def count(name: str) -> tuple[str, str]:
        return name, _count(reading, f"accounting.{name}")

    return _panel(
        "Pipeline",
        Group(
            _facts([("events/s", _rate(reading)), count("consumed"), ("", _balance(reading))]),
            _facts([count("accepted"), count("late")]),
            _facts([count("duplicate"), count("excluded"), ("rejected", f"{_rejected(reading):,}")]),
        ),
    )


def _facts(facts: Sequence[tuple[str, str]]) -> Text:
    text = Text(" ")
    for name, value in facts:
        text.append(f"{name} " if name else "", "dim").append(value).append("   ")
    return text


# Numbers as text


def _count(reading: Reading, cell: str) -> str:
    value = reading.number(cell)
    return NOTHING if value is None else f"{value:,.0f}"


def _percent(reading: Reading, cell: str) -> str:
    value = reading.number(cell)
    return NOTHING if value is None else f"{value:.1%}"


def _decimal(reading: Reading, cell: str) -> str:
    value = reading.number(cell)
    return NOTHING if value is None else f"{value:.2f}"


def _duration(reading: Reading, cell: str) -> str:
    value = reading.number(cell)
    return NOTHING if value is None else _age(value)


def _age(ms: float) -> str:
    """`4.2 s`, `12 min`, `3.5 h`, `2.0 d`."""
    seconds = ms / 1000
    for limit, unit_s, unit, digits in ((120, 1, "s", 1), (7200, 60, "min", 0), (172_800, 3600, "h", 1)):
        if seconds < limit:
            return f"{seconds / unit_s:.{digits}f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def _rate(reading: Reading) -> str:
    if reading.events_per_second is not None:
        return f"{reading.events_per_second:,.0f}"
    last_minute = reading.number("events.1m")
    return NOTHING if last_minute is None else f"{last_minute / 60:,.0f}"


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
