"""What users do with the product: one feature and its adoption (METRICS.md 5.1, ordered).

`feature.<name>.first.<w>` are its adopters, `feature.<name>.users_ever` the known users who have ever used it.
`feature_adoption.<name>.<w>` is its users by visitors, `feature_adoption_ever.<name>` users_ever by `users.known`. As
known users are, users_ever is not broken down, and falls when users are evicted (`users_per_shard`). A feature counts
also when the event shows nobody, where `users.known` does not: the second rate can pass 1 for events from servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import AnyShape
from flows.metrics.cells import Metric
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block, Count, Formula
from flows.metrics.uses import Uses, users_fell

USES = {
    "events": Metric(
        "feature.<name>.events", "Uses of the feature in the window.", "events", "Features", "feature_events"
    ),
    "users": Metric(
        "feature.<name>.users", "Users of the feature in the window.", "users", "Features", "feature_users"
    ),
    "first": Metric(
        "feature.<name>.first",
        "Adopters: users of the feature in the window who had never used it before.",
        "users",
        "Features",
        "feature_first_users",
    ),
}
EVER = Metric(
    "feature.<name>.users_ever",
    "Known users who have ever used the feature.",
    "users",
    "Features",
    "feature_users_ever",
)
ADOPTION = Metric(
    "feature_adoption.<name>", "Users of the feature, over visitors.", "ratio", "Features", "feature_adoption_ratio"
)
ADOPTION_EVER = Metric(
    "feature_adoption_ever.<name>",
    "Users who have ever used the feature, over known users.",
    "ratio",
    "Features",
    "feature_adoption_ever_ratio",
)
CHARTS = [
    Course(
        "Adoption",
        "Of the visitors of the window, the share who used the feature in it.",
        [Line("feature_adoption.<name>", "{{feature}}", by=("feature",))],
        width=8,
    ),
    Course(
        "Adopters",
        "Users who used the feature in the window, and never before.",
        [Line("feature.<name>.first", "{{feature}}", by=("feature",))],
        width=8,
    ),
    Course(
        "Ever used",
        "Of the known users, the share who have ever used the feature.",
        [Line("feature_adoption_ever.<name>", "{{feature}}", by=("feature",))],
        width=8,
    ),
    Course(
        "Users of a feature",
        "Distinct users of the feature in the window.",
        [Line("feature.<name>.users", "{{feature}}", by=("feature",))],
        width=8,
    ),
]


class Feature(Uses):
    """Who uses one feature."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "features": {
                "search": "Searched",
                "dark": {"event": "Feature Used", "where": {"properties.feature": "dark"}},
            },
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios"], "of": ["features", "visitors"]},
                "first": {"field": "properties.plan", "values": ["pro"], "scope": "first", "of": ["features"]},
            },
        },
        {"features": {"reading": ["page_viewed", "identify"]}, "goals": {"read": "page_viewed"}, "lateness": "1m"},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {"feature": Headings("activation", "adoption")}
    broken_down_as: ClassVar[str] = "features"
    KIND: ClassVar[str] = "feature"
    METRICS: ClassVar[Mapping[str, Metric]] = USES

    def __init__(self, config: Config, name: str, book: MinuteBook) -> None:
        super().__init__(config, name, config.features[name], book)

    def read(self) -> NDArray[np.int64]:
        return np.concatenate([super().read(), self.ever.values])

    def blocks(self) -> list[Block]:
        return [*super().blocks(), Block([Count(EVER, f"{self.stem}.users_ever", self.labels)])]

    def formulas(self) -> list[Formula]:
        users, ever, name = f"{self.stem}.users", f"{self.stem}.users_ever", self._name
        return [
            Formula(ADOPTION, (users, "visitors"), ratio, f"feature_adoption.{name}", self.labels),
            Formula(ADOPTION_EVER, (ever, "users.known"), ratio, f"feature_adoption_ever.{name}", self.labels),
        ]

    def charts(self) -> list[ChartRow]:
        """One row for all features, drawn by the first."""
        features = self._config.features
        by_breakdown = [
            ByBreakdown("feature_adoption.<name>", f"Adoption: {name}", {"feature": name}) for name in features
        ]
        return [ChartRow("Features", [*CHARTS, *by_breakdown])] if self._name == next(iter(features)) else []

    @staticmethod
    def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
        """FeatureDrop, one series for each feature."""
        if thresholds.features is not None:
            yield from users_fell("feature", "FeatureDrop", list(config.features), config, thresholds.features)
