"""A number against last week, and against itself by breakdown: two ways of looking at any metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.dashboards.panels import COUNT, MOST_LINES, NO_DATA, Query, Sized, course
from flows.dashboards.queries import A_WEEK, Numbers, change, points
from flows.dashboards.tiles import POINTS, Change, Good, now

NOT_BROKEN_DOWN = "nothing by the chosen breakdown"
LEAST_BASE = 100
"""Fewer things than that, counted last week, say nothing of how much more there are now (the live page agrees)."""
WORTH_PERCENT = 0.5
"""A change of less than half a percent, or of a share by half a point, is not worth a colour."""


def compared(
    numbers: Numbers,
    metric: str,
    title: str,
    description: str,
    *,
    good: Good | None = None,
    where: Mapping[str, str] | None = None,
    unit: str = "",
    width: int = 6,
    height: int = 4,
) -> Sized:
    """A number of now and how it compares with the same time last week: a share in points, all else in percent.

    `unit` is that of the metric unless it is given.
    """
    query = numbers.ask(metric, where=where)
    before = numbers.ask(metric, where=where, offset=A_WEEK)
    unit = unit or numbers.unit(metric, where)
    if unit == "percentunit":
        compared_with = Change(points(query, before), POINTS, WORTH_PERCENT, good)
    else:
        least = LEAST_BASE if unit == COUNT else 0
        compared_with = Change(change(query, before, least), "percentunit", WORTH_PERCENT / 100, good)
    absent = "no value" if numbers.may_be_undefined(metric) else NO_DATA
    return now(
        title, description, unit, query, change=compared_with, absent=absent, width=width, height=height
    )  # fmt: skip


def by_breakdown(
    numbers: Numbers, metric: str, title: str, *, where: Mapping[str, str] | None = None, width: int = 8
) -> Iterator[Sized]:
    """The metric split by the chosen breakdown, where the config breaks it down."""
    if numbers.can_split(metric):
        yield course(
            f"{title} by $breakdown",
            f"{numbers.metric(metric).help} By the chosen breakdown.",
            numbers.unit(metric),
            Query(numbers.ask(metric, where=where, split="$breakdown"), "{{$breakdown}}"),
            absent=NOT_BROKEN_DOWN,
            many=any(len(numbers.values([metric], name, {})) > MOST_LINES for name in numbers.config.breakdowns),
            width=width,
        )
