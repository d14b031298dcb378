"""METRICS.md 5.12: feedback and requests, straight from what was told.

What is read, in this order: `kind`, `feature`, `sentiment`. Null counts as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flows.audit.cells import Cells, groups, put_ratio, windows
from flows.audit.clock import Turn, in_their_places, ordered_window_holds
from flows.audit.fields import Number, RefusedError, cached_slug, label
from flows.audit.money import decimal_of
from flows.audit.properties import refuse_lone_surrogates
from flows.audit.records import Event
from flows.config.model import Config

ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Said:
    """What one event tells."""

    key: str  # the user
    what: str  # feedback or request
    kind: str | None  # listed, or other; None: without one
    feature: str  # listed, or other
    sentiment: int | None  # thousandths


def said_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Said | None:
    """`Feedback Submitted {kind?, sentiment?}` "with sentiment in [-1, 1]", `Feature Requested {feature}`."""
    events = {} if config.feedback is None else config.feedback.events
    stands_for = {cached_slug(event): what for event, what in events.items()}
    if config.feedback is None or name not in stands_for:
        return None
    kind, feature = properties.get("kind"), properties.get("feature")
    kind_label = label(kind, config.feedback.kinds)
    feature_label = label(feature, config.feedback.requests)
    sentiment = sentiment_of(properties)
    refuse_lone_surrogates(kind, feature)
    return Said(
        user,
        stands_for[name],
        None if kind_label == "unknown" else kind_label,
        "other" if feature_label == "unknown" else feature_label,
        sentiment,
    )


def sentiment_of(properties: dict[str, Any]) -> int | None:
    """ "thousandths, half to even"."""
    value = properties.get("sentiment")
    if value is None:
        return None
    if not isinstance(value, Number):
        raise RefusedError("bad_type", "$.properties.sentiment: expected a number")
    size = decimal_of(value.text.removeprefix("-"))
    if size is None or size > ONE:
        raise RefusedError("bad_property", "$.properties.sentiment: expected a number from -1 to 1")
    return round(1000 * (-size if value.text.startswith("-") else size))


def feedback_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """All counts, and what follows from them alone."""
    if config.feedback is None:
        return {}
    cells: Cells = {}
    below, above = (Fraction(str(one)) for one in (config.feedback.negative_below, config.feedback.positive_above))
    used: list[tuple[Event, Said]] = []
    for turn in in_their_places(turns):
        assert isinstance(turn.told, Said)
        if turn.used < watermark_ms:
            used.append((turn.event, turn.told))
    for suffix, chosen in groups(used, lambda one: one[0].values, config, "feedback"):
        for at, window in windows(config):
            held = [said for event, said in chosen if ordered_window_holds(event.ts, window, watermark_ms)]
            feedback = [said for said in held if said.what == "feedback"]
            sentiments = [Fraction(said.sentiment, 1000) for said in feedback if said.sentiment is not None]
            cells[f"feedback.count.{at}{suffix}"] = len(feedback)
            cells[f"feedback.scored.{at}{suffix}"] = len(sentiments)
            cells[f"feedback.negative.{at}{suffix}"] = sum(one < below for one in sentiments)
            cells[f"feedback.positive.{at}{suffix}"] = sum(one > above for one in sentiments)
            cells[f"feedback.sentiment_sum.{at}{suffix}"] = int(1000 * sum(sentiments, Fraction(0)))
            for kind in [*map(cached_slug, config.feedback.kinds), "other"]:
                cells[f"feedback.kind.{kind}.{at}{suffix}"] = sum(said.kind == kind for said in feedback)
            for feature in [*map(cached_slug, config.feedback.requests), "other"]:
                asked = sum(said.feature == feature for said in held if said.what == "request")
                cells[f"feature_requests.{feature}.{at}{suffix}"] = asked
            if sentiments:
                cells[f"sentiment_mean.{at}{suffix}"] = float(sum(sentiments, Fraction(0)) / len(sentiments))
            negative = int(cells[f"feedback.negative.{at}{suffix}"])
            put_ratio(cells, f"negative_share.{at}{suffix}", negative, len(sentiments))
    return cells


def put_feedback_per_user(cells: Cells) -> None:
    """`feedback_per_1000_active.<w>`, wherever both have a cell."""
    for place in [name.removeprefix("feedback.count.") for name in cells if name.startswith("feedback.count.")]:
        users = int(cells.get(f"active_users.{place}", 0))
        put_ratio(cells, f"feedback_per_1000_active.{place}", 1000 * int(cells[f"feedback.count.{place}"]), users)
