"""How a survey is drawn: its score with the interval that it can be trusted within, and how many answered."""

from __future__ import annotations

from flows.config.model import Config, Survey, format_duration
from flows.metrics.charts import ChartRow, Course, Line, Spread


def charts_of(config: Config, name: str, survey: Survey) -> list[ChartRow]:
    """One row for each survey, of the longest window: answers are few."""
    if not config.long_windows:
        return []
    window = format_duration(config.long_windows[-1])
    responses = Course(
        "Responses", "How many answered in the window.", [Line("survey.<name>.responses")], last_week=True, width=8
    )
    by_score = Course(
        "Responses by score",
        "How many gave each score.",
        [Line("survey.<name>.score_<s>", "{{score}}", by=("score",))],
        width=8,
    )
    scores = {
        "nps": Course(
            "Net promoter score",
            "Promoters minus detractors, -100 to 100, and two standard errors to either side.",
            [
                Line("nps.<name>", "score"),
                Line("nps.<name>", "at most", spread=Spread("nps_se.<name>", 2)),
                Line("nps.<name>", "at least", spread=Spread("nps_se.<name>", -2)),
            ],
            width=8,
        ),
        "csat": Course(
            "Satisfied",
            "Share of responses in the upper quarter of the scale, and its 95 % confidence interval.",
            [
                Line("csat.<name>", "satisfied"),
                Line("csat_low.<name>", "at least", edge="lower"),
                Line("csat_high.<name>", "at most", edge="upper"),
            ],
            width=8,
        ),
        "ces": Course(
            "Effort", f"Mean score; {survey.better} is better.", [Line("ces.<name>")], last_week=True, width=8
        ),
    }
    charts = [scores[survey.kind], responses, by_score]
    return [ChartRow(f"Survey: {name}", charts, {"survey": name, "window": window}, "Surveys")]
