"""Alerts of active users: fewer than usual."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts.shapes import Amount, AnyShape, CountFell, Series, label_of, window_of


def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """ActiveUsersDrop."""
    limits = thresholds.active_users
    if limits is None:
        return
    window_ms = window_of(config.windows, limits.window)
    window = label_of(window_ms)
    series = Series("active_users", {"window": window})
    yield CountFell(
        name="active_users",
        alert="ActiveUsersDrop",
        about=f"Users active within {window}.",
        counts=[Amount("now", "How many.", series, labels={"what": "active_users"})],
        window_ms=window_ms,
        drop=limits.drop,
        below=limits.below,
        least=limits.users,
        summary="Only {{ $value }} active users of {{ $labels.product }}",
        description=f"{{{{ $value }}}} users were active within {window}.",
        severity=limits.severity,
    )
