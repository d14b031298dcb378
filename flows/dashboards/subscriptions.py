"""Revenue that comes again: MRR, its movements, customers and the three kinds of churn."""

from __future__ import annotations

from collections.abc import Iterator

from flows.dashboards.panels import Query, Sized, course
from flows.dashboards.queries import A_WEEK, Numbers

GAINED = ("mrr.new", "mrr.expansion", "mrr.reactivated")
LOST = ("mrr.contraction", "mrr.churned")
MOVES = ("customers.new", "customers.churned", "customers.reactivated")
CUSTOMER_CHURN, MRR_CHURN, NET_MRR_CHURN = "customer_churn_rate", "mrr_churn_rate", "net_mrr_churn_rate"


def money(numbers: Numbers) -> Iterator[Sized]:
    """MRR now, by plan, and what moved it."""
    if "mrr" not in numbers:
        return
    unit = numbers.unit("mrr")
    yield course(
        "MRR",
        "Monthly recurring revenue, and at the same time last week.",
        unit,
        Query(numbers.ask("mrr"), "now"),
        Query(numbers.ask("mrr", offset=A_WEEK), "last week"),
        last_week=True,
        width=8,
    )
    yield course(
        "MRR movements",
        "What the chosen window gained, above zero, and lost, below.",
        unit,
        *(Query(numbers.ask(metric), _kind(metric)) for metric in GAINED),
        *(Query(f"-{numbers.ask(metric)}", _kind(metric)) for metric in LOST),
        stacked=True,
        bars=True,
        width=8,
    )
    yield course(
        "MRR by plan",
        "Monthly recurring revenue of each plan.",
        unit,
        Query(numbers.ask("mrr", split="plan"), "{{plan}}"),
        stacked=True,
        width=8,
    )


def churn(numbers: Numbers) -> Iterator[Sized]:
    """Customers lost, revenue lost, and who has said that they will go; of users see the row of the lifecycle."""
    if "mrr" not in numbers:
        return
    yield course(
        "Customers",
        "Customers who pay, and at the same time last week.",
        "short",
        Query(numbers.ask("customers.active"), "now"),
        Query(numbers.ask("customers.active", offset=A_WEEK), "last week"),
        last_week=True,
        width=8,
    )
    yield course(
        "Customers who came and went",
        "In the chosen window: first payment, no payment any more, and payment again; with cancellations requested, "
        "the early sign.",
        "short",
        Query(numbers.ask(*MOVES, by=("movement",)), "{{movement}}"),
        Query(numbers.ask("subscriptions.cancel_requested"), "cancellations requested"),
        width=8,
    )
    if CUSTOMER_CHURN in numbers:
        yield course(
            "Churn rates",
            "Of customers and of revenue, in the window; net of expansion and reactivation, which can be below zero.",
            "percentunit",
            Query(numbers.ask(CUSTOMER_CHURN), "customers"),
            Query(numbers.ask(MRR_CHURN), "MRR"),
            Query(numbers.ask(NET_MRR_CHURN), "MRR, net"),
            width=8,
        )


def _kind(metric: str) -> str:
    return metric.removeprefix("mrr.")
