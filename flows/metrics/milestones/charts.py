"""How a milestone is drawn: who is where, which share reaches it, and how soon."""

from __future__ import annotations

from flows.config.model import Config, format_duration
from flows.metrics.charts import ByBreakdown, Chart, ChartRow, Course, Line, Number, Spread, longest
from flows.metrics.milestones.cells import PANEL, STATES

CHARTS: list[Chart] = [
    Course(
        "Share that reaches it",
        "Kaplan-Meier estimate over the users under way, with two standard errors to either side.",
        [
            Line("milestone_rate_live.<name>", "live"),
            Line("milestone_rate_live.<name>", "live, lower bound", spread=Spread("milestone_rate_live_se.<name>", -2)),
            Line("milestone_rate_live.<name>", "live, upper bound", spread=Spread("milestone_rate_live_se.<name>", 2)),
        ],
        width=8,
    ),
    Course(
        "Share that reached it in time",
        "Of the users whose time is up, who started in the window as it stood when it began.",
        [Line("milestone_rate.<name>", "in time")],
        width=8,
    ),
    Course(
        "Time to reach it",
        "From the start, of the users who started in the window and have reached it.",
        [
            Line("milestone_time_<quantile>.<name>", "{{q}}", by=("q",)),
            Line("milestone_time_mean.<name>", "mean"),
        ],
        width=8,
    ),
    ByBreakdown("milestone_rate_live.<name>", "Live rate"),
]


def headlines_of(name: str) -> list[Number]:
    """Its live rate."""
    return [
        Number(
            "milestone_rate_live.<name>",
            f"Reach the milestone: {name.replace('_', ' ')}",
            "Kaplan-Meier estimate over the users under way; hardly moved by surges of sign-ups.",
            {"milestone": name},
            good="up",
        )
    ]


def charts_of(config: Config, name: str) -> list[ChartRow]:
    """The row of one milestone, over the longest window: to reach it takes days."""
    within = format_duration(config.milestones[name].within)
    outcomes = Course(
        "Users by outcome",
        f"Users who started in the window, by what has become of them. A user has {within} to reach it.",
        [Line(tuple(metric.name for metric in STATES.values()), "{{state}}", by=("state",))],
        width=8,
    )
    where = {"milestone": name, **longest(config)}
    return [ChartRow(f"Milestone: {name.replace('_', ' ')}", [outcomes, *CHARTS], where, PANEL)]
