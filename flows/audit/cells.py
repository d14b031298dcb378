"""What all families share: breakdowns, ratios, quantiles, and the names of windows and buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

from flows.audit.records import Event
from flows.config.model import Config, format_duration

Cells = dict[str, int | float]
BOUNDS_SECONDS = (0, 5, 10, 30, 60, 180, 600, 1800, 3600, 14400)
QUANTILES = {"p50": Fraction(50, 100), "p90": Fraction(90, 100)}
Item = TypeVar("Item")


def windows(config: Config) -> list[tuple[str, int]]:
    """Name and length of every window of the counts."""
    return [(format_duration(window), window) for window in config.windows]


def ratio_windows(config: Config) -> list[str]:
    """Names of the windows of derived cells."""
    return [format_duration(window) for window in config.ratio_windows]


def long_windows(config: Config) -> list[tuple[str, int]]:
    """Name and length of every window of what is slow."""
    return [(format_duration(window), window) for window in config.long_windows]


def by_user(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each user, in the order given."""
    users: dict[str, list[Event]] = {}
    for event in events:
        users.setdefault(event.user, []).append(event)
    return users


def groups(
    items: list[Item], values_of: Callable[[Item], Mapping[str, str]], config: Config, family: str
) -> Iterator[tuple[str, list[Item]]]:
    """All items under the suffix "", then those of each breakdown value under `{dim=value}`, also when none.

    METRICS.md 3: "A breakdown adds `{dim=value}`"; D15: "Breakdowns apply to the families named in `of`".
    """
    yield "", items
    for dimension, breakdown in config.breakdowns.items():
        if family in breakdown.of:
            of_label: dict[str, list[Item]] = {label: [] for label in breakdown.labels()}
            for item in items:
                of_label[values_of(item)[dimension]].append(item)
            for label, chosen in of_label.items():
                yield f"{{{dimension}={label}}}", chosen


def suffixes(config: Config, family: str) -> list[str]:
    """The suffixes of `groups`."""
    return [suffix for suffix, _ in groups(list[Event](), lambda event: event.values, config, family)]


def put_ratio(cells: Cells, name: str, numerator: int, denominator: int) -> None:
    """METRICS.md 3: derived cells "are absent, never 0, NaN or Inf, when the denominator is 0"."""
    if denominator != 0:
        cells[name] = numerator / denominator


def put_one_minus_ratio(cells: Cells, name: str, numerator: int, denominator: int) -> None:
    """1 - numerator / denominator, rounded once; absent when the denominator is 0."""
    if denominator != 0:
        cells[name] = float(1 - Fraction(numerator, denominator))


def cumulative(durations_ms: Iterable[int], bounds: Sequence[int] = BOUNDS_SECONDS) -> list[int]:
    """How many of the durations are at most each of the bounds, seconds."""
    durations = list(durations_ms)
    return [sum(duration <= bound * 1000 for duration in durations) for bound in bounds]


def put_quantile(
    cells: Cells, name: str, quantile: Fraction, buckets: list[int], count: int, bounds: Sequence[int] = BOUNDS_SECONDS
) -> None:
    """METRICS.md 5.2: "linear inside a bucket, the first one from 0 (a first bound of 0 gives 0)"; 3.3: "rank q x
    count", "the largest bound beyond it"; in ms.

    `buckets` are cumulative counts by the bounds (seconds), `count` includes what lies beyond the largest one.
    """
    if count == 0:
        return
    rank = quantile * count
    cells[name] = float(bounds[-1] * 1000)
    lower, before = 0, 0
    for bound, reached in zip(bounds, buckets, strict=True):
        if reached >= rank:
            cells[name] = float(1000 * (lower + (bound - lower) * (rank - before) / (reached - before)))
            return
        lower, before = bound, reached
