"""METRICS.md 5.10: what is answered to surveys, and NPS, CSAT and CES of it, score by score.

What is read, in this order: `survey` (needed), `score` (needed, where the config has the survey), `response_id`. The
first that is wrong gives the reason. Null counts as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import sqrt
from typing import Any

from flows.audit.cells import Cells, groups, long_windows
from flows.audit.clock import Turn, in_their_places, ordered_window_holds
from flows.audit.fields import Number, RefusedError, cached_slug
from flows.audit.money import decimal_of
from flows.audit.properties import id_of, needed, refuse_lone_surrogates, text_of
from flows.audit.records import Event
from flows.config.model import Config, Survey

DAY_MS = 86_400_000
Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Response:
    """What one event tells."""

    key: str  # the user
    survey: str | None  # of the config; None: of none
    score: int
    id: str | None


def response_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Response | None:
    """`Survey Responded {survey, score, response_id?}`; "an unknown survey: counted, not used"."""
    if not any(cached_slug(event) == name for survey in config.surveys.values() for event in survey.events):
        return None
    text = needed("survey", text_of(properties, "survey"))
    survey = cached_slug(text) if cached_slug(text) in config.surveys else None
    score = 0 if survey is None else score_of(properties, config.surveys[survey])
    response = id_of(properties, "response_id")
    refuse_lone_surrogates(text, response)
    return Response(user, survey, score, response)


def score_of(properties: dict[str, Any], survey: Survey) -> int:
    """ "A score off its scale or not whole: `bad_property`"."""
    value = needed("score", properties.get("score"))
    if not isinstance(value, Number):
        raise RefusedError("bad_type", "$.properties.score: expected a number")
    number = decimal_of(value.text)
    if number is None or number.denominator != 1 or int(number) not in survey.scores:
        raise RefusedError("bad_property", "$.properties.score: off the scale")
    return int(Decimal(value.text))


def survey_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """`survey.<name>.responses.<l>`, `.score_<s>.<l>`, and what follows from them."""
    cells: Cells = {}
    for name, survey in config.surveys.items():
        counted = counted_once(turns, name, config, watermark_ms)
        if survey.count == "latest":
            counted = list({event.user: (event, score) for event, score in counted}.values())
        for suffix, chosen in groups(counted, lambda one: one[0].values, config, "surveys"):
            for at, window in long_windows(config):
                scores = [score for event, score in chosen if ordered_window_holds(event.ts, window, watermark_ms)]
                cells[f"survey.{name}.responses.{at}{suffix}"] = len(scores)
                for score in survey.scores:
                    cells[f"survey.{name}.score_{score}.{at}{suffix}"] = scores.count(score)
                if scores:
                    put = {"nps": nps_of, "csat": csat_of, "ces": ces_of}[survey.kind]
                    cells |= {f"{what}.{name}.{at}{suffix}": value for what, value in put(scores, survey).items()}
    return cells


def counted_once(turns: Sequence[Turn], name: str, config: Config, watermark_ms: int) -> list[tuple[Event, int]]:
    """ "`response_id` counts once (by user, within `orders.dedup`, 24 h where there are no orders)", of one survey."""
    dedup = DAY_MS if config.orders is None else config.orders.dedup
    in_order = sorted(
        (turn for turn in in_their_places(turns) if turn.used < watermark_ms),
        key=lambda turn: (turn.event.ts, turn.late, turn.event.partition, turn.event.offset),
    )
    last: dict[tuple[str, str], int] = {}
    counted = []
    for turn in in_order:
        event, told = turn.event, turn.told
        assert isinstance(told, Response)
        if told.survey != name:
            continue
        if told.id is not None:
            before = last.get((event.user, told.id))
            if before is not None and event.ts - before <= dedup:
                continue
            last[event.user, told.id] = event.ts
        counted.append((event, told.score))
    return counted


def nps_of(scores: list[int], survey: Survey) -> dict[str, float]:
    """ "100 x (share 9..10 - share 0..6), `nps_se` = 100 sqrt((p + d - (p - d)^2) / n)"."""
    p = Fraction(sum(score >= 9 for score in scores), len(scores))
    d = Fraction(sum(score <= 6 for score in scores), len(scores))
    return {"nps": float(100 * (p - d)), "nps_se": 100 * sqrt((p + d - (p - d) ** 2) / len(scores))}


def csat_of(scores: list[int], survey: Survey) -> dict[str, float]:
    """ "share with (score - min)/(max - min) >= 0.75, `csat_low`, `csat_high` (Wilson), `csat_mean`, `csat_mean_share`
    = (mean - min) / (max - min)".
    """
    low, high = survey.scores[0], survey.scores[-1]
    n = len(scores)
    share = Fraction(sum(Fraction(score - low, high - low) >= Fraction(3, 4) for score in scores), n)
    mean = Fraction(sum(scores), n)
    center = float(share) + Z**2 / (2 * n)
    half = Z * sqrt(float(share * (1 - share)) / n + Z**2 / (4 * n**2))
    return {
        "csat": float(share),
        "csat_low": max(0.0, (center - half) / (1 + Z**2 / n)),
        "csat_high": min(1.0, (center + half) / (1 + Z**2 / n)),
        "csat_mean": float(mean),
        "csat_mean_share": float((mean - low) / (high - low)),
    }


def ces_of(scores: list[int], survey: Survey) -> dict[str, float]:
    """ "CES `ces.<name>.<l>` = mean, `ces_sd` (population)"."""
    mean = Fraction(sum(scores), len(scores))
    variance = sum(((score - mean) ** 2 for score in scores), Fraction(0)) / len(scores)
    return {"ces": float(mean), "ces_sd": sqrt(variance)}
