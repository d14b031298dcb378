"""The dashboard of the product itself: what is now, against last week, and where it comes from.

Families say how they are drawn (`flows/metrics/charts.py`). Whatever no chart names gets a plain panel in the row of
its metric, so a new family is on the page by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.dashboards.drawn import number_of, panels_of
from flows.dashboards.page import Page, Row, freshness
from flows.dashboards.panels import Query, Sized, course
from flows.dashboards.queries import Numbers

UID = "tidegauge-live"
WIDTH = 8  # of a panel that nobody designed
ABBREVIATIONS = {"mrr", "arr", "arpa"}


def live(numbers: Numbers) -> Page:
    """The page; every number that Prometheus has is on it."""
    now = [number_of(numbers, number) for number in numbers.headlines if number.metric in numbers]
    drawn = [(row, [*panels_of(numbers, row)]) for row in numbers.rows]
    plain: dict[str, list[Sized]] = {}
    for panel, title in _others(numbers):
        plain.setdefault(title, []).append(panel)
    rows = []
    for row, panels in drawn:
        rows.append(Row(row.title, [*panels, *plain.pop(row.title, [])]))
        if row.part_of and row is [one for one, _ in drawn if one.part_of == row.part_of][-1]:
            rows.append(Row(row.part_of, plain.pop(row.part_of, [])))
    rows += [Row(title, panels) for title, panels in plain.items()]
    return Page(
        UID,
        "Tidegauge: live product",
        "Who is active, which sessions run and bounce, where funnels leak, who churns, what the revenue is.",
        [freshness(), Row("Now", now), *(row for row in rows if row.panels)],
    )


def _others(numbers: Numbers) -> Iterator[tuple[Sized, str]]:
    """A plain panel, and its row, for each metric that no panel has asked for."""
    for metric in numbers.metrics():
        if metric.name in numbers.shown:
            continue
        kinds = numbers.kinds(metric.name)
        legend = " ".join(f"{{{{{kind}}}}}" for kind in kinds) or metric.name
        query = Query(numbers.ask(metric.name, by=kinds), legend)
        unit = numbers.unit(metric.name)
        yield course(_title(metric.name), metric.help, unit, query, width=WIDTH, height=6), metric.panel


def _title(name: str) -> str:
    """`mrr.moved_in` as `MRR moved in`."""
    first, *others = name.replace("<name>.", "").replace(".", " ").replace("_", " ").split(" ")
    return " ".join([first.upper() if first in ABBREVIATIONS else first.capitalize(), *others])
