"""The vocabulary of published numbers: what a metric is, and which cells it has under a config.

A *metric* is one definition (`sessions.closed`); a *cell* is one number of it (`sessions.closed.5m{platform=ios}`).
Counted cells are additive over shards. Derived cells are computed from published ones after the sum, and are absent
(never 0, NaN or Inf) where their denominator is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from flows.columns import REASONS
from schemas.event import EXCLUSIONS

ACCOUNTS = (
    "consumed",
    "accepted",
    "on_time",
    "late",
    "duplicate",
    "excluded",
    "clamped",  # accepted, but its timestamp lay ahead and was replaced
    *(f"rejected.{reason}" for reason in REASONS),
    *(f"excluded.{kind}" for kind in EXCLUSIONS),
)
"""What becomes of records: consumed = accepted + rejected + duplicate + excluded, accepted = on_time + late."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One definition of the catalogue; docs, Redis fields, Prometheus families and panels come from it."""

    name: str  # its cells' name without window and labels: "sessions.closed"
    help: str  # one sentence
    unit: str  # "users", "sessions", "ms", "ratio", ...
    panel: str  # the dashboard row it belongs to
    prometheus: str | None = None  # gauge family, without the tidegauge_ prefix; None: Redis only
    scale: float = 1.0  # multiplies the cell's value on its way to Prometheus (ms to seconds: 0.001)


@dataclass(frozen=True, slots=True)
class Cell:
    """One additive integer of a family's vector, in the vector's order."""

    name: str
    metric: Metric | None  # None: an ingredient of derived cells, not published
    labels: Mapping[str, str] = field(default_factory=dict)  # Prometheus labels


@dataclass(frozen=True, slots=True)
class Derived:
    """One number computed from counted cells: `formula(*values of inputs)`, None where it is undefined."""

    name: str
    metric: Metric
    inputs: Sequence[str]
    formula: Callable[..., float | None]
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one tick publishes: consistent, because all shards reported at the same cut and time."""

    number: int
    as_of_ms: int | None  # the stream clock T; None before the first event
    watermark_ms: int | None
    cells: Mapping[str, int | float]  # counted and derived, by cell name; finite
    minutes: Mapping[int, Mapping[str, int]]  # minutes closed since the last tick: epoch ms -> field -> value
    accounting: Mapping[int, Mapping[str, int]]  # partition -> one of ACCOUNTS -> records since the beginning
    session_seconds: Sequence[int]  # closed sessions by duration bucket since the beginning, non-cumulative
    session_seconds_sum_ms: int
    final: bool = False
    offsets: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """By partition that something was read from: of the first record that is counted, and behind the last."""
    events: Mapping[str, int] = field(default_factory=dict)  # accepted events by name since the beginning
    changed: Set[str] | None = None  # cells that may differ from those of the snapshot before; None: any
