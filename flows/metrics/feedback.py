"""What users write: how much, of which kind, in which mood, and what they ask for (METRICS.md 5.12, ordered).

`Feedback Submitted` may have a `kind` and a `sentiment` from -1 to 1, `Feature Requested` a `feature`. A sentiment that
is no such number makes the event a `bad_property` or `bad_type`. It is read in thousandths, half to even, and
*negative* below `negative_below`, *positive* above `positive_above`: exactly there it is neither.

Cells, for the `windows` <w>, broken down by the event's own value where a breakdown is of `feedback`:

    feedback.count.<w>             feedback submitted
    feedback.kind.<kind>.<w>       of that kind; `other`: of one that is not listed; without a kind: of none
    feedback.scored.<w>            with a sentiment
    feedback.negative.<w>, feedback.positive.<w>
    feedback.sentiment_sum.<w>     of the scored, thousandths
    feature_requests.<feature>.<w> requests of it; `other`: of one that is not listed, or that has no name

Derived:

    sentiment_mean.<w>             sentiment_sum / 1000 / scored, from -1 to 1
    negative_share.<w>             negative / scored
    feedback_per_1000_active.<w>   1000 count / active_users

A worked month: 8 pieces of feedback by 400 active users, 5 of them scored -0.8, -0.5, 0, 0.3 and 0.9: 2 are negative
and 2 positive, the mean is -0.1 / 5 = -0.02, the negative share 2 / 5, and 8 / 400 makes 20 per 1000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import inlined, steady
from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.config.voices import Feedback as Section
from flows.facts.fact import Fact
from flows.facts.fields import Score
from flows.facts.words import Label, Named
from flows.metrics.alerts import Amount, AnyShape, Counted, Rise, Series, ShareChanged, label_of, window_of
from flows.metrics.cells import Metric
from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line
from flows.metrics.family import Family, Groups, Split, group_of
from flows.metrics.formulas import per_thousand, ratio
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Count, Formula
from flows.state.axes import Names
from flows.state.windows import Ring, Windows, add, move

FEEDBACK, REQUEST = range(2)
NO_SENTIMENT: Final = -2000
"""Thousandths; below every sentiment."""
COUNT, SCORED, NEGATIVE, POSITIVE, SENTIMENT_SUM = range(5)
FIELDS: Final = ("count", "scored", "negative", "positive", "sentiment_sum")
PANEL: Final = "Feedback"

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("feedback.count", "Feedback submitted.", "messages", PANEL, "feedback"),
        Metric("feedback.scored", "Feedback with a sentiment.", "messages", PANEL, "feedback_scored"),
        Metric("feedback.negative", "Feedback in a bad mood.", "messages", PANEL, "feedback_negative"),
        Metric("feedback.positive", "Feedback in a good mood.", "messages", PANEL, "feedback_positive"),
        Metric("feedback.sentiment_sum", "Sum of the sentiments.", "thousandths", PANEL, "feedback_sentiment", 0.001),
        Metric("feedback.kind.<kind>", "Feedback of that kind.", "messages", PANEL, "feedback_by_kind"),
        Metric("feature_requests.<feature>", "Requests of that feature.", "requests", PANEL, "feature_requests"),
        Metric("sentiment_mean", "Mean sentiment, -1 to 1.", "points", PANEL, "sentiment_mean"),
        Metric("negative_share", "Negative feedback over all with a sentiment.", "ratio", PANEL, "negative_ratio"),
        Metric(
            "feedback_per_1000_active", "Feedback per 1000 active users.", "messages", PANEL, "feedback_per_1000_active"
        ),
    )
}
CHARTS: Final = ChartRow(
    "Feedback",
    [
        Course("Feedback", "Submitted in the window.", [Line("feedback.count")], last_week=True, width=8),
        Course("Mood", "Mean sentiment of the window, -1 to 1.", [Line("sentiment_mean")], last_week=True, width=8),
        Course("Negative share", "Negative among those with a sentiment.", [Line("negative_share")], width=8),
        Course(
            "Feedback by kind",
            "Submitted in the window, of each kind.",
            [Line("feedback.kind.<kind>", "{{kind}}", by=("kind",))],
            width=8,
        ),
        Course(
            "Features asked for",
            "Requests of the window, of each feature.",
            [Line("feature_requests.<feature>", "{{feature}}", by=("feature",))],
            width=8,
        ),
        ByBreakdown("negative_share", "Negative share"),
    ],
)


def feedback_fact(section: Section) -> Fact:
    """The fact as the config's section has it."""
    return Fact(
        "opinion",
        events=section.events,
        fields=(
            Named(column="what", words=("feedback", "request")),
            Label("kind", "kind", values=tuple(section.kind_labels()[:-1]), help="One of the config's kinds."),
            Label("feature", "feature", values=tuple(section.request_labels()[:-1]), help="What is asked for."),
            Score(
                "sentiment",
                "sentiment",
                least=-1,
                most=1,
                decimals=3,
                default=NO_SENTIMENT,
                help="From -1, very bad, to 1, very good; missing: not scored.",
            ),
        ),
        help="Feedback or the request of a feature, where the config measures feedback.",
    )


