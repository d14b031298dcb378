"""What a customer is worth, where the config has `economics` or `spend` (METRICS.md 5.9).

No family of its own: nothing is counted for it. The families of orders and subscriptions publish lifetime values
(LTV) of their own numbers, that of spending compares them with what a customer costs (CAC). `flows/ECONOMICS.md` has a
worked month, and says why two of the seeds' formulas are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from flows.config.model import Config
from flows.config.money import MINOR_DIGITS
from flows.metrics.cells import SINCE_START, Metric
from flows.metrics.formulas import ltv_observed, ltv_of_orders, ltv_of_subscription, ratio
from flows.metrics.frameworks import Headings
from flows.metrics.rows import At, Formula

PANEL: Final = "Economics"
MINOR_UNITS: Final = "minor units"
MONTH_MS: Final = 30 * 86_400_000
"""The window of rates and averages that a lifetime value is made of."""
MONEY: Final = Headings("revenue", None, why="HEART has no heading for money.")

ARPU: Final = Metric(
    "arpu.subscription", "MRR per user active in the last 30 days.", MINOR_UNITS, "Subscriptions", "arpu_subscription"
)
LTV: Final[Mapping[str, Metric]] = {
    "subscription": Metric(
        "ltv.subscription",
        "Lifetime value of a paying customer: ARPA x margin / customer churn rate of 30 days.",
        MINOR_UNITS,
        PANEL,
        "ltv",
    ),
    "orders": Metric(
        "ltv.orders",
        "Lifetime value of an ordering customer: order value x orders per active customer in 30 days x margin x "
        "lifespan.",
        MINOR_UNITS,
        PANEL,
        "ltv",
    ),
    "observed": Metric(
        "ltv.observed",
        "What each customer who ever ordered has brought so far: revenue minus refunds, without a margin.",
        MINOR_UNITS,
        PANEL,
        "ltv",
    ),
}


class Worth(NamedTuple):
    """How one kind of lifetime value is computed."""

    kind: str
    currency: str
    of: Sequence[str | At]
    compute: Callable[..., float | None]

    def formula(self) -> Formula:
        """Its number."""
        metric = in_currency(LTV[self.kind], self.currency)
        labels = {"kind": self.kind, "currency": self.currency}
        return Formula(metric, self.of, self.compute, labels=labels, total_only=True)


def in_currency(metric: Metric, currency: str) -> Metric:
    """The definition, with money as Prometheus shows it: in major units."""
    if metric.unit != MINOR_UNITS:
        return metric
    return replace(metric, scale=10.0 ** -MINOR_DIGITS.get(currency, 2), currency=currency)


def margin_of(config: Config) -> float:
    """The share of revenue that is left after the cost of what is sold."""
    return config.economics.margin if config.economics else 1


def worths(config: Config) -> Iterator[Worth]:
    """Every kind of lifetime value that the config measures."""
    if config.economics is None and config.spend is None:
        return
    margin = margin_of(config)
    if config.subscriptions is not None:
        counted = [At(f"customers.{what}", MONTH_MS) for what in ("new", "churned", "reactivated", "churned_inside")]
        paying: list[str | At] = ["mrr", "customers.active", *counted]
        yield Worth("subscription", config.subscriptions.currency, paying, partial(ltv_of_subscription, margin))
    if config.orders is not None:
        currency = config.orders.currency
        lifespan = config.economics.lifespan if config.economics else None
        months = None if lifespan is None else lifespan / MONTH_MS
        bought = [At(f"orders.{what}", MONTH_MS) for what in ("revenue", "completed")]
        changed = [At(f"orders.{what}", MONTH_MS) for what in ("first", "resumed", "lapsed")]
        ordering: list[str | At] = [*bought, "orders.customers_active", *changed]
        yield Worth("orders", currency, ordering, partial(ltv_of_orders, margin, months))
        brought = [At(f"orders.{what}", SINCE_START) for what in ("revenue", "refund_amount")]
        yield Worth("observed", currency, [*brought, "orders.customers"], ltv_observed)


def of_orders(config: Config) -> list[Formula]:
    """Lifetime values of who orders."""
    return [worth.formula() for worth in worths(config) if worth.kind != "subscription"]


def of_subscriptions(config: Config) -> list[Formula]:
    """Revenue per user, and the lifetime value of who pays."""
    assert config.subscriptions is not None
    currency = config.subscriptions.currency
    arpu = Formula(
        in_currency(ARPU, currency),
        ("mrr", At("active_users", MONTH_MS)),
        ratio,
        labels={"currency": currency},
        total_only=True,
    )
    return [arpu, *(worth.formula() for worth in worths(config) if worth.kind == "subscription")]
