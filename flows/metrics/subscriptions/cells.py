"""What is published of subscriptions, by name; what each number means is said at the head of the family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from flows.config.model import Config
from flows.config.model import Subscriptions as Section
from flows.metrics import economics
from flows.metrics.cells import SINCE_START, Metric, Window
from flows.metrics.formulas import (
    arpa,
    arr,
    customer_churn_rate,
    customer_growth_ratio,
    customer_retention_rate,
    gross_revenue_retention,
    mrr_churn_rate,
    mrr_difference,
    net_mrr_churn_rate,
    net_revenue_retention,
)
from flows.metrics.frameworks import Headings
from flows.metrics.rows import At, Block, Count, Formula

NEW, EXPANSION, CONTRACTION, CHURNED, REACTIVATED = range(5)
MOVEMENTS: Final = ("new", "expansion", "contraction", "churned", "reactivated")
COUNTED: Final = ("new", "churned", "reactivated", "churned_inside")
KINDS: Final = len(MOVEMENTS) + len(COUNTED)
"""Counters of movements by plan: the amounts, then the customers."""
CHURNED_INSIDE: Final = KINDS - 1
"""The last of these counters."""

PANEL: Final = "Subscriptions"
MINOR_UNITS: Final = "minor units"

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "subscriptions.active",
            "Subscriptions that are active or past due, at any price.",
            "subscriptions",
            PANEL,
            "subscriptions_active",
        ),
        Metric(
            "subscriptions.pending",
            "Subscriptions with a change that takes effect in the future.",
            "subscriptions",
            PANEL,
            "subscriptions_pending",
        ),
        Metric(
            "subscriptions.stale",
            "States ignored because a newer one is known, since the beginning.",
            "states",
            PANEL,
            "subscription_states_stale",
        ),
        Metric(
            "subscriptions.refused",
            "States refused because of the limit users_per_shard, since the beginning.",
            "states",
            PANEL,
            "subscription_states_refused",
        ),
        Metric("customers.active", "Customers with MRR above 0.", "customers", PANEL, "customers_active"),
        Metric("mrr", "Monthly recurring revenue.", MINOR_UNITS, PANEL, "mrr"),
        Metric("mrr.new", "MRR of customers who had never paid before.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric(
            "mrr.expansion", "MRR gained from customers who already paid.", MINOR_UNITS, PANEL, "window_mrr_movement"
        ),
        Metric("mrr.contraction", "MRR lost from customers who still pay.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("mrr.churned", "MRR of customers who stopped paying.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("mrr.reactivated", "MRR of customers who came back.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("customers.new", "Customers who paid for the first time.", "customers", PANEL, "window_customers"),
        Metric("customers.churned", "Customers who stopped paying.", "customers", PANEL, "window_customers"),
        Metric("customers.reactivated", "Customers who came back.", "customers", PANEL, "window_customers"),
        Metric(
            "customers.churned_inside",
            "Customers who came and stopped paying within the window, counted when they came.",
            "customers",
            PANEL,
            "window_customers",
        ),
        Metric(
            "customers.churned_after_move.<from>.<to>",
            "Customers who stopped paying at most `move_horizon` after going from one plan to another.",
            "customers",
            PANEL,
            "window_customers_churned_after_move",
        ),
        Metric("mrr.moved_in", "MRR moved into the plan by changes of plan.", MINOR_UNITS, PANEL, "window_mrr_moved"),
        Metric(
            "mrr.moved_out", "MRR moved out of the plan by changes of plan.", MINOR_UNITS, PANEL, "window_mrr_moved"
        ),
        Metric(
            "mrr.moved.<from>.<to>",
            "MRR moved from one plan to another.",
            MINOR_UNITS,
            PANEL,
            "window_mrr_moved_between",
        ),
        Metric(
            "subscriptions.cancel_requested",
            "Subscriptions whose cancellation was requested: the early sign of churn.",
            "subscriptions",
            PANEL,
            "window_cancellations_requested",
        ),
        Metric("arr", "Annual recurring revenue: 12 times MRR.", MINOR_UNITS, PANEL, "arr"),
        Metric("arpa", "MRR per active customer.", MINOR_UNITS, PANEL, "arpa"),
        Metric(
            "mrr.difference",
            "MRR minus the sum of all its movements; any value but 0 is a defect.",
            MINOR_UNITS,
            PANEL,
            "mrr_difference",
            always_zero=True,
        ),
        Metric(
            "customer_churn_rate",
            "Of the customers at the window's start, the share that stopped paying.",
            "ratio",
            PANEL,
            "customer_churn_ratio",
        ),
        Metric(
            "customer_retention_rate",
            "Of the customers at the window's start, the share that paid throughout.",
            "ratio",
            PANEL,
            "customer_retention_ratio",
        ),
        Metric(
            "customer_growth_ratio",
            "Customers now over customers at the window's start.",
            "ratio",
            PANEL,
            "customer_growth_ratio",
        ),
        Metric(
            "mrr_churn_rate",
            "MRR churned and contracted over MRR at the window's start; above 1 where more was lost than was there.",
            "ratio",
            PANEL,
            "mrr_churn_ratio",
        ),
        Metric(
            "net_mrr_churn_rate",
            "Net MRR churned (less expansion and reactivation) over MRR at the window's start; can be below 0.",
            "ratio",
            PANEL,
            "net_mrr_churn_ratio",
        ),
        Metric(
            "gross_revenue_retention",
            "1 minus MRR churned and contracted over MRR at the window's start; can be below 0.",
            "ratio",
            PANEL,
            "gross_revenue_retention_ratio",
        ),
        Metric(
            "net_revenue_retention",
            "MRR at the window's start, plus expansion, minus contraction and churn, over MRR at the window's start.",
            "ratio",
            PANEL,
            "net_revenue_retention_ratio",
        ),
    )
}

_MONEY: Final = Headings("revenue", None, why="HEART has no heading for money.")
_OF_PIPELINE: Final = Headings(None, None, why="It says whether the books can be believed, nothing of the product.")
FRAMEWORKS: Final[Mapping[str, Headings]] = {
    **dict.fromkeys(("ltv", "arpu.subscription"), economics.MONEY),
    **dict.fromkeys(("mrr", "arr", "arpa", "net_", "gross_revenue_retention", "subscriptions"), _MONEY),
    **dict.fromkeys(("subscriptions.stale", "subscriptions.refused", "mrr.difference"), _OF_PIPELINE),
    "customers": Headings("revenue", "retention"),
    "customers.new": Headings("revenue", "adoption"),
    "customer_growth_ratio": Headings("revenue", "adoption"),
    **dict.fromkeys(
        ("customers.churned", "customers.reactivated", "customer_", "subscriptions.cancel_requested"),
        Headings("retention", "retention"),
    ),
}


def metrics_in(section: Section) -> dict[str, Metric]:
    """The definitions by name, with money as Prometheus shows it: in major units of the reporting currency."""
    scale = 10.0**-section.decimals
    return {
        name: replace(metric, scale=scale, currency=section.currency) if metric.unit == MINOR_UNITS else metric
        for name, metric in METRICS.items()
    }


def blocks_of(config: Config, section: Section) -> list[Block]:
    """The vector of a shard, as `Subscriptions.read()` gives it."""
    metrics = metrics_in(section)
    money = {"currency": section.currency}
    by_plan = [Count(metrics["customers.active"]), Count(metrics["mrr"], labels=money)]
    return [
        Block([Count(metrics[f"subscriptions.{what}"]) for what in ("active", "pending", "stale", "refused")]),
        Block(by_plan, groups=_groups(section)),
        *(block for period in (*config.windows, SINCE_START) for block in _movements(section, metrics, period)),
    ]


def _groups(section: Section) -> list[dict[str, str]]:
    return [{}, *({"plan": plan} for plan in section.labels())]


def _movements(section: Section, metrics: dict[str, Metric], period: Window) -> Iterator[Block]:
    """One window, in the order of its counters."""
    amounts = [Count(metrics[f"mrr.{movement}"], labels={"movement": movement}) for movement in MOVEMENTS]
    customers = [Count(metrics[f"customers.{movement}"], labels={"movement": movement}) for movement in COUNTED]
    yield Block([*amounts, *customers], [period], _groups(section))
    for way in ("in", "out"):
        yield Block([Count(metrics[f"mrr.moved_{way}"], labels={"way": way})], [period], _groups(section)[1:])
    requested = Count(metrics["subscriptions.cancel_requested"])
    moved = [
        Count(metrics["mrr.moved.<from>.<to>"], f"mrr.moved.{one}.{other}", {"from": one, "to": other})
        for one, other in section.pairs()
    ]
    lost = [
        Count(
            metrics["customers.churned_after_move.<from>.<to>"],
            f"customers.churned_after_move.{one}.{other}",
            {"from": one, "to": other},
        )
        for one, other in section.pairs()
    ]
    yield Block([requested, *moved, *lost], [period])


def formulas_of(config: Config, section: Section) -> list[Formula]:
    """Numbers derived from sums over shards."""
    metrics = metrics_in(section)
    money = {"currency": section.currency}
    amounts = [f"mrr.{movement}" for movement in MOVEMENTS]
    customers = [f"customers.{movement}" for movement in COUNTED]
    booked = [At(amount, SINCE_START) for amount in amounts]
    moved = [At(f"mrr.moved_{way}", SINCE_START) for way in ("in", "out")]
    difference = metrics["mrr.difference"]

    def of_everybody(name: str, of: list[str], compute: Callable[..., float | None]) -> Formula:
        return Formula(metrics[name], of, compute, windows=config.windows, total_only=True)

    return [
        Formula(metrics["arr"], ("mrr",), arr, labels=money),
        Formula(metrics["arpa"], ("mrr", "customers.active"), arpa, labels=money),
        Formula(difference, ("mrr", *booked), mrr_difference, total_only=True),
        Formula(difference, ("mrr", *booked, *moved), mrr_difference),
        of_everybody("customer_churn_rate", ["customers.active", *customers], customer_churn_rate),
        of_everybody("customer_retention_rate", ["customers.active", *customers], customer_retention_rate),
        of_everybody("customer_growth_ratio", ["customers.active", *customers], customer_growth_ratio),
        of_everybody("mrr_churn_rate", ["mrr", *amounts], mrr_churn_rate),
        of_everybody("net_mrr_churn_rate", ["mrr", *amounts], net_mrr_churn_rate),
        of_everybody("gross_revenue_retention", ["mrr", *amounts], gross_revenue_retention),
        of_everybody("net_revenue_retention", ["mrr", *amounts], net_revenue_retention),
        *economics.of_subscriptions(config),
    ]
