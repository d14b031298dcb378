"""The metric tree: published numbers in the order in which they drive each other, and how far each is to its target
(METRICS.md 5.13).

A node stands for one cell, whichever. Its numbers are `tree.<node>.`

    value        the cell's
    target       the config's
    attainment   value / target, and target / value where lower is better
    progress     (value - from) / (target - from), so below 0 for one that has gone the other way
    on_track     1 when progress is at least the share of the time from `since` to the end of `by` that has passed at T

Both days are local ones: the way starts at the midnight with which `since` begins, and ends at the midnight with which
`by` ends. Before it the share is 0 and after it 1: a target that was reached by its day, and is lost later, is missed.
All five are absent where the cell has no value, and where the config does not say what they need.

The tree is no family: shards count nothing for it, and it remembers nothing, so it has no state that a change of the
config could take. Its numbers are derived from others once these are computed, as those of formulas are. What is new
in them is only that they may be derived from derived numbers, and from T, which is published as `_as_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.config.tree import Node, level_text
from flows.metrics.alerts import Amount, AnyShape, OffTrack, Series
from flows.metrics.cells import AS_OF, Derived, Metric
from flows.metrics.charts import ChartRow, Target
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings

PANEL: Final = "Metric tree"

VALUE = Metric("tree.<node>.value", "What the node <node> of the metric tree is now.", "any", PANEL, "tree_value")
TARGET = Metric("tree.<node>.target", "What the node <node> is to reach.", "any", PANEL, "tree_target")
ATTAINMENT = Metric(
    "tree.<node>.attainment",
    "Value of the node <node> over its target, or target over value where lower is better.",
    "ratio",
    PANEL,
    "tree_attainment_ratio",
)
PROGRESS = Metric(
    "tree.<node>.progress",
    "How much of the way from its start to its target the node <node> has gone.",
    "ratio",
    PANEL,
    "tree_progress_ratio",
)
ON_TRACK = Metric(
    "tree.<node>.on_track",
    "1 when the node <node> has gone at least as much of its way as of its time, else 0.",
    "0 or 1",
    PANEL,
    "tree_on_track",
)
HEADINGS: Final = Headings(None, None, why="A node stands where the number does that it is of.")
BASE_UNITS: Final = {("ms", 0.001): "seconds"}
"""Of numbers that Prometheus has in another unit than Redis, besides money."""


def cells_of(config: Config, published: Mapping[str, Metric]) -> list[Derived]:
    """The numbers of the tree, each after those that it is derived from; `published`: the metric of every other cell.

    A node whose cell is not published has none.
    """
    zone = ZoneInfo(config.time_zone)
    return [
        cell
        for name, node in by_level(config)
        if node.metric in published
        for cell in _cells(name, node, published[node.metric], zone)
    ]


def by_level(config: Config) -> list[tuple[str, Node]]:
    """The nodes from the focus down, those of a level as the file has them."""
    return sorted(config.tree.items(), key=lambda item: item[1].level)


def labels_of(name: str, node: Node) -> dict[str, str]:
    """Those of all series of a node."""
    return {"node": name, "class": node.class_, "level": level_text(node.level)}


def _cells(name: str, node: Node, of: Metric, zone: ZoneInfo) -> Iterator[Derived]:
    labels = labels_of(name, node)
    in_unit = {**labels, "unit": of.currency or BASE_UNITS.get((of.unit, of.scale), of.unit)}
    value, target, progress = (f"tree.{name}.{number}" for number in ("value", "target", "progress"))

    def as_it_is(metric: Metric) -> Metric:
        return replace(metric, unit=of.unit, scale=of.scale, currency=of.currency)

    yield Derived(value, as_it_is(VALUE), [node.metric], _same, in_unit)
    if node.target is None:
        return
    yield Derived(target, as_it_is(TARGET), [value], _constant(node.target), in_unit)
    share = [value, target] if node.better == "higher" else [target, value]
    yield Derived(f"tree.{name}.attainment", ATTAINMENT, share, ratio, labels)
    if node.from_ is None:
        return
    yield Derived(progress, PROGRESS, [value, target], _progress(node.from_), labels)
    if node.since is not None and node.by is not None:
        way = _on_track(node.since, node.by, zone)
        yield Derived(f"tree.{name}.on_track", ON_TRACK, [progress, AS_OF], way, labels)


def _same(value: float) -> float:
    """The number itself."""
    return value


def _constant(target: float) -> Callable[..., float]:
    def constant(value: float) -> float:
        """As the config has it."""
        return target

    return constant


def _progress(start: float) -> Callable[..., float | None]:
    def progress(value: float, target: float) -> float | None:
        return ratio(value - start, target - start)

    progress.__doc__ = f"(value - {start:g}) / (target - {start:g})."
    return progress


def _on_track(since: date, by: date, zone: ZoneInfo) -> Callable[..., float]:
    begins_ms, ends_ms = midnight_ms(since, zone), midnight_ms(by + timedelta(days=1), zone)

    def on_track(progress: float, as_of: float) -> float:
        passed = (as_of - begins_ms) / (ends_ms - begins_ms)
        return int(progress >= min(max(passed, 0.0), 1.0))

    on_track.__doc__ = (
        f"1 when progress >= the share of the time from {since} to the end of {by} that has passed, else 0."
    )
    return on_track


def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """When a local day begins, ms UTC."""
    return round(1000 * datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def targets_of(config: Config, cells: Sequence[Derived]) -> Iterator[str]:
    """Each target in words, in the unit that Prometheus has: `revenue: mrr to 120,000 EUR`."""
    for cell in cells:
        if cell.metric.name == TARGET.name:
            node = config.tree[cell.labels["node"]]
            assert node.target is not None
            until = f" by {node.by}" if node.by else ""
            amount = node.target / (1 / cell.metric.scale)  # as in Prometheus: 1999 / 100.0 is 19.99
            yield f"{cell.labels['node']}: {node.metric} to {amount:,.15g} {cell.labels['unit']}{until}"


def charts_of(config: Config, cells: Sequence[Derived], counted: Container[str]) -> list[ChartRow]:
    """The nodes, from the focus down; `cells`: the tree's; `counted`: names of all that are computed from none."""
    labels = {cell.labels["node"]: cell.labels for cell in cells if cell.metric.name == VALUE.name}
    nodes = [
        _chart(name, node, labels[name], whole=node.metric in counted)
        for name, node in by_level(config)
        if name in labels
    ]
    return [ChartRow(PANEL, nodes, page="tree")] if nodes else []


