"""What is published of orders, by name; what each number means is said at the head of the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from flows.config.orders import Orders as Section
from flows.metrics import economics
from flows.metrics.cells import Metric
from flows.metrics.formulas import difference, ratio
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Count, Formula

PANEL: Final = "Orders"
MINOR_UNITS: Final = "minor units"

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("orders.customers", "Users who have ever ordered.", "users", PANEL, "orders_customers"),
        Metric(
            "orders.customers_active",
            "Users whose latest order is at most lapse_after ago.",
            "users",
            PANEL,
            "orders_customers_active",
        ),
        Metric("orders.completed", "Orders placed.", "orders", PANEL, "orders_completed"),
        Metric("orders.revenue", "What the orders bring, before refunds.", MINOR_UNITS, PANEL, "orders_revenue"),
        Metric("orders.first", "First orders ever of their users.", "orders", PANEL, "orders_first"),
        Metric("orders.repeat", "Orders of users who had ordered before.", "orders", PANEL, "orders_repeat"),
        Metric("orders.buyers", "Users whose latest order is in the window.", "users", PANEL, "orders_buyers"),
        Metric("orders.lapsed", "Users who passed lapse_after without an order.", "users", PANEL, "orders_lapsed"),
        Metric("orders.refunded", "Refunds given.", "refunds", PANEL, "orders_refunded"),
        Metric("orders.refund_amount", "Money given back.", MINOR_UNITS, PANEL, "orders_refund_amount"),
        Metric("orders.cancelled", "Orders called off.", "orders", PANEL, "orders_cancelled"),
        Metric("average_order_value", "Revenue per order.", MINOR_UNITS, PANEL, "average_order_value"),
        Metric("purchase_frequency", "Orders per buyer.", "orders", PANEL, "purchase_frequency"),
        Metric("arpu.orders", "Revenue of orders per active user.", MINOR_UNITS, PANEL, "arpu_orders"),
        Metric("arppu", "Revenue per buyer.", MINOR_UNITS, PANEL, "arppu"),
        Metric("net_revenue", "Revenue minus refunds; can be below 0.", MINOR_UNITS, PANEL, "net_revenue"),
        Metric("refund_rate", "Refunds over orders.", "ratio", PANEL, "refund_ratio"),
        Metric("buyer_rate", "Buyers over visitors.", "ratio", PANEL, "buyer_ratio"),
        Metric("repeat_share", "Orders of users who had ordered before, over all.", "ratio", PANEL, "repeat_ratio"),
    )
}

MONEY: Final = Headings("revenue", None, why="HEART has no heading for money.")
FRAMEWORKS: Final[Mapping[str, Headings]] = {
    "ltv": economics.MONEY,
    **dict.fromkeys(("orders", "average_order_value", "arpu.orders", "arppu", "net_revenue", "refund_rate"), MONEY),
    "buyer_rate": Headings("revenue", "task success"),
    **dict.fromkeys(("orders.first", "orders.customers", "orders.buyers"), Headings("revenue", "adoption")),
    **dict.fromkeys(
        ("orders.repeat", "repeat_share", "orders.lapsed", "orders.customers_active", "purchase_frequency"),
        Headings("retention", "retention"),
    ),
}
ORDERS: Final = ("orders.completed", "orders.revenue", "orders.first", "orders.repeat", "orders.buyers")
"""In the order of the loop's counters."""


def metrics_in(section: Section) -> dict[str, Metric]:
    """The definitions by name, with money as Prometheus shows it: in major units of the section's currency."""
    scale = 10.0**-section.decimals
    return {
        name: replace(metric, scale=scale, currency=section.currency) if metric.unit == MINOR_UNITS else metric
        for name, metric in METRICS.items()
    }


def counts(section: Section, *names: str) -> list[Count]:
    """Rows of these names."""
    metrics = metrics_in(section)
    return [Count(metrics[name], labels=_labels(metrics[name])) for name in names]


def _labels(metric: Metric) -> dict[str, str]:
    return {"currency": metric.currency} if metric.currency else {}


def formulas_of(section: Section) -> list[Formula]:
    """Numbers derived from sums over shards, for every period that their operands have."""
    metrics = metrics_in(section)
    return [
        Formula(metrics[name], of, compute, labels=_labels(metrics[name]))
        for name, of, compute in (
            ("average_order_value", ("orders.revenue", "orders.completed"), ratio),
            ("purchase_frequency", ("orders.completed", "orders.buyers"), ratio),
            ("arpu.orders", ("orders.revenue", "active_users"), ratio),
            ("arppu", ("orders.revenue", "orders.buyers"), ratio),
            ("net_revenue", ("orders.revenue", "orders.refund_amount"), difference),
            ("refund_rate", ("orders.refunded", "orders.completed"), ratio),
            ("buyer_rate", ("orders.buyers", "visitors"), ratio),
            ("repeat_share", ("orders.repeat", "orders.completed"), ratio),
        )
    ]
