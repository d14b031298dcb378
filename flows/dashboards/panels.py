"""The few kinds of panel that the dashboards are made of, each with its description, unit and queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final, Protocol

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, table, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
BLUE: Final = "blue"
NEUTRAL: Final = "text"

COUNT: Final = "locale"
"""All digits: an exact count is not written as 35.0 K."""
NO_DATA: Final = "NO DATA"
UNKNOWN: Final = "not known"
"""Of a change: there is no last week yet, or too few were counted in it."""
MOST_WORDS: Final = 9
"""Values of one tile that are said in words, so the number of the mapping behind them."""
CHOSEN: Final = "$window"
"""In place of a window in queries and titles: the variable that the reader sets."""
SOFT_LARGEST: Final = {"percentunit": 0.01, "s": 0.001, "bytes": 1024.0, "short": 0.1}
"""How far an axis reaches at least, by unit, where all values are 0; of other units 1."""

MOST_LINES: Final = 8
"""Of a graph that has their names below it."""
MOST_BARS: Final = 12
"""Of a panel, one below the other."""


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


def _target(query: Query, number: int, *, instant: bool = False) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(_letter(number))
    built = built.datasource(SOURCE)
    return built.instant() if instant else built.range()


def targets_of(queries: Sequence[Query], *, instant: bool = False) -> list[prometheus.Dataquery]:
    """The queries as Grafana takes them, lettered in their order; `instant`: of the range's end alone."""
    return [_target(query, number, instant=instant) for number, query in enumerate(queries)]


def plain(color: str = NEUTRAL) -> ThresholdsConfig:
    """One color whatever the value."""
    return ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([model.Threshold(value=None, color=color)])


def titled(title: str, queries: Sequence[Query]) -> str:
    """The title with the window that the reader chooses, or else with the one that all queries are always of."""
    windows = {window for query in queries for window in re.findall(r'window="([^"]+)"', query.expression)}
    if CHOSEN in windows:
        windows = {CHOSEN}
    if len(windows) != 1:
        return title
    (window,) = windows
    return title if re.search(rf"{re.escape(window)}(?!\w)", title) else f"{title}, {window}"


def instead_of_none(words: str) -> list[model.ValueMapping]:
    """What is shown in place of a value that is none."""
    result = model.ValueMappingResult(text=words, color=RED if words == NO_DATA else NEUTRAL, index=MOST_WORDS)
    none = model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NULL_AND_NAN, result=result)
    return [model.SpecialValueMap(options=none)]


def or_none(expression: str) -> str:
    """The expression, or not a number where it has no value, so that its place in the tile stays and says so."""
    return f"{expression} or vector(NaN)"


@dataclass(frozen=True, slots=True)
class Band:
    """The two queries of a course, by their places, whose values bound an area around the first one."""

    lower: int
    upper: int


