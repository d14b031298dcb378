"""Families of samples, as the library encodes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from flows.messages.snapshot import Snapshot
from flows.metrics.cells import Tally

PREFIX: Final = "tidegauge_"

FamilySamples = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily | InfoMetricFamily


def gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    """A gauge without labels, and without a sample while its value is unknown."""
    family = GaugeMetricFamily(PREFIX + name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def counter(name: str, text: str, value: int | None) -> CounterMetricFamily:
    """The same for a counter."""
    family = CounterMetricFamily(PREFIX + name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def histogram(
    name: str,
    text: str,
    bounds: Sequence[float],
    counts: Sequence[int],
    total: float,
    labels: Mapping[str, str],
) -> HistogramMetricFamily:
    """A histogram from counts per bucket, of which there is one more than bounds."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=list(labels))
    family.add_metric(list(labels.values()), buckets(bounds, counts), sum_value=total)
    return family


def tally_families(
    tallies: Iterable[Tally], snapshot: Snapshot | None, base: Snapshot | None
) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
    """What has been counted between two snapshots; nothing yet without the later one."""
    found: dict[str, CounterMetricFamily | HistogramMetricFamily] = {}
    for tally in tallies:
        family = found.get(tally.prometheus)
        if family is None:
            kind = HistogramMetricFamily if tally.bounds else CounterMetricFamily
            family = found[tally.prometheus] = kind(PREFIX + tally.prometheus, tally.help, labels=list(tally.labels))
        now, then = ([one.tallies.get(cell, 0) if one else 0 for cell in tally.cells] for one in (snapshot, base))
        counts = [a - b for a, b in zip(now, then, strict=True)]
        labels = list(tally.labels.values())
        if isinstance(family, HistogramMetricFamily):
            family.add_metric(labels, buckets(tally.bounds, counts[:-1]), sum_value=counts[-1] / (1 / tally.scale))
        elif snapshot is not None:
            family.add_metric(labels, counts[0])
    yield from found.values()


def buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound; of `counts` there is one more than bounds."""
    ends = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(ends, map(float, accumulate(counts)), strict=True))
