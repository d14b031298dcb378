"""The alert of spending: a new customer costs more."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import Amount, AnyShape, Growth, MeanChanged, Series, label_of, window_of


def alerts_of(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
    """CacRise, where new customers are measured."""
    limits = thresholds.cac
    if limits is None or config.new_customers is None or not config.long_windows:
        return
    window_ms = window_of(config.long_windows, limits.window)
    window = {"window": label_of(window_ms)}
    currency = config.spend_currency
    new = {
        "subscriptions": Series("window_customers", {"movement": "new", **window}),
        "orders": Series("orders_first", window),
    }
    yield MeanChanged(
        name="cac",
        alert="CacRise",
        about=f"What a new customer of the last {label_of(window_ms)} has cost.",
        items=Amount("customers", "How many are new.", new[config.new_customers]),
        mean=Series("cac", window),
        unit=currency.lower(),
        change=Growth(limits.rise, limits.above),
        variation=limits.variation,
        least=limits.customers,
        summary=f"A new customer of {{{{ $labels.product }}}} costs {{{{ $value | humanize }}}} {currency}",
        description=f"Marketing and sales per new customer of the last {label_of(window_ms)}: "
        f"{{{{ $value | humanize }}}} {currency}.",
        severity=limits.severity,
    )
