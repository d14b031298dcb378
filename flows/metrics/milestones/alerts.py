"""Alerts of milestones: fewer users reach one, or they need longer."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts, MilestoneAlert, MilestoneTimeAlert
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    AnyShape,
    Estimated,
    Fall,
    Growth,
    MeanChanged,
    Series,
    ShareChanged,
    label_of,
    window_of,
)


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """MilestoneDrop, by the live (Kaplan-Meier) rate, and MilestoneSlow."""
    if thresholds.milestones is not None:
        yield _fewer(config, thresholds.milestones)
    if thresholds.milestone_time is not None:
        yield _slower(config, thresholds.milestone_time)


def _fewer(config: Config, limits: MilestoneAlert) -> ShareChanged:
    return ShareChanged(
        name="milestone",
        alert="MilestoneDrop",
        about="How many users reach a milestone, estimated (Kaplan-Meier) while they are under way.",
        share=Estimated(
            ratio=Series("milestone_ratio", {"kind": "live"}, by=("milestone",)),
            error=Series("milestone_standard_error", by=("milestone",)),
            whole=[_started(config, name) for name in config.milestones],
        ),
        change=Fall(drop=limits.drop, below=limits.below),
        least=limits.users,
        summary="Only {{ $value | humanizePercentage }} reach {{ $labels.milestone }} of {{ $labels.product }}",
        description="The live rate of {{ $labels.milestone }} is {{ $value | humanizePercentage }}.",
        severity=limits.severity,
    )


def _started(config: Config, name: str) -> Amount:
    window = label_of(window_of(config.windows, config.milestones[name].within))
    return Amount(
        "started",
        f"Users who started towards {name} within {window}.",
        Series("milestone_users", {"milestone": name, "state": "started", "window": window}),
        labels={"milestone": name},
    )


def _slower(config: Config, limits: MilestoneTimeAlert) -> MeanChanged:
    window = label_of(window_of(config.windows, limits.window))
    return MeanChanged(
        name="milestone_time",
        alert="MilestoneSlow",
        about=f"How long users who started within {window} needed for a milestone.",
        items=Amount(
            "reached",
            f"Of the users who started within {window}, those who have reached it.",
            Series("milestone_users", {"state": "reached", "window": window}, by=("milestone",)),
        ),
        mean=Series("milestone_time_mean_seconds", {"window": window}, by=("milestone",)),
        unit="seconds",
        change=Growth(rise=limits.rise, above=limits.above / 1000),
        variation=limits.variation,
        least=limits.users,
        summary="{{ $labels.milestone }} of {{ $labels.product }} takes {{ $value | humanizeDuration }}",
        description="Users who reach {{ $labels.milestone }} need {{ $value | humanizeDuration }} on average.",
        severity=limits.severity,
    )
