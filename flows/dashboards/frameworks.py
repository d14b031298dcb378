"""The same charts by the headings of AARRR and of HEART, where the config measures something under them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flows.dashboards.drawn import number_of, panels_of
from flows.dashboards.page import Page, Row, freshness
from flows.dashboards.queries import Numbers
from flows.metrics.charts import Chart, Course, Heat, Rate
from flows.metrics.frameworks import FRAMEWORKS

ABOUT = {
    "AARRR": "**Where in the product's life does something change?** From the user who comes to the user who pays.",
    "HEART": "**How well does the product serve its users?** From what they think of it to what they get done.",
}


def frameworks(numbers: Numbers) -> list[Page]:
    """A page for each."""
    return [_page(numbers, framework) for framework in FRAMEWORKS]


def _page(numbers: Numbers, framework: str) -> Page:
    rows = {heading: list(_rows(numbers, framework, heading)) for heading in FRAMEWORKS[framework]}
    empty = [heading for heading, found in rows.items() if not found]
    missing = f" This config draws nothing under *{', '.join(empty)}*." if empty else ""
    return Page(
        f"tidegauge-{framework.lower()}",
        f"Tidegauge: {framework}",
        f"The product's numbers by the headings of {framework}.",
        [freshness(numbers, ABOUT[framework] + missing), *(row for found in rows.values() for row in found)],
    )


def _rows(numbers: Numbers, framework: str, heading: str) -> Iterator[Row]:
    """The tiles under a heading, then what each row of the live page has under it."""

    def fits(chart: Chart) -> bool:
        metric = _subject(chart, numbers)
        return metric in numbers.headings and numbers.headings[metric].under(framework) == heading

    title = heading.capitalize()
    if tiles := [number_of(numbers, one) for one in numbers.headlines if one.metric in numbers and fits(one)]:
        yield Row(title, tiles)
    for row in numbers.rows:
        fitting = replace(row, charts=[chart for chart in row.charts if fits(chart)])
        if row.page == "live" and (panels := [*panels_of(numbers, fitting)]):
            yield Row(f"{title}, {row.title[0].lower()}{row.title[1:]}", panels)


def _subject(chart: Chart, numbers: Numbers) -> str:
    """The metric that a chart is of: that of its first line which is measured; "": it draws a counter."""
    match chart:
        case Course():
            return next((metric for line in chart.lines for metric in line.metrics if metric in numbers), "")
        case Rate() | Heat():
            return ""
        case _:
            return chart.metric
