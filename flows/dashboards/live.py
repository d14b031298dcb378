"""The dashboard of the product itself: what is now, against last week, and where it comes from.

Families say how they are drawn (`flows/metrics/charts.py`). Whatever no chart names gets a plain panel in a closed row
behind that of its metric, so a new family is on the page by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from flows.dashboards.drawn import number_of, panels_of, queries_of
from flows.dashboards.page import Page, Row, freshness
from flows.dashboards.panels import Sized, course
from flows.dashboards.queries import Numbers
from flows.metrics.charts import Line, title_of

UID = "tidegauge-live"
WIDTH = 8  # of a panel that nobody designed
ABOUT = (
    "**What is happening in the product right now.** Start with *Numbers are current*; then the tiles of *Now* and how "
    "they compare with the same time last week, green where the change is good; then the rows for why. Titles name the "
    "window that you choose above. Rows that end in *more* are closed: click to open them."
)


def live(numbers: Numbers) -> Page:
    """The page; every number of the product that Prometheus has is on it."""
    now = [number_of(numbers, number) for number in numbers.headlines if number.metric in numbers]
    drawn = [(row, [*panels_of(numbers, row)]) for row in numbers.rows if row.page == "live"]
    for elsewhere in ("pipeline", "tree"):  # what is drawn there counts as shown
        rows_on(numbers, elsewhere)
    plain: dict[str, list[Sized]] = {}
    for panel, title in _others(numbers):
        plain.setdefault(title, []).append(panel)
    rows = []
    for row, panels in drawn:
        rows.append(Row(row.title, panels, closed=row.closed))
        title = row.part_of or row.title
        if row is [one for one, _ in drawn if (one.part_of or one.title) == title][-1]:
            rows.append(Row(f"{title}: more", plain.pop(title, []), closed=True))
    rows += [Row(title, panels) for title, panels in plain.items()]
    return Page(
        UID,
        "Tidegauge: live product",
        "Who is active, which sessions run and bounce, where funnels leak, who churns, what the revenue is.",
        [freshness(numbers, ABOUT), *(row for row in [Row("Now", now), *rows] if row.panels)],
    )


def rows_on(numbers: Numbers, page: Literal["pipeline", "tree"]) -> list[Row]:
    """The rows of families that are drawn on another page."""
    rows = [Row(row.title, [*panels_of(numbers, row)], closed=row.closed) for row in numbers.rows if row.page == page]
    return [row for row in rows if row.panels]


def _others(numbers: Numbers) -> Iterator[tuple[Sized, str]]:
    """A plain panel, and its row, for each metric that no panel has asked for."""
    for metric in numbers.metrics():
        if metric.name in numbers.shown:
            continue
        kinds = numbers.kinds(metric.name)
        legend = " \N{RIGHTWARDS ARROW} ".join(f"{{{{{kind}}}}}" for kind in kinds) or "now"
        queries = queries_of(numbers, Line(metric.name, legend, by=tuple(kinds)), {})
        unit = numbers.unit(metric.name)
        yield course(title_of(metric.name), metric.help, unit, *queries, width=WIDTH, height=6), metric.panel
