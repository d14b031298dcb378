"""How sessions are drawn: how many, bounces, and how long they last."""

from __future__ import annotations

from flows.metrics.charts import ByBreakdown, ChartRow, Course, Heat, Line, Number

HEADLINES = [
    Number("sessions.open", "Open sessions", "Sessions that have not closed."),
    Number(
        "bounce_rate_provisional",
        "Bounce, provisional",
        "Share not yet engaged of the sessions begun 5 to 15 minutes ago: half an hour ahead of the final rate.",
    ),
]
CHARTS = ChartRow(
    "Sessions",
    [
        Course(
            "Sessions",
            "Sessions that began, closed, and closed without engagement in the window.",
            [Line(("sessions.started", "sessions.closed", "sessions.bounced"), "{{state}}", by=("state",))],
            width=8,
        ),
        Course(
            "Bounce",
            "Final: of sessions closed in the window. Provisional: an upper bound, half an hour earlier, for alerts.",
            [Line("bounce_rate_provisional", "provisional"), Line("bounce_rate", "final")],
            width=8,
        ),
        ByBreakdown("bounce_rate_provisional", "Bounce, provisional"),
        Heat(
            "Session durations",
            "Sessions that closed, by how long they lasted. Sessions of one event last 0 s.",
            "session_duration_seconds",
        ),
        Course(
            "Session duration",
            "Quantiles and mean over the sessions closed in the window.",
            [
                Line("session_duration_<quantile>", "quantile {{q}}", by=("q",)),
                Line("session_duration_mean", "mean"),
            ],
        ),
    ],
)
