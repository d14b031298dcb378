"""How a funnel is drawn: its steps, where attempts are lost, and how many convert how soon."""

from __future__ import annotations

from flows.config.model import Config, format_duration
from flows.metrics.charts import ByBreakdown, Chart, ChartRow, Course, Line, Losses, Number, Spread, Steps
from flows.metrics.funnels.cells import EXCLUDED_STATE, STATES

CONVERSION_CHART = Course(
    "Conversion",
    "Live: Kaplan-Meier over attempts under way, with two standard errors to either side. "
    "Matured: of attempts whose time is up, a funnel window late.",
    [
        Line("funnel.<name>.conversion_live", "live"),
        Line(
            "funnel.<name>.conversion_live",
            "live, lower bound",
            spread=Spread("funnel.<name>.conversion_live_se", -2),
        ),
        Line(
            "funnel.<name>.conversion_live",
            "live, upper bound",
            spread=Spread("funnel.<name>.conversion_live_se", 2),
        ),
        Line("funnel.<name>.conversion_matured", "matured"),
    ],
    width=6,
)
CHARTS: list[Chart] = [
    Losses(
        "Lost between steps",
        "Of the attempts at a step, the share that has not reached the next one (yet).",
        "funnel.<name>.drop_off_<nn>",
        "funnel.<name>.<nn_step>",
        "step",
    ),
    Course(
        "Attempts by outcome",
        "Attempts entered in the window, by what has become of them.",
        [
            Line(tuple(metric.name for metric in STATES.values()), "{{state}}", by=("state",)),
            Line(EXCLUDED_STATE.name, "excluded"),
        ],
        width=6,
    ),
    CONVERSION_CHART,
    ByBreakdown("funnel.<name>.conversion_live", "Live conversion", width=6),
    Course(
        "Time to convert",
        "From entry to the last step, of attempts entered in the window that have converted.",
        [
            Line("funnel.<name>.convert_<quantile>", "{{q}}", by=("q",)),
            Line("funnel.<name>.convert_mean", "mean"),
        ],
        width=6,
    ),
]


def headlines_of(name: str) -> list[Number]:
    """Its live conversion."""
    return [
        Number(
            "funnel.<name>.conversion_live",
            f"Converts now: {name}",
            "Kaplan-Meier estimate over the attempts under way; hardly moved by surges of traffic.",
            {"funnel": name},
            good="up",
        )
    ]


def charts_of(config: Config, name: str) -> list[ChartRow]:
    """The row of one funnel."""
    window = format_duration(config.funnels[name].window)
    steps = Steps(
        "Steps",
        f"Attempts entered in the window, by the step they reached. An attempt has {window} to convert.",
        "funnel.<name>.<nn_step>",
        "step",
    )
    return [ChartRow(f"Funnel: {name}", [steps, *CHARTS], {"funnel": name}, "Funnels")]