def _chart(name: str, node: Node, where: Mapping[str, str], *, whole: bool) -> Target:
    drives = f", which drives {node.drives}" if node.drives else ""
    asked = f" Owner: {node.owner}." if node.owner else ""
    until = f" To be reached by {node.by}." if node.by else ""
    return Target(
        name,
        f"{node.metric}{drives}.{asked}{until}",
        node.level,
        where,
        node.metric,
        whole,
        drives=node.drives or "",
        owner=node.owner or "",
        by=str(node.by or ""),
        good="up" if node.better == "higher" else "down",
    )


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """TargetMissed, of the nodes that ask for it."""
    limits = thresholds.targets
    watched = [(name, node) for name, node in by_level(config) if node.alert]
    if limits is None or not watched:
        return

    def amounts(number: str, about: str, metric: Metric) -> list[Amount]:
        return [
            Amount(
                number,
                about.format(node=name),
                Series(metric.prometheus or "", labels_of(name, node)),
                labels={"node": name},
            )
            for name, node in watched
        ]

    yield OffTrack(
        name="target",
        alert="TargetMissed",
        about="Nodes of the metric tree that have gone less of the way to their target than of the time for it.",
        on_track=amounts("on_track", "1 while {node} is on track.", ON_TRACK),
        progress=amounts("progress", "How much of its way {node} has gone.", PROGRESS),
        lasting_ms=limits.lasting,
        summary="{{ $labels.node }} of {{ $labels.product }} is not on track to its target",
        description="{{ $labels.node }} has gone less of the way to its target than of the time for it.",
        severity=limits.severity,
        dashboard="tree",
    )
