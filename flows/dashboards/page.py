"""A whole dashboard: rows of panels laid out on Grafana's grid, with the variables that their queries have in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from flows.dashboards.panels import COUNT, GREEN, RED, SOURCE, Sized
from flows.dashboards.queries import BREAKDOWN, INSTANCE, JOB, PRODUCT, WINDOW, Numbers, age, health, of_product
from flows.dashboards.tiles import Bounds, note, now, state
from flows.publish.prometheus.samples import PREFIX

COLUMNS: Final = 24
TILE_HEIGHT: Final = 4
TAG: Final = "tidegauge"
LATE_SECONDS: Final = 30
STALE_SECONDS: Final = 120
"""Data that is older than this is marked on every graph: a stream clock that stands still is no quiet product."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Room that is left empty, so that what follows stands below what it belongs to."""

    width: int


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it, from left to right and then from top to bottom."""

    title: str
    panels: Sequence[Sized | Gap]
    closed: bool = False  # until the reader opens it


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard; `uid` is what links and alerts know it by."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def freshness(numbers: Numbers, about: str) -> Row:
    """What every page begins with: what it is for, how old its numbers are, and whether they are to be believed."""
    each = COLUMNS // 4
    late_s = numbers.config.lateness / 1000
    return Row(
        "How old these numbers are",
        [
            note(about),
            state(
                "Numbers are current",
                "Whether the published numbers are those of now, as /readyz says.",
                f"min({of_product(health('ready'))})",
                {1: ("yes", GREEN), 0: ("NO: see pipeline health", RED)},
                loud=True,
                width=each,
                height=3,
            ),
            now(
                "Counts and active users are behind by",
                "How far the stream clock is behind: the time that the events have come to, seen at the last scrape.",
                "s",
                age("stream_time_timestamp_seconds"),
                bounds=Bounds(STALE_SECONDS, LATE_SECONDS),
                width=each,
                height=3,
            ),
            now(
                "Sessions, funnels, money are behind by",
                f"How far the watermark is behind. These numbers wait {late_s:g} s (`lateness`) for late events.",
                "s",
                age("watermark_timestamp_seconds"),
                bounds=Bounds(STALE_SECONDS + late_s, LATE_SECONDS + late_s),
                width=each,
                height=3,
            ),
            now(
                "Records waiting",
                "Records in Kafka not read yet. While they are many the numbers are those of an earlier time.",
                COUNT,
                f"sum({of_product(health('consumer_lag_messages'))})",
                width=each,
                height=3,
            ),
        ],
    )


def written(page: Page, numbers: Numbers) -> str:
    """The page as JSON in Grafana's classic model, as its provisioning and its API take it."""
    built = (
        build.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([TAG])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .annotations([_staleness()])
        .link(_links())
    )
    for variable in _variables(numbers):
        built = built.with_variable(variable)
    dashboard = built.build()
    dashboard.panels = list(_placed(page.rows))
    return json.dumps(dashboard, cls=JSONEncoder, indent=2) + "\n"


def _placed(rows: Sequence[Row]) -> Iterator[model.Panel | model.RowPanel]:
    """Every panel with its number and its place; a closed row holds its own, and takes one line itself."""
    number, top = 0, 0
    for row in rows:
        number += 1
        place = model.GridPos(x=0, y=top, w=COLUMNS, h=1)
        heading = build.Row(row.title).id(number).grid_pos(place).datasource(SOURCE).collapsed(row.closed).build()
        top += 1
        panels, bottom = _in_row(row, number + 1, top)
        number += len(panels)
        if row.closed:
            heading.panels = panels
            yield heading
        else:
            yield heading
            yield from panels
            top = bottom


def _in_row(row: Row, number: int, top: int) -> tuple[list[model.Panel], int]:
    """The panels of a row, placed from `top` down, and where they end; a line is as high as its highest panel."""
    found: list[model.Panel] = []
    for line in _lines(row.panels):
        left = 0
        for sized, width in zip(line, _widths(line), strict=True):
            if isinstance(sized, Sized):
                panel = sized.panel.build()
                panel.id_val = number + len(found)
                panel.grid_pos = model.GridPos(x=left, y=top, w=width, h=sized.height)
                found.append(panel)
            left += width
        top += max((sized.height for sized in line if isinstance(sized, Sized)), default=0)
    return found, top


def _lines(panels: Sequence[Sized | Gap]) -> Iterator[list[Sized | Gap]]:
    """As many panels in each as it has room for, all of one height: a low tile beside a graph would leave a hole."""
    line: list[Sized | Gap] = []
    for sized in panels:
        heights = {one.height for one in (*line, sized) if isinstance(one, Sized)}
        if sum(one.width for one in line) + sized.width > COLUMNS or len(heights) > 1:
            yield line
            line = []
        line.append(sized)
    if line:
        yield line


def _widths(line: Sequence[Sized | Gap]) -> list[int]:
    """Those of the panels, wider where they would leave a part of the line empty; a gap is meant to.

    A tile alone becomes half a page wide: one number needs no more.
    """
    wanted = [sized.width for sized in line]
    if any(isinstance(sized, Gap) for sized in line):
        return wanted
    if [one.height <= TILE_HEIGHT for one in line if isinstance(one, Sized)] == [True]:
        return [max(COLUMNS // 2, *wanted)]
    ends = [round(COLUMNS * part / sum(wanted)) for part in accumulate(wanted, initial=0)]
    return [end - start for start, end in pairwise(ends)]


def _variables(numbers: Numbers) -> Iterator[build.DatasourceVariable | build.QueryVariable | build.CustomVariable]:
    build_info = f"{PREFIX}build_info"
    yield build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield _asked(PRODUCT, "Product", f"label_values({build_info}, {PRODUCT})").current(_option(numbers.config.product))
    windows = numbers.windows
    yield _chosen(WINDOW, "Window", windows, windows[len(windows) // 2], "Trailing window of counts and rates")
    if breakdowns := numbers.config.breakdowns:
        offered = sorted(breakdowns, key=lambda name: -len(breakdowns[name].of))  # first what most is broken down by
        yield _chosen(BREAKDOWN, "Breakdown", offered, offered[0], "What panels with 'by' are split by")
    for label, title in ((JOB, "Job"), (INSTANCE, "Instance")):
        yield (
            _asked(label, title, f'label_values({build_info}{{{PRODUCT}="$product"}}, {label})')
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )


def _asked(name: str, label: str, query: str) -> build.QueryVariable:
    """A variable whose values come from Prometheus, and anew when the time range changes."""
    return (
        build.QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": "StandardVariableQuery"})
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _chosen(name: str, label: str, values: Sequence[str], first: str, description: str) -> build.CustomVariable:
    """A variable with fixed values in a meaningful order; `first` is the one that the page opens with."""
    options = [model.VariableOption(selected=value == first, text=value, value=value) for value in values]
    built = build.CustomVariable(name).label(label).description(description).values(",".join(values))
    return built.options(options).current(_option(first))


def _option(value: str) -> model.VariableOption:
    return model.VariableOption(selected=True, text=value, value=value)


def _staleness() -> build.AnnotationQuery:
    """Shades the times at which the numbers were not of now, on every graph."""
    expression = f"({age('stream_time_timestamp_seconds')}) > {STALE_SECONDS}"
    return (
        build.AnnotationQuery()
        .name("Numbers of an earlier time")
        .datasource(SOURCE)
        .enable(True)
        .icon_color(RED)
        .expr(expression)
    )


def _links() -> build.DashboardLink:
    return (
        build.DashboardLink("Tidegauge")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )
