"""A whole dashboard: rows of panels laid out on Grafana's grid, with the variables that their queries have in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from flows.dashboards.panels import RED, SOURCE, Bounds, Sized, now
from flows.dashboards.queries import BREAKDOWN, INSTANCE, JOB, PRODUCT, WINDOW, Numbers, age, health, of_product, total
from flows.publish.prometheus import PREFIX

COLUMNS: Final = 24
TAG: Final = "tidegauge"
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


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard; `uid` is what links and alerts know it by."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def freshness(*, width: int = COLUMNS) -> Row:
    """What every page begins with: how old its numbers are, and whether they are to be believed."""
    each = width // 4
    return Row(
        "How old these numbers are",
        [
            now(
                "Data as of",
                "The stream clock: how far the events have come. Counts and active users stand here.",
                "dateTimeFromNow",
                f"{total('stream_time_timestamp_seconds')} * 1000",
                width=each,
                height=3,
            ),
            now(
                "Ordered numbers as of",
                "The watermark: sessions, funnels, lifecycle and subscriptions stand here, later by `lateness`.",
                "dateTimeFromNow",
                f"{total('watermark_timestamp_seconds')} * 1000",
                width=each,
                height=3,
            ),
            now(
                "Records waiting",
                "Records in Kafka not read yet. While they are many the numbers are those of an earlier time.",
                "short",
                f"sum({of_product(health('consumer_lag_messages'))})",
                width=each,
                height=3,
            ),
            now(
                "Current",
                "1 when the published numbers are current, as /readyz says; 0: they are not.",
                "short",
                f"min({of_product(health('ready'))})",
                bounds=Bounds(1, low_is_bad=True),
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
    """Every panel with its number and its place; a row is as high as its highest panel."""
    number, top = 0, 0
    for row in rows:
        number += 1
        place = model.GridPos(x=0, y=top, w=COLUMNS, h=1)
        yield build.Row(row.title).id(number).grid_pos(place).datasource(SOURCE).build()
        top += 1
        left, height = 0, 0
        for sized in row.panels:
            if left + sized.width > COLUMNS:
                left, top, height = 0, top + height, 0
            if isinstance(sized, Gap):
                left += sized.width
                continue
            number += 1
            panel = sized.panel.build()
            panel.id_val = number
            panel.grid_pos = model.GridPos(x=left, y=top, w=sized.width, h=sized.height)
            yield panel
            left, height = left + sized.width, max(height, sized.height)
        top += height


def _variables(numbers: Numbers) -> Iterator[build.DatasourceVariable | build.QueryVariable | build.CustomVariable]:
    build_info = f"{PREFIX}build_info"
    yield build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield _asked(PRODUCT, "Product", f"label_values({build_info}, {PRODUCT})").current(_option(numbers.config.product))
    yield _chosen(WINDOW, "Window", numbers.windows, "Trailing window of counts and rates")
    if numbers.config.breakdowns:
        yield _chosen(BREAKDOWN, "Breakdown", list(numbers.config.breakdowns), "What panels with 'by' are split by")
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


def _chosen(name: str, label: str, values: Sequence[str], description: str) -> build.CustomVariable:
    """A variable with fixed values in a meaningful order; the middle one is shown first."""
    first = values[len(values) // 2]
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
