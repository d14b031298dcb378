"""How subscriptions are drawn: MRR, its movements, customers and the three kinds of churn."""

from __future__ import annotations

from flows.metrics.charts import ChartRow, Course, Line, Number

HEADLINES = [
    Number("mrr", "MRR", "Monthly recurring revenue.", good="up"),
    Number("customers.churned", "Customers lost", "Customers who stopped paying in the window.", good="down"),
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
            "MRR gained and lost",
            "What the window gained (green) and lost (red). MRR has changed by the difference.",
            [
                *(Line(f"mrr.{gained}", gained) for gained in ("new", "expansion", "reactivated")),
                *(Line(f"mrr.{lost}", lost, below_zero=True) for lost in ("contraction", "churned")),
            ],
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
            "Customers who pay",
            "Customers with a subscription that they pay for, and at the same time last week.",
            [Line("customers.active")],
            last_week=True,
            width=8,
        ),
        Course(
            "Customers who came and went",
            "In the chosen window: first payment, no payment any more, and payment again; of those lost, the ones who "
            "had come inside it. Cancellations requested are the early sign.",
            [
                Line(("customers.new", "customers.churned", "customers.reactivated"), "{{movement}}", by=("movement",)),
                Line("customers.churned_inside", "came and went"),
                Line("subscriptions.cancel_requested", "cancellations requested"),
            ],
            width=8,
        ),
        Course(
            "Churn rates",
            "Of the customers and the revenue at the window's start, what was lost; net of expansion and reactivation, "
            "which can be below zero.",
            [
                Line("customer_churn_rate", "customers"),
                Line("mrr_churn_rate", "MRR"),
                Line("net_mrr_churn_rate", "MRR, net"),
            ],
            width=8,
        ),
        Course(
            "Retention of customers and revenue",
            "Of the customers and the revenue at the window's start, what stayed. Net adds expansion: above 100 %, "
            "those who stayed pay more than was lost.",
            [
                Line("customer_retention_rate", "customers"),
                Line("gross_revenue_retention", "MRR, gross"),
                Line("net_revenue_retention", "MRR, net"),
            ],
            width=8,
        ),
        Course(
            "Customers lost after a change of plan",
            "Customers who stopped paying at most `move_horizon` after they had changed their plan.",
            [Line("customers.churned_after_move.<from>.<to>", "{{from}} to {{to}}", by=("from", "to"))],
            width=8,
        ),
        Course(
            "Customers, of those at the start",
            "Customers now over customers at the window's start: 110 % is one more for every ten.",
            [Line("customer_growth_ratio")],
            width=8,
        ),
    ],
)
PIPELINE_CHARTS = ChartRow(
    "Subscription states",
    [
        Course(
            "MRR difference",
            "MRR minus the sum of all its movements; any value but 0 is a defect.",
            [Line("mrr.difference")],
            width=8,
        ),
        Course(
            "States ignored or refused",
            "Since the beginning: ignored because a newer one is known, and refused because of `users_per_shard`.",
            [Line("subscriptions.stale", "older than known"), Line("subscriptions.refused", "refused")],
            width=8,
        ),
        Course(
            "Changes that are still to come",
            "Subscriptions with a change that takes effect in the future.",
            [Line("subscriptions.pending")],
            width=8,
        ),
    ],
    page="pipeline",
)
