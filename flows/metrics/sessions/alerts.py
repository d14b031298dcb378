"""Alerts of sessions: visitors leave at once, or those who stay leave soon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.config.alerts import Alerts, BounceAlert, SessionDurationAlert
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    AnyShape,
    Counted,
    Fall,
    MeanChanged,
    Rise,
    Series,
    ShareChanged,
    label_of,
    window_of,
)

SETTLING_MS: Final = 600_000
"""The provisional bounce rate is over sessions begun within ten minutes (METRICS.md)."""


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """BounceSpike and SessionDurationCollapse."""
    if thresholds.bounce is not None:
        yield _bounce(thresholds.bounce)
    stay = thresholds.session_duration
    if stay is not None and config.ratio_windows:
        yield _duration(stay, label_of(window_of(config.ratio_windows, stay.window)))


def _bounce(limits: BounceAlert) -> ShareChanged:
    settling = Series("sessions_settling")
    return ShareChanged(
        name="bounce",
        alert="BounceSpike",
        about="Sessions begun 5 to 15 minutes ago, and those of them that are not engaged yet.",
        share=Counted(
            part=Amount("bounced", "Those that have bounced so far.", settling, Series("sessions_settling_engaged")),
            whole=Amount("sessions", "Sessions to judge by.", settling),
            window_ms=SETTLING_MS,
        ),
        change=Rise(points=limits.rise, above=limits.above),
        least=limits.sessions,
        summary="{{ $value | humanizePercentage }} of the visitors of {{ $labels.product }} leave at once",
        description="{{ $value | humanizePercentage }} of the sessions begun 5 to 15 minutes ago are not engaged.",
        severity=limits.severity,
    )


def _duration(limits: SessionDurationAlert, window: str) -> MeanChanged:
    closed = Series("window_sessions", {"state": "closed", "window": window})
    bounced = Series("window_sessions", {"state": "bounced", "window": window})
    return MeanChanged(
        name="stayed",
        alert="SessionDurationCollapse",
        about=f"""
            Sessions that closed within {window} and did not bounce: those of visitors who stayed. Bounced sessions last
            next to nothing, so all time is that of the others.""",
        items=Amount("sessions", "How many.", closed, bounced),
        mean=Series("session_duration_mean_seconds", {"window": window}),
        over=closed,
        unit="seconds",
        change=Fall(drop=limits.drop, below=limits.below / 1000),
        variation=limits.variation,
        least=limits.sessions,
        summary="Visitors of {{ $labels.product }} who stay leave after {{ $value | humanizeDuration }}",
        description="Sessions that did not bounce last {{ $value | humanizeDuration }} on average.",
        severity=limits.severity,
    )
