"""Alerts of orders: how many, what each brings, and revenue, which is both and can fall where neither has by enough."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts, OrderRefundsAlert, OrdersAlert, OrderValueAlert, RevenueAlert
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    AmountFell,
    AnyShape,
    CountFell,
    CountRose,
    Fall,
    MeanChanged,
    Series,
    label_of,
    window_of,
)


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """OrdersDrop, OrderValueDrop, RevenueDrop and OrderRefundsRise."""
    assert config.orders is not None
    if thresholds.orders is not None:
        yield _orders(thresholds.orders, window_of(config.windows, thresholds.orders.window))
    if thresholds.order_value is not None:
        window_ms = window_of(config.windows, thresholds.order_value.window)
        yield _value(thresholds.order_value, window_ms, config.orders.currency)
    if thresholds.revenue is not None:
        window_ms = window_of(config.windows, thresholds.revenue.window)
        yield _revenue(thresholds.revenue, window_ms, config.orders.currency)
    if thresholds.order_refunds is not None:
        yield _refunds(thresholds.order_refunds, window_of(config.windows, thresholds.order_refunds.window))


def _orders(limits: OrdersAlert, window_ms: int) -> CountFell:
    window = label_of(window_ms)
    return CountFell(
        name="orders",
        alert="OrdersDrop",
        about=f"Orders placed within {window}.",
        counts=[Amount("now", "How many.", Series("orders_completed", {"window": window}))],
        window_ms=window_ms,
        drop=limits.drop,
        below=limits.below,
        least=limits.orders,
        summary="Only {{ $value }} orders of {{ $labels.product }}",
        description=f"{{{{ $value }}}} orders were placed within {window}.",
        severity=limits.severity,
        dashboard="tree",
    )


def _value(limits: OrderValueAlert, window_ms: int, currency: str) -> MeanChanged:
    window = label_of(window_ms)
    return MeanChanged(
        name="order_value",
        alert="OrderValueDrop",
        about=f"What an order of the last {window} brings on average.",
        items=Amount("orders", "How many.", Series("orders_completed", {"window": window})),
        mean=Series("average_order_value", {"window": window}),
        unit=currency.lower(),
        change=Fall(limits.drop, limits.below),
        variation=limits.variation,
        least=limits.orders,
        summary=f"An order of {{{{ $labels.product }}}} brings {{{{ $value | humanize }}}} {currency}",
        description=f"On average within {window}: {{{{ $value | humanize }}}} {currency}.",
        severity=limits.severity,
        dashboard="tree",
    )


def _revenue(limits: RevenueAlert, window_ms: int, currency: str) -> AmountFell:
    window = label_of(window_ms)
    return AmountFell(
        name="revenue",
        alert="RevenueDrop",
        about=f"What the orders of the last {window} bring in sum.",
        items=Amount("orders", "How many.", Series("orders_completed", {"window": window})),
        amount=Amount(f"sum_{currency.lower()}", "What they bring.", Series("orders_revenue", {"window": window})),
        window_ms=window_ms,
        drop=limits.drop,
        below=limits.below,
        variation=limits.variation,
        least=limits.orders,
        summary=f"Orders of {{{{ $labels.product }}}} bring only {{{{ $value | humanize }}}} {currency}",
        description=f"Revenue within {window}: {{{{ $value | humanize }}}} {currency}.",
        severity=limits.severity,
        dashboard="tree",
    )


def _refunds(limits: OrderRefundsAlert, window_ms: int) -> CountRose:
    window = label_of(window_ms)
    return CountRose(
        name="order_refunds",
        alert="OrderRefundsRise",
        about=f"Refunds given within {window}.",
        counts=[Amount("now", "Given.", Series("orders_refunded", {"window": window}))],
        window_ms=window_ms,
        factor=limits.factor,
        above=limits.above,
        least=limits.refunds,
        summary="{{ $value }} refunds of {{ $labels.product }}",
        description=f"{{{{ $value }}}} were given within {window}.",
        severity=limits.severity,
        dashboard="tree",
    )
