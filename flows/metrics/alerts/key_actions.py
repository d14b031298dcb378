"""Alerts of key actions: something that visitors should do is hardly done any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from flows.config.alerts import Alerts
from flows.config.model import Config, slug
from flows.metrics.alerts.shapes import Amount, AnyShape, CountFell, Series, label_of, window_of

SIGNED_UP: Final = "signed_up"


def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """KeyActionDrop, one series for each event."""
    limits = thresholds.key_actions
    if limits is None or not (events := _watched(config, limits.events)):
        return
    window_ms = window_of(config.windows, limits.window)
    window = label_of(window_ms)
    yield CountFell(
        name="key_actions",
        alert="KeyActionDrop",
        about=f"What visitors should do, within {window}.",
        counts=[
            Amount(
                "now",
                f"How often {event} came.",
                Series("window_events", {"event": event, "window": window}),
                labels={"what": event},
            )
            for event in events
        ],
        window_ms=window_ms,
        drop=limits.drop,
        below=limits.below,
        least=limits.count,
        summary="Only {{ $value }} times {{ $labels.what }} of {{ $labels.product }}",
        description=f"It came {{{{ $value }}}} times within {window}.",
        severity=limits.severity,
    )


def _watched(config: Config, listed: Sequence[str] | None) -> list[str]:
    """Slugs of the events listed, else of all key actions, and of sign-ups where they are counted by name."""
    if listed is not None:
        return sorted({slug(name) for name in listed})
    signed_up = {SIGNED_UP} & set(config.vocabulary())
    return sorted({slug(name) for action in config.key_actions for name in action.event} | signed_up)
