"""Tiles of a dashboard: one number or one state of this moment, and texts between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from grafana_foundation_sdk.builders import common, stat, text
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import text as text_model

from flows.dashboards.panels import (
    GREEN,
    NEUTRAL,
    NO_DATA,
    ORANGE,
    RED,
    SOURCE,
    UNKNOWN,
    Query,
    Sized,
    instead_of_none,
    or_none,
    plain,
    targets_of,
    titled,
)

POINTS: Final = "suffix: points"
NOT_SCRAPED: Final = -1
"""What a state is when Prometheus has no sample of it: the process is gone, or nobody scrapes it."""
VALUE_PIXELS: Final = 30
"""Of the numbers in tiles: chosen by Grafana itself, they would differ from tile to tile."""

Good: TypeAlias = Literal["up", "down"]
"""The direction in which a change of a number is good."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a value turns from good to bad: red from `bad` on, orange from `warn` on, green below."""

    bad: float
    warn: float | None = None

    def steps(self) -> list[model.Threshold]:
        """From the smallest value up."""
        warned = [] if self.warn is None else [model.Threshold(value=self.warn, color=ORANGE)]
        return [model.Threshold(value=None, color=GREEN), *warned, model.Threshold(value=self.bad, color=RED)]


@dataclass(frozen=True, slots=True)
class Change:
    """How a number compares with a week ago: the query, its unit, and the changes that are worth a colour."""

    expression: str
    unit: str
    worth: float
    good: Good | None = None

    def steps(self) -> list[model.Threshold]:
        """From the largest fall up."""
        if self.good is None:
            return [model.Threshold(value=None, color=NEUTRAL)]
        fallen, risen = (RED, GREEN) if self.good == "up" else (GREEN, RED)
        return [
            model.Threshold(value=None, color=fallen),
            model.Threshold(value=-self.worth, color=NEUTRAL),
            model.Threshold(value=self.worth, color=risen),
        ]


def _steps(steps: Sequence[model.Threshold]) -> ThresholdsConfig:
    return ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(list(steps))


def _tile(title: str, description: str, unit: str, queries: Sequence[Query]) -> stat.Panel:
    panel = stat.Panel().title(titled(title, queries)).description(description).datasource(SOURCE).unit(unit)
    for target in targets_of(queries, instant=True):
        panel = panel.with_target(target)
    panel = panel.text(common.VizTextDisplayOptions().title_size(12).value_size(VALUE_PIXELS)).wide_layout(False)
    return panel.graph_mode(options.BigValueGraphMode.NONE).reduce_options(
        common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)
    )


def now(
    title: str,
    description: str,
    unit: str,
    query: str,
    *,
    change: Change | None = None,
    bounds: Bounds | None = None,
    absent: str = NO_DATA,
    said: Mapping[int, tuple[str, str]] | None = None,
    width: int = 4,
    height: int = 4,
) -> Sized:
    """One number of this moment, large, and with `change` how it compares with a week ago.

    It is asked for at the end of the time range alone. Without a sample it says `absent`, and never an older number;
    `said` has the words and the color of values that are no numbers.
    """
    queries = [Query(or_none(query), "now")]
    if change:
        queries.append(Query(or_none(change.expression), "change to last week"))
    panel = (
        _tile(title, description, unit, queries)
        .thresholds(_steps(bounds.steps()) if bounds else plain())
        .color_mode(options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME if change else options.BigValueTextMode.VALUE)
        .mappings([_in_words(said), *instead_of_none(absent)] if said else instead_of_none(absent))
        .no_value(absent)
    )
    if unit == "percentunit":
        panel = panel.decimals(1)
    if change:
        steps = [{"value": step.value, "color": step.color} for step in change.steps()]
        panel = panel.override_by_query(
            "B",
            [
                model.DynamicConfigValue("unit", change.unit),
                model.DynamicConfigValue("decimals", 1),
                model.DynamicConfigValue("mappings", instead_of_none(UNKNOWN)),
                model.DynamicConfigValue("noValue", UNKNOWN),
                model.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps}),
            ],
        )
    return Sized(panel, width, height)


def _in_words(said: Mapping[int, tuple[str, str]]) -> model.ValueMap:
    """The words and the color of some values."""
    found = {
        str(value): model.ValueMappingResult(text=words, color=color, index=index)
        for index, (value, (words, color)) in enumerate(said.items())
    }
    return model.ValueMap(options=found)


def state(
    title: str,
    description: str,
    query: str,
    said: Mapping[int, tuple[str, str]],
    *,
    loud: bool = False,
    width: int = 4,
    height: int = 4,
) -> Sized:
    """A state of this moment in words: for each value of the query its text and its color.

    Without a sample the state is `NOT_SCRAPED`, which is red. With `loud` the whole tile has the color.
    """
    told = {**said, NOT_SCRAPED: ("NO: nothing is scraped" if loud else NO_DATA, RED)}
    panel = (
        _tile(title, description, "none", [Query(f"{query} or vector({NOT_SCRAPED})", "now")])
        .thresholds(plain(RED))
        .mappings([_in_words(told)])
        .color_mode(options.BigValueColorMode.BACKGROUND if loud else options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.VALUE)
        .no_value(NO_DATA)
    )
    return Sized(panel, width, height)


def note(content: str, *, width: int = 24, height: int = 2) -> Sized:
    """A text in Markdown, without a frame or a title."""
    panel = text.Panel().mode(text_model.TextMode.MARKDOWN).content(content).transparent(True)
    return Sized(panel, width, height)