class Feedback(Family):
    """Feedback by kind and mood, and requests by feature."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"feedback": {"kinds": ["praise", "bug"], "requests": ["search", "export"]}},
        {
            "feedback": {"negative_below": 0, "positive_above": 0, "events": {"Review Written": "feedback"}},
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios"], "of": ["feedback", "active_users"]}
            },
            "windows": ["1m", "1h"],
            "ratio_windows": [],
        },
        {
            "feedback": {},
            "breakdowns": {"way": {"computed": "traffic", "scope": "session", "of": ["feedback"]}},
            "windows": ["24h"],
            "ratio_windows": [],
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = dict.fromkeys(
        ("feedback", "sentiment_mean", "negative_share", "feature_requests"), Headings("retention", "happiness")
    )
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "feedback"

    def __init__(self, config: Config) -> None:
        assert config.feedback is not None
        self._config = config
        self._section = config.feedback
        self._groups = Groups(config, self.broken_down_as)
        self.takes = feedback_fact(self._section)
        kinds, requests = self._section.kind_labels(), self._section.request_labels()
        self.moods = Windows(config.windows, self._groups, len(FIELDS))
        self.kinds = Windows(config.windows, self._groups, Names(kinds, kinds[-1]))
        self.requests = Windows(config.windows, self._groups, Names(requests, requests[-1]))

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        below, above = self._section.limits()
        rings = (self.moods.ring, self.kinds.ring, self.requests.ring)
        sizes = (len(self._section.kinds) + 1, len(self._section.requests) + 1)
        _advance(rows, now_ms, below, above, sizes, rings, self._groups.split)

    def read(self) -> NDArray[np.int64]:
        return np.concatenate([windows.totals.ravel() for windows in (self.moods, self.kinds, self.requests)])

    def blocks(self) -> list[Block]:
        moods = [Count(METRICS[f"feedback.{field}"]) for field in FIELDS]
        kinds = [
            Count(METRICS["feedback.kind.<kind>"], f"feedback.kind.{kind}", {"kind": kind})
            for kind in self._section.kind_labels()
        ]
        requests = [
            Count(METRICS["feature_requests.<feature>"], f"feature_requests.{feature}", {"feature": feature})
            for feature in self._section.request_labels()
        ]
        return [Block(rows, self._config.windows, self._groups.labels) for rows in (moods, kinds, requests)]

    def definition(self) -> Definition:
        return Definition({})  # kinds and features are found again by name; the limits hold from then on

    def formulas(self) -> list[Formula]:
        return [
            Formula(METRICS["sentiment_mean"], ("feedback.sentiment_sum", "feedback.scored"), _mean),
            Formula(METRICS["negative_share"], ("feedback.negative", "feedback.scored"), ratio),
            Formula(METRICS["feedback_per_1000_active"], ("feedback.count", "active_users"), per_thousand),
        ]

    def charts(self) -> list[ChartRow]:
        return [CHARTS]

    @staticmethod
    def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
        """NegativeFeedbackRise."""
        if (limits := thresholds.feedback) is not None:
            window_ms = window_of(config.windows, limits.window)
            where = {"window": label_of(window_ms)}
            yield ShareChanged(
                name="feedback",
                alert="NegativeFeedbackRise",
                about=f"Of the feedback with a sentiment within {label_of(window_ms)}, what is negative.",
                share=Counted(
                    Amount("negative", "Negative.", Series("feedback_negative", where)),
                    Amount("scored", "With a sentiment.", Series("feedback_scored", where)),
                    window_ms,
                ),
                change=Rise(limits.rise, limits.above),
                least=limits.messages,
                summary="{{ $value | humanizePercentage }} of the feedback on {{ $labels.product }} is negative",
                description=f"Negative within {label_of(window_ms)}: {{{{ $value | humanizePercentage }}}}.",
                severity=limits.severity,
            )


def _mean(thousandths: int, scored: int) -> float | None:
    """The mean of the sentiments."""
    return thousandths / (1000 * scored) if scored else None


@steady
def _advance(
    rows: NDArray[Any],
    now: int,
    below: int,
    above: int,
    sizes: tuple[int, int],
    rings: tuple[Ring, Ring, Ring],
    split: Split,
) -> None:
    moods, kinds, requests = rings
    move(moods, now)
    move(kinds, now)
    move(requests, now)
    for row in rows:
        ts = row["ts"]
        for d in range(len(split.base)):
            group = group_of(split, d, row["dims"])
            if row["what"] == REQUEST:
                add(requests, ts, group * sizes[1] + min(row["feature"], sizes[1] - 1), 1)
                continue
            _count(moods, ts, group, COUNT, 1)
            if row["kind"] < sizes[0]:
                add(kinds, ts, group * sizes[0] + row["kind"], 1)
            sentiment = row["sentiment"]
            if sentiment != NO_SENTIMENT:
                _count(moods, ts, group, SCORED, 1)
                _count(moods, ts, group, SENTIMENT_SUM, sentiment)
                if sentiment < below:
                    _count(moods, ts, group, NEGATIVE, 1)
                if sentiment > above:
                    _count(moods, ts, group, POSITIVE, 1)


@inlined
def _count(moods: Ring, ts: int, group: int, field: int, amount: int) -> None:
    add(moods, ts, group * len(FIELDS) + field, amount)
