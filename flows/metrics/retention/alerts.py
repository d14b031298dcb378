"""The alert of retention: fewer of those who started come back."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import Amount, AnyShape, Counted, Fall, Series, ShareChanged, label_of, window_of


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """RetentionDrop, of the first of the days: it is known soonest."""
    limits = thresholds.retention
    if limits is None or config.retention is None or not config.long_windows:
        return
    day = config.retention.days[0]
    window_ms = window_of(config.long_windows, limits.window)
    window = label_of(window_ms)

    def users(state: str) -> Series:
        return Series("retention_users", {"day": str(day), "state": state, "window": window})

    yield ShareChanged(
        name="retention",
        alert="RetentionDrop",
        about=f"How many of the users who started within {window} returned on day {day}.",
        share=Counted(
            part=Amount("returned", f"Those who returned on day {day}.", users("returned")),
            whole=Amount("cohort", f"Users who started within {window} and whose day {day} is over.", users("cohort")),
            window_ms=window_ms,
        ),
        change=Fall(drop=limits.drop, below=limits.below),
        least=limits.users,
        summary=f"Only {{{{ $value | humanizePercentage }}}} return to {{{{ $labels.product }}}} on day {day}",
        description=f"{{{{ $value | humanizePercentage }}}} of the users of {window} returned on day {day}.",
        severity=limits.severity,
    )
