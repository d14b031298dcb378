"""A node of the config's metric tree as one line of the page: now, how far it is, and its course beside the target."""

from __future__ import annotations

from collections.abc import Iterator

from flows.dashboards.comparisons import compared
from flows.dashboards.panels import BLUE, GREEN, RED, Query, Sized, bars, course
from flows.dashboards.queries import Numbers
from flows.dashboards.tiles import state
from flows.metrics.charts import Target

HEIGHT = 5


def target_of(numbers: Numbers, node: Target) -> Iterator[Sized]:
    """Its panels; of a node without a target, what it is and was."""
    title, where = node.node.replace("_", " ").capitalize(), node.where

    def asked(*named: tuple[str, str]) -> list[Query]:
        there = [(f"tree.<node>.{number}", legend) for number, legend in named]
        return [
            Query(numbers.ask(metric, where=where), legend)
            for metric, legend in there
            if numbers.has(metric, {"node": node.node})
        ]

    value = "tree.<node>.value"
    unit = numbers.unit(value, where)
    if node.whole and unit == "short":
        unit = "locale"  # a count has all its digits
    yield compared(
        numbers,
        value,
        f"{title}: {node.metric}",
        node.description,
        good=node.good,
        where=where,
        unit=unit,
        width=5,
        height=HEIGHT,
    )
    for on_track in asked(("on_track", "now")):
        yield state(
            f"{title}: on track",
            "Whether as much of the way to the target has been gone as of the time for it.",
            on_track.expression,
            {1: ("on track", GREEN), 0: ("behind", RED)},
            height=HEIGHT,
        )
    if shares := asked(("attainment", "of the target"), ("progress", "of the way to it")):
        about = "Of the target: the number as a share of it. Of the way to it: from where it began."
        yield bars(f"{title}: reached", about, "percentunit", *shares, largest=1, colors=[BLUE], width=6, height=HEIGHT)
    lines = asked(("value", "value"), ("target", "target"))
    yield course(f"{title} over time", node.description, unit, *lines, width=9, height=HEIGHT)
