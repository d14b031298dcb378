"""How retention is drawn: which share comes back on each day, and how many that is."""

from __future__ import annotations

from flows.config.model import Config, format_duration
from flows.metrics.charts import ChartRow, Course, Line, Number
from flows.metrics.retention.cells import PANEL


def headlines_of(config: Config) -> list[Number]:
    """The rate of the first day, over the longest window."""
    assert config.retention is not None
    if not config.long_windows:
        return []
    day, window = config.retention.days[0], format_duration(config.long_windows[-1])
    where = {"day": str(day), "window": window}
    text = f"Share of the users who started within {window} who returned on day {day}."
    return [Number("retention_rate.d<N>", f"Return on day {day}", text, where, good="up")]


def charts_of(config: Config) -> list[ChartRow]:
    """A row with the days beside each other, over the longest window."""
    if not config.long_windows:
        return []
    window = format_duration(config.long_windows[-1])
    charts = [
        Course(
            "Return on the day",
            f"Of the users who started within {window}, as of when their day was over: the share that returned on it.",
            [Line("retention_rate.d<N>", "day {{day}}", by=("day",))],
            width=6,
        ),
        Course(
            "Return on the day or later",
            "Of the same users, the share that has returned on that day or later, by now.",
            [Line("retention_rate_or_later.d<N>", "day {{day}}", by=("day",))],
            width=6,
        ),
        Course(
            "Users whose day is over",
            f"How many users started within {window}, as of when that day of theirs was over.",
            [Line("retention.d<N>.cohort", "day {{day}}", by=("day",))],
            width=6,
        ),
        Course(
            "Users who returned",
            "Of these, on the day itself, and on it or later.",
            [
                Line("retention.d<N>.returned", "day {{day}}", by=("day",)),
                Line("retention.d<N>.returned_later", "day {{day}} or later", by=("day",)),
            ],
            width=6,
        ),
    ]
    return [ChartRow("Who comes back", charts, {"window": window}, PANEL)]
