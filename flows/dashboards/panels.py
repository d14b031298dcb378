"""The few kinds of panel that the dashboards are made of, each with its description, unit and queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN: Final = "green"
RED: Final = "red"
NEUTRAL: Final = "text"


class Builder(Protocol):
    """What every kind of panel can be told."""

    def build(self) -> model.Panel:
        """The panel as told so far."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A panel and the room it takes: width in 24ths of the page, height in Grafana's units of 38 pixels."""

    panel: Builder
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Query:
    """One question and what its answers are called; `{{label}}` in the legend is a series' label."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a value turns from good to bad: green below `bad` and red from there on, or the other way around."""

    bad: float
    low_is_bad: bool = False

    def steps(self) -> list[model.Threshold]:
        """From the smallest value up."""
        first, then = (RED, GREEN) if self.low_is_bad else (GREEN, RED)
        return [model.Threshold(value=None, color=first), model.Threshold(value=self.bad, color=then)]


def _target(query: Query, number: int, *, instant: bool = False) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(chr(ord("A") + number))
    built = built.datasource(SOURCE)
    return built.instant() if instant else built.range()


def _targets(queries: Sequence[Query], *, instant: bool = False) -> list[prometheus.Dataquery]:
    return [_target(query, number, instant=instant) for number, query in enumerate(queries)]


def _plain() -> ThresholdsConfig:
    steps = [model.Threshold(value=None, color=NEUTRAL)]
    return ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def now(
    title: str,
    description: str,
    unit: str,
    query: str,
    *,
    change: str | None = None,
    bounds: Bounds | None = None,
    width: int = 4,
    height: int = 4,
) -> Sized:
    """One number large with its course behind it and, with `change`, how it compares with a week ago."""
    queries = [Query(query, "now"), *([Query(change, "against last week")] if change else [])]
    panel = stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit)
    for target in _targets(queries):
        panel = panel.with_target(target)
    thresholds = ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(bounds.steps()) if bounds else _plain()
    panel = (
        panel.thresholds(thresholds)
        .graph_mode(options.BigValueGraphMode.AREA)
        .color_mode(options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME if change else options.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .no_value("no value")
    )
    if change:
        panel = panel.override_by_query(
            "B",
            [
                model.DynamicConfigValue("unit", "percentunit"),
                model.DynamicConfigValue("decimals", 1),
                model.DynamicConfigValue("noValue", "no last week yet"),
            ],
        )
    return Sized(panel, width, height)


def course(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    last_week: bool = False,
    stacked: bool = False,
    bars: bool = False,
    log: bool = False,
    width: int = 12,
    height: int = 8,
) -> Sized:
    """Lines over time; with `last_week` the last query is the one of a week ago, and dashed."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .line_width(1)
        .fill_opacity(40 if stacked or bars else 8)
        .show_points(options.VisibilityMode.NEVER)
        .draw_style(options.GraphDrawStyle.BARS if bars else options.GraphDrawStyle.LINE)
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
    )
    if unit in ("short", "percentunit", "s"):
        panel = panel.axis_soft_min(0)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if log:
        scale = common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale)
    for target in _targets(queries):
        panel = panel.with_target(target)
    if last_week:
        dashed = {"fill": "dash", "dash": [6, 6]}
        panel = panel.override_by_query(
            chr(ord("A") + len(queries) - 1),
            [model.DynamicConfigValue("custom.lineStyle", dashed), model.DynamicConfigValue("custom.fillOpacity", 0)],
        )
    return Sized(panel, width, height)


def bars(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    largest: float | None = None,
    bad_is_large: bool = False,
    width: int = 8,
    height: int = 8,
) -> Sized:
    """One horizontal bar for each query, in their order; the longest is full unless `largest` says what is."""
    color = model.FieldColorModeId.CONTINUOUS_GR_YL_RD if bad_is_large else model.FieldColorModeId.CONTINUOUS_BLUES
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.GRADIENT)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .show_unfilled(True)
        .thresholds(_plain())
        .color_scheme(FieldColor().mode(color))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .no_value("none")
    )
    if largest is not None:
        panel = panel.max(largest)
    for target in _targets(queries, instant=True):
        panel = panel.with_target(target)
    return Sized(panel, width, height)


def heat(title: str, description: str, query: str, *, width: int = 12, height: int = 8) -> Sized:
    """A histogram's buckets over time: the more there are, the darker."""
    target = _target(Query(query, "{{le}}"), 0).format(PromQueryFormat.HEATMAP)
    panel = (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(target)
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_model.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .fill("dark-blue")
            .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit("s").axis_placement(options.AxisPlacement.LEFT))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .show_value(options.VisibilityMode.NEVER)
        .show_legend()
        .show_y_histogram()
        .mode(options.TooltipDisplayMode.SINGLE)
        .unit("short")
    )
    return Sized(panel, width, height)


def listing(title: str, description: str, unit: str, query: str, *, width: int = 12, height: int = 5) -> Sized:
    """The labels and the value of every series, as a table of now."""
    target = _target(Query(query, ""), 0, instant=True).format(PromQueryFormat.TABLE)
    hidden: dict[str, object] = {"excludeByName": {"Time": True, "__name__": True}}
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .with_target(target)
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=hidden))
        .show_header(True)
        .cell_height(options.TableCellHeight.SM)
        .align(options.FieldTextAlignment.AUTO)
    )
    return Sized(panel, width, height)
