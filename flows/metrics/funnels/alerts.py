"""Alerts of funnels: fewer attempts succeed."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import Amount, AnyShape, Estimated, Fall, Series, ShareChanged, label_of, window_of


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """ConversionDrop, by the live (Kaplan-Meier) conversion, which a surge of traffic hardly moves."""
    limits = thresholds.conversion
    if limits is None:
        return
    yield ShareChanged(
        name="conversion",
        alert="ConversionDrop",
        about="How many of those who enter a funnel get through it, estimated (Kaplan-Meier) while they are under way.",
        share=Estimated(
            ratio=Series("funnel_conversion_ratio", {"kind": "live"}, by=("funnel",)),
            error=Series("funnel_conversion_standard_error", by=("funnel",)),
            whole=[_entered(config, name) for name in config.funnels],
        ),
        change=Fall(drop=limits.drop, below=limits.below),
        least=limits.attempts,
        apart={
            name: (Fall(drop=own.drop, below=own.below), own.attempts)
            for name, own in ((name, limits.of(name)) for name in limits.funnels)
        },
        summary="Only {{ $value | humanizePercentage }} get through {{ $labels.funnel }} of {{ $labels.product }}",
        description="Live conversion of {{ $labels.funnel }} is {{ $value | humanizePercentage }}.",
        severity=limits.severity,
    )


def _entered(config: Config, name: str) -> Amount:
    funnel = config.funnels[name]
    window = label_of(window_of(config.windows, funnel.window))
    first = {"funnel": name, "step": funnel.step_names()[0], "window": window}
    return Amount(
        "entered", f"Attempts at {name} within {window}.", Series("funnel_attempts", first), labels={"funnel": name}
    )
