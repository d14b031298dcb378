"""A recorded stream as Prometheus would have scraped it: the series that rules look at, at regular times of the stream.

The events go through the same intake, shard and totals as in `run`, and the same code makes series of them. What a
process tells of itself is that of one that never lags or fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.measure.shard import Shard
from flows.messages.columns import NO_TIME, TEXTS, Columns
from flows.messages.snapshot import Snapshot
from flows.messages.tick import Tick
from flows.metrics.catalogue import catalogue
from flows.process.health import Health
from flows.process.rejections import Rejections
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.product import product_families
from flows.publish.prometheus.samples import tally_families
from flows.route.deal import deliveries
from flows.source.file import FileSource
from flows.total.totals import Totals

TARGET: Final = 'job="tidegauge",instance="backtest"'
SELECTOR: Final = re.compile(r"\b(tidegauge_\w+)(?:\{([^}]*)\})?")


@dataclass(frozen=True, slots=True)
class Recording:
    """Series with one value for each step, or None; step i is at `begins_ms + i * step_ms`."""

    begins_ms: int
    step_ms: int
    steps: int
    series: dict[str, list[float | None]]


class Selectors:
    """Which series some expressions look at, by the equalities in their selectors."""

    def __init__(self, expressions: Iterable[str]) -> None:
        self._wanted: dict[str, list[list[tuple[str, str]]]] = {}
        for expression in expressions:
            for family, matchers in SELECTOR.findall(expression):
                equal = re.findall(r'(\w+)="([^"]*)"', matchers)
                self._wanted.setdefault(family, []).append(equal)

    def __call__(self, series: str) -> bool:
        """Whether one of them may select `series`."""
        family, _, inside = series.partition("{")
        labels = dict(re.findall(r'(\w+)="([^"]*)"', inside))
        return any(
            all(labels.get(label, "") == value for label, value in equal) for equal in self._wanted.get(family, ())
        )


def record(
    source: FileSource,
    config: Config,
    limits: Limits,
    wanted: Selectors,
    step_ms: int,
    rejections: Rejections,
    as_of_ms: int | None = None,
) -> Recording | None:
    """The wanted series of the events of `source`, up to the last one or to `as_of_ms`; None: it has no event.

    `rejections` takes what could not be used. Raises SourceError when the file cannot be read on.
    """
    scraper = Scraper(config, limits, wanted, step_ms)
    intake = Intake(config, limits)
    for raw in source.polls():
        poll, rejected = intake.read(raw)
        rejections.take(poll, rejected)
        scraper.read(poll)
    return scraper.finish(as_of_ms)


class Scraper:
    """Cuts the stream at each step's time, and takes down what would be shown then."""

    def __init__(self, config: Config, limits: Limits, wanted: Selectors, step_ms: int) -> None:
        config = config.model_copy(update={"shards": 1})  # their number changes no number
        self._config = config
        self._shard = Shard(config, limits)
        self._totals = Totals(config)
        self._step_ms = step_ms
        self._clock_ms = NO_TIME
        self._begins_ms: int | None = None
        self._steps = 0
        self._health = Health(
            redis_configured=True, wall=lambda: 0.0 if self._begins_ms is None else self._next_ms / 1000
        )
        self._health.caught_up()
        self._health.lags("events", 0, 0)
        self._product = [
            (cell, scale, _aimed(series), [])
            for family in product_families(catalogue(config), config.product)
            for cell, scale, series in family.series
            if wanted(series)
        ]  # type: list[tuple[str, float, str, list[float | None]]]
        self._wanted = wanted
        self._own: dict[str, list[float | None]] = {}

    def read(self, poll: Columns) -> None:
        """Take all of a poll, stopping at each step's time that lies in it."""
        if len(poll.rows) and self._begins_ms is None:
            first_ms = int(poll.rows["clock"][0])
            self._begins_ms = first_ms // self._step_ms * self._step_ms
        rest = poll
        while self._begins_ms is not None and len(rest.rows):
            clocks = np.maximum(np.maximum.accumulate(rest.rows["clock"]), self._clock_ms)
            cut = int(np.searchsorted(clocks, self._next_ms))
            if cut == len(clocks):
                break
            before, rest = _cut(rest, cut)
            self._feed(before)
            self._scrape()
        self._feed(rest)

    def finish(self, as_of_ms: int | None) -> Recording | None:
        """Everything, up to the first step that is not before the end."""
        if self._begins_ms is None:
            return None
        end_ms = max(self._clock_ms, as_of_ms or 0)
        while self._next_ms < end_ms + self._step_ms:
            self._scrape()
        series = {name: values for _, _, name, values in self._product} | self._own
        return Recording(self._begins_ms, self._step_ms, self._steps, series)

    @property
    def _next_ms(self) -> int:
        assert self._begins_ms is not None
        return self._begins_ms + self._steps * self._step_ms

    def _feed(self, poll: Columns) -> None:
        self._clock_ms = max(self._clock_ms, poll.clock_ms)
        (delivery,) = deliveries(poll, 1)
        self._shard.receive(delivery)

    def _scrape(self) -> None:
        now_ms = self._next_ms
        self._health.published(0.0)
        self._health.checkpointed(0.0)
        snapshot = self._totals.add(self._shard.tick(Tick(self._steps + 1, None, as_of_ms=now_ms)))
        assert snapshot is not None
        for cell, scale, _, values in self._product:
            value = snapshot.cells.get(cell)
            values.append(None if value is None else value if scale == 1 else value / (1 / scale))
        for name, value in self._process(snapshot):
            self._own.setdefault(name, [None] * self._steps).append(value)
        self._steps += 1

    def _process(self, snapshot: Snapshot) -> Iterator[tuple[str, float]]:
        """What the process tells of itself; times count from the recording's beginning, as Prometheus's clock will."""
        assert self._begins_ms is not None
        for family in (
            *tally_families(self._totals.catalogue.tallies, snapshot, None),
            *health_families(snapshot, None, self._health.read(), self._config.product),
        ):
            for sample in family.samples:
                inside = ",".join(f'{label}="{value}"' for label, value in sample.labels.items())
                if self._wanted(f"{sample.name}{{{inside}}}"):
                    shift = self._begins_ms / 1000 if sample.name.endswith("timestamp_seconds") else 0
                    yield _aimed(f"{sample.name}{{{inside}}}"), sample.value - shift


def _aimed(series: str) -> str:
    """A series with the labels of its target."""
    name, _, inside = series.partition("{")
    return f"{name}{{{TARGET}{',' if inside != '}' else ''}{inside}"


def _cut(poll: Columns, rows: int) -> tuple[Columns, Columns]:
    """The poll split after `rows` rows. Counts go with the first part, texts with both."""
    head, tail = poll.rows[:rows], poll.rows[rows:]
    first = tail["offset"][0]
    texts = {kind: facts for kind, facts in poll.facts.items() if kind == TEXTS}
    of_rows = {kind: facts for kind, facts in poll.facts.items() if kind != TEXTS}
    return (
        replace(
            poll,
            rows=head,
            clock_ms=int(head["clock"].max()) if len(head) else NO_TIME,
            consumed=poll.consumed - len(tail),
            facts=texts | {kind: facts[facts["offset"] < first] for kind, facts in of_rows.items()},
        ),
        replace(
            poll,
            rows=tail,
            clock_ms=int(tail["clock"].max()),
            consumed=len(tail),
            rejected=np.zeros_like(poll.rejected),
            excluded=np.zeros_like(poll.excluded),
            facts=texts | {kind: facts[facts["offset"] >= first] for kind, facts in of_rows.items()},
        ),
    )
