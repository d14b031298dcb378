"""The vocabulary of published numbers: what a metric is, and which cells it has under a config.

A *metric* is one definition (`sessions.closed`); a *cell* is one number of it (`sessions.closed.5m{platform=ios}`).
Counted cells are additive over shards. Derived cells are computed from published ones after the sum, and are absent
(never 0, NaN or Inf) where their denominator is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


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
