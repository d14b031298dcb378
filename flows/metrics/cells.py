"""The vocabulary of published numbers: what a metric is, and which cells it has under a config.

A *metric* is one definition (`sessions.closed`); a *cell* is one number of it (`sessions.closed.5m{platform=ios}`).
Counted cells are additive over shards. Derived cells are computed from others after the sum, and are absent (never 0,
NaN or Inf) where their denominator is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, TypeAlias

from flows.config.notation import format_duration

Window: TypeAlias = int | str | None
"""The time that a cell covers: a trailing window in ms; `total`, since the beginning; or None, now."""

SINCE_START: Window = "total"
AS_OF: Final = "_as_of"
"""Among the inputs of a derived number: the stream clock T in ms, under the name that it is published by."""

NEAR: Final = 5
"""So many names are offered in place of one that is unknown."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One definition of the catalogue; docs, Redis fields, Prometheus families and panels come from it."""

    name: str  # its cells' name without window and labels: "sessions.closed"
    help: str  # one sentence
    unit: str  # "users", "sessions", "ms", "ratio", ...
    panel: str  # the dashboard row it belongs to
    prometheus: str | None = None  # gauge family, without the tidegauge_ prefix; None: Redis only
    scale: float = 1.0  # multiplies the cell's value on its way to Prometheus (ms to seconds: 0.001)
    currency: str = ""  # of an amount of money, which Prometheus has in major units: ISO 4217
    always_zero: bool = False  # anything else is a defect of Tidegauge, and alerts


@dataclass(frozen=True, slots=True)
class Cell:
    """One additive integer of a family's vector, in the vector's order."""

    name: str
    metric: Metric | None  # None: an ingredient of derived cells or tallies, not published
    labels: Mapping[str, str] = field(default_factory=dict)  # Prometheus labels
    stem: str = ""  # its name without window and group
    window: Window = None
    group: Mapping[str, str] = field(default_factory=dict)  # a breakdown and its value; empty: everybody


@dataclass(frozen=True, slots=True)
class Derived:
    """One number computed from others: `formula(*values of inputs)`, None where it is undefined.

    Inputs are counted cells, or derived ones that stand before it in the catalogue, or AS_OF. Where a derived one is
    absent, so is this.
    """

    name: str
    metric: Metric
    inputs: Sequence[str]
    formula: Callable[..., float | None]
    labels: Mapping[str, str] = field(default_factory=dict)
    group: Mapping[str, str] = field(default_factory=dict)  # as of a Cell


@dataclass(frozen=True, slots=True)
class Tally:
    """A counter or a histogram of Prometheus. It starts at 0 with its process, where gauges are exact state."""

    prometheus: str  # family, without the tidegauge_ prefix
    help: str
    cells: Sequence[str]  # a counter's one; a histogram's buckets, the one beyond all bounds, and the sum
    labels: Mapping[str, str] = field(default_factory=dict)
    bounds: Sequence[float] = ()  # of a histogram: upper bounds of its buckets, inclusive
    scale: float = 1.0  # multiplies a histogram's sum on its way to Prometheus


def cell_name(stem: str, window: Window = None, group: Mapping[str, str] | None = None) -> str:
    """`sessions.closed`, 300000, {platform: ios} -> `sessions.closed.5m{platform=ios}`."""
    name = stem if window is None else f"{stem}.{window_text(window)}"
    return name + "".join(f"{{{dimension}={value}}}" for dimension, value in (group or {}).items())


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that whoever wrote an unknown `name` may have meant, the likeliest first; a few at most."""
    longer = [one for one in names if one.startswith((f"{name}.", f"{name}{{"))][:NEAR]
    return longer or get_close_matches(name, names, NEAR) or [one for one in names if name and name in one][:NEAR]


def window_text(window: Window) -> str:
    """As cells and labels write it: `5m`, `total`."""
    return format_duration(window) if isinstance(window, int) else str(window)


def window_label(window: Window) -> dict[str, str]:
    """The Prometheus label of a window; none for now."""
    return {} if window is None else {"window": window_text(window)}
