"""What is published of a survey, and how scores become NPS, CSAT and CES; the rules are at the package's head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import sqrt
from typing import Final

from flows.config.voices import Survey
from flows.metrics.cells import Metric
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Count, Formula

PANEL: Final = "Surveys"
Z: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("survey.<name>.responses", "Responses in the window.", "responses", PANEL, "survey_responses"),
        Metric("survey.<name>.score_<s>", "Responses with that score.", "responses", PANEL, "survey_scores"),
        Metric("nps.<name>", "Net promoter score: promoters minus detractors, -100 to 100.", "points", PANEL, "nps"),
        Metric("nps_se.<name>", "Standard error of the net promoter score.", "points", PANEL, "nps_se"),
        Metric("csat.<name>", "Share of responses in the upper quarter of the scale.", "ratio", PANEL, "csat_ratio"),
        Metric(
            "csat_low.<name>", "Lower end of its 95 % confidence interval (Wilson).", "ratio", PANEL, "csat_low_ratio"
        ),
        Metric(
            "csat_high.<name>", "Upper end of its 95 % confidence interval (Wilson).", "ratio", PANEL, "csat_high_ratio"
        ),
        Metric("csat_mean.<name>", "Mean score.", "points", PANEL, "csat_mean"),
        Metric("csat_mean_share.<name>", "Mean score as a share of the scale.", "ratio", PANEL, "csat_mean_ratio"),
        Metric("ces.<name>", "Customer effort score: the mean score.", "points", PANEL, "ces"),
        Metric("ces_sd.<name>", "Standard deviation of the scores (population).", "points", PANEL, "ces_sd"),
    )
}
FRAMEWORKS: Final[Mapping[str, Headings]] = {"": Headings("retention", "happiness")}
"""All of them, whatever the kind of the survey."""

Scores = Callable[..., float | None]
"""Of the counts of all scores, the lowest first."""


def nps(low: int, *counts: int) -> float | None:
    """100 (share of 9 and 10 - share of 0 to 6). F. Reichheld, The One Number You Need to Grow, HBR 2003."""
    promoters, detractors, all_ = _nps_groups(low, counts)
    return 100 * (promoters - detractors) / all_ if all_ else None


def nps_se(low: int, *counts: int) -> float | None:
    """100 sqrt((p + d - (p - d)^2) / n): a response is worth 100, 0 or -100."""
    promoters, detractors, all_ = _nps_groups(low, counts)
    if not all_:
        return None
    p, d = promoters / all_, detractors / all_
    return 100 * sqrt((p + d - (p - d) ** 2) / all_)


def _nps_groups(low: int, counts: Sequence[int]) -> tuple[int, int, int]:
    return sum(counts[9 - low :]), sum(counts[: 7 - low]), sum(counts)


def csat(good: int, *counts: int) -> float | None:
    """The share of the `good` highest scores."""
    all_ = sum(counts)
    return sum(counts[-good:]) / all_ if all_ else None


def wilson(sign: int, good: int, *counts: int) -> float | None:
    """An end of the score interval of that share. E. B. Wilson (1927), JASA 22:209."""
    n, k = sum(counts), sum(counts[-good:])
    if not n:
        return None
    middle, half = k + Z * Z / 2, Z * sqrt(k * (n - k) / n + Z * Z / 4)
    return min(1.0, max(0.0, (middle + sign * half) / (n + Z * Z)))


def mean(low: int, *counts: int) -> float | None:
    """The mean score."""
    all_ = sum(counts)
    return _total(low, counts) / all_ if all_ else None


def mean_share(low: int, high: int, *counts: int) -> float | None:
    """(mean - low) / (high - low)."""
    all_ = sum(counts)
    return (_total(low, counts) - low * all_) / (all_ * (high - low)) if all_ else None


def deviation(low: int, *counts: int) -> float | None:
    """Of the scores, over n."""
    all_, total = sum(counts), _total(0, counts)
    squares = sum(score * score * count for score, count in enumerate(counts))
    return sqrt(all_ * squares - total * total) / all_ if all_ else None


def _total(low: int, counts: Sequence[int]) -> int:
    return sum(score * count for score, count in enumerate(counts, low))


def rows_of(name: str, survey: Survey) -> list[Count]:
    """Of each window and group."""
    return [
        Count(METRICS["survey.<name>.responses"], f"survey.{name}.responses", {"survey": name}),
        *(
            Count(METRICS["survey.<name>.score_<s>"], stem, {"survey": name, "score": str(score)})
            for score, stem in zip(survey.scores, _stems(name, survey), strict=True)
        ),
    ]


def _stems(name: str, survey: Survey) -> list[str]:
    return [f"survey.{name}.score_{score}" for score in survey.scores]


def formulas_of(name: str, survey: Survey) -> list[Formula]:
    """What the kind of the survey makes of the counts of its scores."""
    return [
        Formula(METRICS[f"{what}.<name>"], _stems(name, survey), compute, f"{what}.{name}", {"survey": name})
        for what, compute in _computed(survey).items()
    ]


def _computed(survey: Survey) -> dict[str, Scores]:
    low, high = survey.ends
    if survey.kind == "nps":
        return {"nps": partial(nps, low), "nps_se": partial(nps_se, low)}
    if survey.kind == "ces":
        return {"ces": partial(mean, low), "ces_sd": partial(deviation, low)}
    good = len(survey.satisfied())
    return {
        "csat": partial(csat, good),
        "csat_low": partial(wilson, -1, good),
        "csat_high": partial(wilson, 1, good),
        "csat_mean": partial(mean, low),
        "csat_mean_share": partial(mean_share, low, high),
    }