def course(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    last_week: bool = False,
    stacked: bool = False,
    log: bool = False,
    band: Band | None = None,
    absent: str = "",
    many: bool = False,
    width: int = 12,
    height: int = 8,
) -> Sized:
    """Lines over time; with `last_week` the last query is the one of a week ago, and dashed.

    Where there may be `many` lines, their names are listed beside them; below, they would take the graph's room.
    """
    single = len(queries) == 1 and "{{" not in queries[0].legend
    panel = (
        timeseries.Panel()
        .title(titled(title, queries))
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .line_width(1 if stacked else 2)
        .fill_opacity(40 if stacked else 10 if single else 0)
        .show_points(options.VisibilityMode.NEVER)
        .draw_style(options.GraphDrawStyle.LINE)
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.RIGHT if many else options.LegendPlacement.BOTTOM)
            .show_legend(not single)
            .calcs([])
        )
    )
    if unit == COUNT:
        panel = panel.decimals(0)  # no ticks between whole numbers
    if log:
        scale = common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale)
    else:
        panel = panel.axis_soft_min(0).axis_soft_max(SOFT_LARGEST.get(unit, 1.0))
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if absent:
        panel = panel.no_value(absent)
    for target in targets_of(queries):
        panel = panel.with_target(target)
    if any("{{" in query.legend for query in queries):
        words = {"regex": "/_/g", "renamePattern": " "}
        panel = panel.with_transformation(model.DataTransformerConfig(id_val="renameByRegex", options=words))
    if last_week:
        dashed = {"fill": "dash", "dash": [6, 6]}
        panel = panel.override_by_query(
            _letter(len(queries) - 1),
            [
                model.DynamicConfigValue("custom.lineStyle", dashed),
                model.DynamicConfigValue("custom.lineWidth", 1),
                _fixed(NEUTRAL),
            ],
        )
    if band:
        hidden = {"legend": True, "tooltip": False, "viz": False}
        edge = [
            _fixed(GREEN),
            model.DynamicConfigValue("custom.lineWidth", 0),
            model.DynamicConfigValue("custom.hideFrom", hidden),
        ]
        area = [
            model.DynamicConfigValue("custom.fillBelowTo", queries[band.lower].legend),
            model.DynamicConfigValue("custom.fillOpacity", 20),
        ]
        panel = panel.override_by_query(_letter(band.lower), edge)
        panel = panel.override_by_query(_letter(band.upper), [*edge, *area])
    return Sized(panel, width, height)


def _letter(number: int) -> str:
    """A to Z, then AA, AB, as columns of a spreadsheet are called."""
    beyond, last = divmod(number, len(ascii_uppercase))
    return (_letter(beyond - 1) if beyond else "") + ascii_uppercase[last]


def _fixed(color: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})


def bars(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    largest: float | None = None,
    colors: Sequence[str] = (BLUE,),
    width: int = 8,
    height: int = 8,
) -> Sized:
    """One bar for each query, in their order; the longest is full unless `largest` says what is. Many stand upright.

    `colors` has one for all bars, or one for each.
    """
    upright = len(queries) > MOST_BARS
    panel = (
        bargauge.Panel()
        .title(titled(title, queries))
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .orientation(options.VizOrientation.VERTICAL if upright else options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .text(common.VizTextDisplayOptions().title_size(14).value_size(12 if upright else 18))
        .show_unfilled(True)
        .thresholds(plain())
        .color_scheme(FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(colors[0]))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .mappings(instead_of_none("no value" if unit == "percentunit" else NO_DATA))
        .no_value(NO_DATA)
    )
    if unit == "percentunit":
        panel = panel.decimals(1)
    if largest is not None:
        panel = panel.max(largest)
    for target in targets_of([Query(or_none(one.expression), one.legend) for one in queries], instant=True):
        panel = panel.with_target(target)
    for number, color in enumerate(colors):
        if color != colors[0]:
            panel = panel.override_by_query(_letter(number), [_fixed(color)])
    return Sized(panel, width, height)


def heat(title: str, description: str, query: str, *, width: int = 12, height: int = 8) -> Sized:
    """A histogram's buckets over time: the more there are, the stronger; few show beside the many of one bucket."""
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
            .mode(heatmap_model.HeatmapColorMode.OPACITY)
            .fill("blue")
            .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.35)
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


def listing(
    title: str, description: str, columns: Mapping[str, str], query: str, *, width: int = 12, height: int = 5
) -> Sized:
    """The labels of every series as a table of now: those that `columns` gives a heading, in that order."""
    target = _target(Query(query, ""), 0, instant=True).format(PromQueryFormat.TABLE)
    shown: dict[str, object] = {
        "indexByName": {label: place for place, label in enumerate(columns)},
        "renameByName": dict(columns),
        "includeByName": dict.fromkeys(columns, True),
    }
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("none")
        .with_target(target)
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=shown))
        .show_header(True)
        .cell_height(options.TableCellHeight.SM)
        .align(options.FieldTextAlignment.AUTO)
        .no_value(NO_DATA)
    )
    return Sized(panel, width, height)
