"""What is published of subscriptions, by name; what each number means is said at the head of the family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from flows.config.model import Config, format_duration
from flows.config.model import Subscriptions as Section
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.family import cell_name
from flows.metrics.formulas import (
    arpa,
    arr,
    customer_churn_rate,
    mrr_churn_rate,
    mrr_difference,
    net_mrr_churn_rate,
)

NEW, EXPANSION, CONTRACTION, CHURNED, REACTIVATED = range(5)
MOVEMENTS: Final = ("new", "expansion", "contraction", "churned", "reactivated")
COUNTED: Final = ("new", "churned", "reactivated")
KINDS: Final = len(MOVEMENTS) + len(COUNTED)
"""Counters of movements by plan: the amounts, then the customers."""

PANEL: Final = "Subscriptions"
MINOR_UNITS: Final = "minor units"

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "subscriptions.active",
            "Subscriptions that are active or past due, whatever they pay.",
            "subscriptions",
            PANEL,
            "subscriptions_active",
        ),
        Metric(
            "subscriptions.pending",
            "Subscriptions with a change that is still ahead.",
            "subscriptions",
            PANEL,
            "subscriptions_pending",
        ),
        Metric(
            "subscriptions.stale",
            "States older than the one known, since the beginning: they change nothing.",
            "states",
            PANEL,
            "subscription_states_stale",
        ),
        Metric(
            "subscriptions.refused",
            "States of subscriptions beyond the limit users_per_shard, since the beginning.",
            "states",
            PANEL,
            "subscription_states_refused",
        ),
        Metric("customers.active", "Customers with MRR above 0.", "customers", PANEL, "customers_active"),
        Metric("mrr", "Monthly recurring revenue.", MINOR_UNITS, PANEL, "mrr"),
        Metric("mrr.new", "MRR of customers who had never paid before.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric(
            "mrr.expansion", "MRR gained from customers who paid already.", MINOR_UNITS, PANEL, "window_mrr_movement"
        ),
        Metric(
            "mrr.contraction", "MRR lost from customers who go on paying.", MINOR_UNITS, PANEL, "window_mrr_movement"
        ),
        Metric("mrr.churned", "MRR of customers who stopped paying.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("mrr.reactivated", "MRR of customers who came back.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("customers.new", "Customers who pay for the first time.", "customers", PANEL, "window_customers"),
        Metric("customers.churned", "Customers who stopped paying.", "customers", PANEL, "window_customers"),
        Metric("customers.reactivated", "Customers who pay again.", "customers", PANEL, "window_customers"),
        Metric("mrr.moved_in", "MRR moved into the plan by changes of plan.", MINOR_UNITS, PANEL, "window_mrr_moved"),
        Metric(
            "mrr.moved_out", "MRR moved out of the plan by changes of plan.", MINOR_UNITS, PANEL, "window_mrr_moved"
        ),
        Metric("mrr.moved", "MRR moved from one plan to another.", MINOR_UNITS, PANEL, "window_mrr_moved_between"),
        Metric(
            "subscriptions.cancel_requested",
            "Subscriptions whose cancellation was requested: the early sign of churn.",
            "subscriptions",
            PANEL,
            "window_cancellations_requested",
        ),
        Metric("arr", "Annual recurring revenue, 12 MRR.", MINOR_UNITS, PANEL, "arr"),
        Metric("arpa", "MRR per active customer.", MINOR_UNITS, PANEL, "arpa"),
        Metric(
            "mrr.difference",
            "MRR less the sum of all its movements: anything but 0 is a defect.",
            MINOR_UNITS,
            PANEL,
            "mrr_difference",
        ),
        Metric(
            "customer_churn_rate",
            "Customers who stopped paying over customers at the window's start.",
            "ratio",
            PANEL,
            "customer_churn_ratio",
        ),
        Metric(
            "mrr_churn_rate",
            "MRR churned and contracted over MRR at the window's start.",
            "ratio",
            PANEL,
            "mrr_churn_ratio",
        ),
        Metric(
            "net_mrr_churn_rate",
            "The same less expansion and reactivation; below 0 the customers of before pay more than then.",
            "ratio",
            PANEL,
            "net_mrr_churn_ratio",
        ),
    )
}


def metrics_in(section: Section) -> dict[str, Metric]:
    """The definitions by name, with money as Prometheus shows it: in major units of the reporting currency."""
    scale = 10.0**-section.decimals
    return {
        name: replace(metric, scale=scale) if metric.unit == MINOR_UNITS else metric for name, metric in METRICS.items()
    }


def cells_of(config: Config, section: Section) -> list[Cell]:
    """Those of a shard, in the order of `Subscriptions.read()`."""
    metrics = metrics_in(section)
    money = {"currency": section.currency}
    return [
        Cell("subscriptions.active", metrics["subscriptions.active"]),
        Cell("subscriptions.pending", metrics["subscriptions.pending"]),
        Cell("subscriptions.stale", metrics["subscriptions.stale"]),
        Cell("subscriptions.refused", metrics["subscriptions.refused"]),
        *(
            cell
            for plan in _groups(section)
            for cell in (
                Cell(cell_name("customers.active", group=plan), metrics["customers.active"], plan),
                Cell(cell_name("mrr", group=plan), metrics["mrr"], money | plan),
            )
        ),
        *(cell for window in _periods(config) for cell in _movements(section, metrics, window)),
    ]


def _groups(section: Section) -> list[dict[str, str]]:
    return [{}, *({"plan": plan} for plan in section.labels())]


def _periods(config: Config) -> list[str]:
    return [*(format_duration(window) for window in config.windows), "total"]


def _movements(section: Section, metrics: dict[str, Metric], window: str) -> Iterator[Cell]:
    """The cells of one window, in the order of its counters."""
    period = {"window": window}
    for plan in _groups(section):
        for movement in MOVEMENTS:
            name = cell_name(f"mrr.{movement}.{window}", group=plan)
            yield Cell(name, metrics[f"mrr.{movement}"], {"movement": movement} | period | plan)
        for movement in COUNTED:
            name = cell_name(f"customers.{movement}.{window}", group=plan)
            yield Cell(name, metrics[f"customers.{movement}"], {"movement": movement} | period | plan)
    for way in ("in", "out"):
        for plan in _groups(section)[1:]:
            name = cell_name(f"mrr.moved_{way}.{window}", group=plan)
            yield Cell(name, metrics[f"mrr.moved_{way}"], {"way": way} | period | plan)
    yield Cell(f"subscriptions.cancel_requested.{window}", metrics["subscriptions.cancel_requested"], period)
    for one, other in section.pairs():
        yield Cell(f"mrr.moved.{one}.{other}.{window}", metrics["mrr.moved"], {"from": one, "to": other} | period)


def derived_of(config: Config, section: Section) -> list[Derived]:
    """Those of sums over shards."""
    metrics = metrics_in(section)
    money = {"currency": section.currency}
    found = []
    for plan in _groups(section):
        mrr, active = cell_name("mrr", group=plan), cell_name("customers.active", group=plan)
        totals = [cell_name(f"mrr.{movement}.total", group=plan) for movement in MOVEMENTS]
        moved = [cell_name(f"mrr.moved_{way}.total", group=plan) for way in ("in", "out") if plan]
        found += [
            Derived(cell_name("arr", group=plan), metrics["arr"], (mrr,), arr, money | plan),
            Derived(cell_name("arpa", group=plan), metrics["arpa"], (mrr, active), arpa, money | plan),
            Derived(
                cell_name("mrr.difference", group=plan),
                metrics["mrr.difference"],
                (mrr, *totals, *moved),
                mrr_difference,
                plan,
            ),
        ]
    for window in map(format_duration, config.ratio_windows):
        period = {"window": window}
        amounts = [f"mrr.{movement}.{window}" for movement in MOVEMENTS]
        counts = [f"customers.{movement}.{window}" for movement in COUNTED]
        found += [
            Derived(
                f"customer_churn_rate.{window}",
                metrics["customer_churn_rate"],
                ("customers.active", *counts),
                customer_churn_rate,
                period,
            ),
            Derived(f"mrr_churn_rate.{window}", metrics["mrr_churn_rate"], ("mrr", *amounts), mrr_churn_rate, period),
            Derived(
                f"net_mrr_churn_rate.{window}",
                metrics["net_mrr_churn_rate"],
                ("mrr", *amounts),
                net_mrr_churn_rate,
                period,
            ),
        ]
    return found
