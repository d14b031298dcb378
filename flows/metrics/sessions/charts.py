"""How sessions are drawn: how many, bounces, and how long they last."""

from __future__ import annotations

from flows.metrics.charts import ByBreakdown, ChartRow, Course, Heat, Line, Number

HEADLINES = [
    Number("sessions.open", "Open sessions", "Sessions that have not closed.", good="up"),
    Number(
        "bounce_rate_provisional",
        "Bounce, provisional",
        "Share not yet engaged of the sessions begun 5 to 15 minutes ago: half an hour ahead of the final rate.",
        good="down",
    ),
]
CHARTS = ChartRow(
    "Sessions",
    [
        Course(
            "Sessions started",
            "Sessions that began in the window, and at the same time last week.",
            [Line("sessions.started")],
            last_week=True,
            width=8,
        ),
        Course(
            "Sessions closed and bounced",
            "Sessions that closed in the window, and those of them that closed without engagement.",
            [Line("sessions.closed", "closed"), Line("sessions.bounced", "bounced")],
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
            width=8,
        ),
        Course(
            "Session duration",
            "Quantiles and mean over the sessions closed in the window.",
            [
                Line("session_duration_<quantile>", "{{q}}", by=("q",)),
                Line("session_duration_mean", "mean"),
            ],
            width=8,
        ),
        Course(
            "Bounce, by every definition",
            "Of the sessions closed in the window, by each of `sessions.definitions`.",
            [Line("bounce_rate_by.<definition>", "{{definition}}", by=("definition",))],
            width=8,
        ),
        Course(
            "Sessions with a key action",
            "Of the sessions closed in the window.",
            [Line("key_action_share")],
            last_week=True,
            width=8,
        ),
        Course(
            "Sessions of users who return",
            "Of the sessions that began in the window, the share whose user had one before.",
            [Line("returning_share")],
            last_week=True,
            width=8,
        ),
        Course(
            "Time between sessions",
            "From the last event of the session before to the start of the next, on average.",
            [Line("session_gap_mean")],
            width=8,
        ),
    ],
)
