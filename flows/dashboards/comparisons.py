"""A number against last week, and against itself by breakdown: two ways of looking at any metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.dashboards.panels import Query, Sized, course, now
from flows.dashboards.queries import A_WEEK, Numbers, change


def compared(
    numbers: Numbers,
    metric: str,
    title: str,
    description: str,
    *,
    where: Mapping[str, str] | None = None,
    width: int = 4,
    height: int = 4,
) -> Sized:
    """A number of now and how it compares with the same time last week."""
    query = numbers.ask(metric, where=where)
    before = numbers.ask(metric, where=where, offset=A_WEEK)
    return now(
        title, description, numbers.unit(metric), query, change=change(query, before), width=width, height=height
    )


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
            width=width,
        )
