"""How subscriptions are drawn: MRR, its movements, customers and the three kinds of churn."""

from __future__ import annotations

from flows.metrics.charts import ChartRow, Course, Line, Number

HEADLINES = [
    Number("mrr", "MRR", "Monthly recurring revenue."),
    Number("customers.churned", "Customers lost", "Customers who stopped paying in the window."),
]
CHARTS = ChartRow(
    "Subscriptions",
    [
        Course(
            "MRR",
            "Monthly recurring revenue, and at the same time last week.",
            [Line("mrr")],
            last_week=True,
            width=8,
        ),
        Course(
            "MRR movements",
            "What the chosen window gained, above zero, and lost, below.",
            [
                *(Line(f"mrr.{gained}", gained) for gained in ("new", "expansion", "reactivated")),
                *(Line(f"mrr.{lost}", lost, below_zero=True) for lost in ("contraction", "churned")),
            ],
            stacked=True,
            bars=True,
            width=8,
        ),
        Course(
            "MRR by plan",
            "Monthly recurring revenue of each plan.",
            [Line("mrr", "{{plan}}", split="plan")],
            stacked=True,
            width=8,
        ),
        Course(
            "Customers",
            "Customers who pay, and at the same time last week.",
            [Line("customers.active")],
            last_week=True,
            width=8,
        ),
        Course(
            "Customers who came and went",
            "In the chosen window: first payment, no payment any more, and payment again. Cancellations requested are "
            "the early sign.",
            [
                Line(("customers.new", "customers.churned", "customers.reactivated"), "{{movement}}", by=("movement",)),
                Line("subscriptions.cancel_requested", "cancellations requested"),
            ],
            width=8,
        ),
        Course(
            "Churn rates",
            "Of customers and of revenue, in the window; net of expansion and reactivation, which can be below zero.",
            [
                Line("customer_churn_rate", "customers"),
                Line("mrr_churn_rate", "MRR"),
                Line("net_mrr_churn_rate", "MRR, net"),
            ],
            width=8,
        ),
    ],
)
