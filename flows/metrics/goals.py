"""What visitors come for: one goal, such as a sign-up or an order (METRICS.md 5.1, ordered).

A goal is used by who reaches it (`uses.py`). `conversion_rate.<goal>.<w>` is users by visitors, the "percentage of
users"; `conversions_per_visitor.<goal>.<w>` counts every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import AnyShape
from flows.metrics.cells import Metric
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line, Number
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Formula
from flows.metrics.uses import Uses, users_fell

USES = {
    "events": Metric(
        "goal.<name>.events", "Times that the goal was reached in the window.", "events", "Goals", "goal_events"
    ),
    "users": Metric("goal.<name>.users", "Users who reached the goal in the window.", "users", "Goals", "goal_users"),
    "first": Metric(
        "goal.<name>.first",
        "Users who reached the goal in the window for the first time ever.",
        "users",
        "Goals",
        "goal_first_users",
    ),
}
CONVERSION = Metric(
    "conversion_rate.<name>", "Users who reached the goal, over visitors.", "ratio", "Goals", "goal_conversion_ratio"
)
PER_VISITOR = Metric(
    "conversions_per_visitor.<name>",
    "Times that the goal was reached, per visitor.",
    "events",
    "Goals",
    "goal_events_per_visitor_ratio",
)
CHARTS = [
    Course(
        "Conversion of visitors",
        "Of the visitors of the window, the share who reached the goal in it.",
        [Line("conversion_rate.<name>", "{{goal}}", by=("goal",))],
        width=8,
    ),
    Course(
        "Users who reached a goal",
        "Distinct users who reached the goal in the window.",
        [Line("goal.<name>.users", "{{goal}}", by=("goal",))],
        width=8,
    ),
    Course(
        "For the first time",
        "Users who reached the goal in the window, and never before.",
        [Line("goal.<name>.first", "{{goal}}", by=("goal",))],
        width=8,
    ),
]


class Goal(Uses):
    """Who reaches one goal."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "goals": {
                "signup": "Signed Up",
                "purchase": ["Bought", {"event": "page_viewed", "where": {"properties.plan": "pro"}}],
            },
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios"], "of": ["goals", "visitors"]},
                "entry": {"field": "properties.plan", "values": ["pro"], "scope": "session", "of": ["goals"]},
            },
            "windows": ["1m", "24h", "7d"],
            "ratio_windows": ["24h"],
        },
        {"goals": {"known": ["identify", "Bought"]}, "presence": {"except": ["Bought"]}, "lateness": "1m"},
        {
            "goals": {"signup": "Signed Up"},
            "windows": ["24h"],
            "ratio_windows": [],
            "breakdowns": {"channel": {"computed": "channel", "scope": "session", "of": ["goals", "visitors"]}},
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        name: Headings(None, "task success", why="A goal is whatever the config says: a sign-up, an order.")
        for name in ("goal", "conversion_rate", "conversions_per_visitor")
    }
    broken_down_as: ClassVar[str] = "goals"
    KIND: ClassVar[str] = "goal"
    METRICS: ClassVar[Mapping[str, Metric]] = USES
    BY_DAY: ClassVar[bool] = True

    def __init__(self, config: Config, name: str, book: MinuteBook) -> None:
        super().__init__(config, name, config.goals[name], book)

    def formulas(self) -> list[Formula]:
        users, events, name = f"{self.stem}.users", f"{self.stem}.events", self._name
        return [
            Formula(CONVERSION, (users, "visitors"), ratio, f"conversion_rate.{name}", self.labels),
            Formula(PER_VISITOR, (events, "visitors"), ratio, f"conversions_per_visitor.{name}", self.labels),
        ]

    def headlines(self) -> list[Number]:
        return [
            Number(
                "conversion_rate.<name>",
                f"Reach the goal: {self._name.replace('_', ' ')}",
                "Of the visitors of the window, the share who reached it.",
                self.labels,
                good="up",
            )
        ]

    def charts(self) -> list[ChartRow]:
        """One row for all goals, drawn by the first."""
        goals = self._config.goals
        by_breakdown = [ByBreakdown("conversion_rate.<name>", f"Conversion: {name}", {"goal": name}) for name in goals]
        return [ChartRow("Goals", [*CHARTS, *by_breakdown])] if self._name == next(iter(goals)) else []

    @staticmethod
    def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
        """GoalDrop, one series for each goal."""
        if thresholds.goals is not None:
            yield from users_fell("goal", "GoalDrop", list(config.goals), config, thresholds.goals)
