"""How tickets are drawn: how many come and go, how many wait, and how long."""

from __future__ import annotations

from flows.config.model import Config
from flows.metrics.charts import ChartRow, Course, Line, Number, longest
from flows.metrics.tickets.cells import PANEL

HEADLINES = [Number("tickets.open", "Open tickets", "Tickets created and not resolved.", good="down")]
CHARTS = ChartRow(
    "Support",
    [
        Course(
            "Tickets created",
            "Tickets created in the window, and at the same time last week.",
            [Line("tickets.created")],
            last_week=True,
            width=8,
        ),
        Course(
            "Tickets resolved, escalated, reopened",
            "In the window. An escalation counts once for each ticket.",
            [
                Line("tickets.resolved", "resolved"),
                Line("tickets.escalated", "escalated"),
                Line("tickets.reopened", "reopened"),
            ],
            width=8,
        ),
        Number(
            "escalation_rate",
            "Escalated",
            "Of the tickets created in the last 24 hours, those escalated by now.",
            {"window": "24h"},
            good="down",
        ),
        Number("tickets_per_1000_active", "Tickets per 1,000 active users", "Created in the window.", good="down"),
    ],
)
ENDS = [
    Course(
        "Time to resolution",
        "From creation, of the resolutions in the window.",
        [Line("resolution_<quantile>", "{{q}}", by=("q",)), Line("resolution_mean", "mean")],
    ),
    Course("Reopened", "Reopened tickets per resolution.", [Line("reopen_rate")]),
]


def charts_of(config: Config) -> list[ChartRow]:
    """How tickets end is drawn over the longest window: it takes days, and in many an hour none does."""
    return [CHARTS, ChartRow("How tickets end", ENDS, longest(config), PANEL)]
