"""Alerts of support: more tickets than usual, more of them serious, longer until they are resolved."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    AnyShape,
    Counted,
    CountRose,
    Growth,
    MeanChanged,
    Rise,
    Series,
    ShareChanged,
    label_of,
    window_of,
)


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """TicketSurge, EscalationSpike and ResolutionSlow."""
    if (surge := thresholds.tickets) is not None:
        window_ms = window_of(config.windows, surge.window)
        window = label_of(window_ms)
        yield CountRose(
            name="tickets",
            alert="TicketSurge",
            about=f"Tickets created within {window}.",
            counts=[
                Amount("created", "How many.", Series("window_tickets", {"transition": "created", "window": window}))
            ],
            window_ms=window_ms,
            factor=surge.factor,
            above=surge.above,
            least=surge.tickets,
            summary="{{ $value }} tickets of {{ $labels.product }}",
            description=f"{{{{ $value }}}} tickets were created within {window}.",
            severity=surge.severity,
        )
    if (serious := thresholds.escalations) is not None:
        window_ms = window_of(config.windows, serious.window)
        window = label_of(window_ms)
        yield ShareChanged(
            name="escalations",
            alert="EscalationSpike",
            about=f"Tickets created within {window}, and those of them that have been escalated.",
            share=Counted(
                part=Amount("escalated", "Escalated.", Series("window_tickets_created_escalated", {"window": window})),
                whole=Amount(
                    "created", "Created.", Series("window_tickets", {"transition": "created", "window": window})
                ),
                window_ms=window_ms,
            ),
            change=Rise(points=serious.rise, above=serious.above),
            least=serious.tickets,
            summary="{{ $value | humanizePercentage }} of the tickets of {{ $labels.product }} are escalated",
            description=f"{{{{ $value | humanizePercentage }}}} of the tickets created within {window} are escalated.",
            severity=serious.severity,
        )
    if (slow := thresholds.resolution) is not None:
        window = label_of(window_of(config.windows, slow.window))
        yield MeanChanged(
            name="resolution",
            alert="ResolutionSlow",
            about=f"Tickets resolved within {window}, and how long that took from their creation.",
            items=Amount("resolved", "How many.", Series("window_tickets_timed", {"window": window})),
            mean=Series("resolution_mean_seconds", {"window": window}),
            unit="seconds",
            change=Growth(rise=slow.rise, above=slow.above / 1000),
            variation=slow.variation,
            least=slow.tickets,
            summary="Tickets of {{ $labels.product }} take {{ $value | humanizeDuration }} to resolve",
            description="From creation to resolution tickets take {{ $value | humanizeDuration }} on average.",
            severity=slow.severity,
        )
