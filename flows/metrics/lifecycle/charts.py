"""How the lifecycle is drawn: who is alive, who comes and goes, and which share stays."""

from __future__ import annotations

from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line, Number
from flows.metrics.lifecycle.cells import PANEL

HEADLINES = [Number("users.new", "New users", "Users whose first event ever is in the window.", good="up")]
CHARTS = ChartRow(
    PANEL,
    [
        Course(
            "Users alive",
            "Known users who have not churned, and at the same time last week.",
            [Line("users.alive")],
            last_week=True,
            width=8,
        ),
        Course(
            "New users",
            "Users whose first event ever is in the window, and at the same time last week.",
            [Line("users.new")],
            last_week=True,
            width=8,
        ),
        Course(
            "Users who came back or churned",
            "In the window: back after having churned, and churned, which is no event for `churn_after`; of these, the "
            "ones who had come inside it.",
            [
                Line("users.resurrected", "back"),
                Line("users.churned", "churned"),
                Line("users.churned_inside", "came and went"),
            ],
            width=8,
        ),
        Course(
            "Users who churn",
            "Of the users alive at the window's start, the share that churned in it.",
            [Line("user_churn_rate")],
            width=8,
        ),
        Course(
            "Gained over lost",
            "New and returned users over churned ones, by window. Below 1 the product shrinks.",
            [Line("user_quick_ratio", "{{window}}", by=("window",))],
            width=8,
        ),
        ByBreakdown("users.new", "New users"),
    ],
)
