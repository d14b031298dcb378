"""Alerts of surveys: more detractors, a lower net promoter score, fewer satisfied users."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts, CsatAlert, DetractorsAlert, NpsAlert
from flows.config.model import Config
from flows.config.voices import Survey
from flows.metrics.alerts import (
    Amount,
    AnyShape,
    Counted,
    Fall,
    Loss,
    MeanChanged,
    Rise,
    Series,
    ShareChanged,
    label_of,
    window_of,
)

MOST_OF_A_DETRACTOR = 6


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """DetractorsRise and NpsDrop of every NPS, CsatDrop of every CSAT."""
    for name, survey in config.surveys.items() if config.long_windows else ():
        if survey.kind == "nps" and (rise := thresholds.detractors) is not None:
            yield _detractors(name, survey, rise, window_of(config.long_windows, rise.window))
        if survey.kind == "nps" and (loss := thresholds.nps) is not None:
            yield _nps(name, survey, loss, label_of(window_of(config.long_windows, loss.window)))
        if survey.kind == "csat" and (fall := thresholds.csat) is not None:
            yield _csat(name, survey, fall, window_of(config.long_windows, fall.window))


def _detractors(name: str, survey: Survey, limits: DetractorsAlert, window_ms: int) -> ShareChanged:
    detractors = [score for score in survey.scores if score <= MOST_OF_A_DETRACTOR]
    return ShareChanged(
        name=f"survey_{name}",
        alert="DetractorsRise",
        about=f"Of the responses to the survey {name}, those of detractors: at most {MOST_OF_A_DETRACTOR} of 10.",
        share=_share(name, detractors, "detractors", window_ms),
        change=Rise(limits.rise, limits.above),
        least=survey.min_responses,
        summary=f"{{{{ $value | humanizePercentage }}}} would not recommend {{{{ $labels.product }}}} ({name})",
        description=f"Detractors among the responses to {name} within {label_of(window_ms)}: "
        "{{ $value | humanizePercentage }}.",
        severity=limits.severity,
    )


def _nps(name: str, survey: Survey, limits: NpsAlert, window: str) -> MeanChanged:
    """The score is a mean: a promoter counts 100, a passive 0, a detractor -100."""

    def published(family: str) -> Series:
        return Series(family, {"survey": name, "window": window}, by=("survey",))

    return MeanChanged(
        name=f"nps_{name}",
        alert="NpsDrop",
        about=f"The net promoter score of the survey {name}: promoters less detractors, -100 to 100.",
        items=Amount("responses", "How many answered.", published("survey_responses")),
        mean=published("nps"),
        unit="points",
        change=Loss(limits.drop, limits.below),
        variation=published("nps_se"),
        least=survey.min_responses,
        summary=f"The net promoter score of {{{{ $labels.product }}}} is {{{{ $value | humanize }}}} ({name})",
        description=f"Promoters less detractors among the responses to {name} within {window}: "
        "{{ $value | humanize }} points.",
        severity=limits.severity,
    )


def _csat(name: str, survey: Survey, limits: CsatAlert, window_ms: int) -> ShareChanged:
    return ShareChanged(
        name=f"survey_{name}",
        alert="CsatDrop",
        about=f"Of the responses to the survey {name}, those of satisfied users: the upper quarter of the scale.",
        share=_share(name, survey.satisfied(), "satisfied", window_ms),
        change=Fall(limits.drop, limits.below),
        least=survey.min_responses,
        summary=f"Only {{{{ $value | humanizePercentage }}}} are satisfied with {{{{ $labels.product }}}} ({name})",
        description=f"Satisfied among the responses to {name} within {label_of(window_ms)}: "
        "{{ $value | humanizePercentage }}.",
        severity=limits.severity,
    )


def _share(name: str, scores: list[int], called: str, window_ms: int) -> Counted:
    where = {"survey": name, "window": label_of(window_ms)}
    chosen = Series("survey_scores", where, one_of=("score", [str(score) for score in scores]))
    return Counted(
        Amount(called, f"Those with {' '.join(map(str, scores))}.", chosen, labels={"survey": name}),
        Amount("responses", "How many answered.", Series("survey_responses", where), labels={"survey": name}),
        window_ms,
    )
