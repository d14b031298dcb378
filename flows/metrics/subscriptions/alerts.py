"""Alerts of subscriptions: customers who leave, and revenue that goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.config.alerts import Alerts, ChurnAlert, MrrAlert
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    AnyShape,
    CountRose,
    Series,
    ShareOf,
    StockFell,
    label_of,
    window_of,
)

CUSTOMERS: Final = Series("customers_active")


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """ChurnSpike and MRRDrop."""
    if thresholds.churn is not None:
        yield _churn(thresholds.churn, window_of(config.windows, thresholds.churn.window))
    if thresholds.mrr is not None:
        yield _revenue(thresholds.mrr, window_of(config.windows, thresholds.mrr.window))


def _churn(limits: ChurnAlert, window_ms: int) -> CountRose:
    window = label_of(window_ms)
    left, inside = (
        Series("window_customers", {"movement": movement, "window": window})
        for movement in ("churned", "churned_inside")
    )
    asked = Series("window_cancellations_requested", {"window": window})
    return CountRose(
        name="churn",
        alert="ChurnSpike",
        about=f"Of the customers of {window} ago, those who stopped paying (left); cancellations asked for (asked).",
        counts=[
            Amount("now", "Left.", left, inside, labels={"kind": "left"}),
            Amount("now", "Asked to.", asked, labels={"kind": "asked"}),
        ],
        window_ms=window_ms,
        factor=limits.factor,
        above=ShareOf(limits.share, CUSTOMERS),
        least=limits.cancellations,
        summary="{{ $value }} cancellations of {{ $labels.product }} ({{ $labels.kind }})",
        description=f"{{{{ $value }}}} within {window} (left: stopped paying; asked: asked for a cancellation).",
        severity=limits.severity,
        dashboard="tree",
    )


def _revenue(limits: MrrAlert, window_ms: int) -> StockFell:
    window = label_of(window_ms)

    def moved(*movements: str) -> Series:
        return Series("window_mrr_movement", {"window": window}, one_of=("movement", movements))

    return StockFell(
        name="mrr",
        alert="MRRDrop",
        about="Monthly recurring revenue, and what was lost of it, net of what was gained.",
        stock=Amount("now", "MRR.", Series("mrr")),
        lost=Amount(
            "net_loss",
            f"Lost within {window}.",
            moved("churned", "contraction"),
            moved("new", "expansion", "reactivated"),
        ),
        window_ms=window_ms,
        loss=limits.loss,
        static_loss=limits.static_loss,
        holders=CUSTOMERS,
        least=limits.customers,
        summary="{{ $labels.product }} has lost {{ $value | humanizePercentage }} of its MRR",
        description=f"Within {window} MRR fell by {{{{ $value | humanizePercentage }}}}, net of what was gained.",
        severity=limits.severity,
        dashboard="tree",
    )
