"""How spending is drawn: what goes out, what a customer costs, and what one is worth."""

from __future__ import annotations

from flows.config.model import Config, format_duration
from flows.config.spend import CHANNEL
from flows.metrics.charts import ChartRow, Course, Line, Number
from flows.metrics.economics import PANEL

SPENDING = (
    Course(
        "Spending",
        "What was spent on the days of the window, and at the same time last week.",
        [Line("spend")],
        last_week=True,
        width=8,
    ),
    Course(
        "Spending by category",
        "Marketing and sales are what new customers cost; the rest is spent on something else.",
        [Line("spend.<category>", "{{spend_category}}", by=("spend_category",))],
        width=8,
    ),
    Course(
        "Spending by channel",
        "What was spent on each channel; that of no channel is `unknown`.",
        [Line("spend", "{{channel}}", split=CHANNEL)],
        width=8,
    ),
    Course(
        "Cost of a new customer (CAC)",
        "Marketing and sales spending per new customer, and at the same time last week.",
        [Line("cac")],
        last_week=True,
        width=8,
    ),
    Course(
        "Cost per acquisition (CPA)",
        "Marketing spending per user who reached a goal for the first time.",
        [Line("cpa.<name>", "{{goal}}", by=("goal",))],
        width=8,
    ),
    Course(
        "Revenue less spending",
        "Revenue of orders, minus refunds and all spending of the window's days.",
        [Line("revenue_less_spend")],
        width=8,
    ),
)
WORTH = (
    Course(
        "What a customer is worth (LTV)",
        "By churn of subscriptions, by lapses of who orders, and what each customer has brought so far.",
        [Line(("ltv.subscription", "ltv.orders", "ltv.observed"), "{{kind}}", by=("kind",))],
        width=8,
    ),
    Course(
        "Worth over cost (LTV / CAC)",
        "How many times a customer brings what it cost; below 1, each new customer loses money.",
        [Line("ltv_cac_ratio.<kind>", "{{kind}}", by=("kind",))],
        width=8,
    ),
    Course(
        "Months to pay back",
        "Acquisition cost over what a customer leaves a month.",
        [Line("cac_payback_months")],
        width=8,
    ),
)


def charts_of(config: Config) -> list[ChartRow]:
    """Two rows; what has a window is drawn by the longest, since bills and new customers are few."""
    if not config.long_windows:
        return []
    window = format_duration(config.long_windows[-1])
    charts = list(SPENDING)
    if config.new_customers == "orders" and "orders" in getattr(config.breakdowns.get(CHANNEL), "of", ()):
        text = "Marketing and sales spending on a channel per customer whose first order came by it."
        charts.insert(4, Course("Cost by channel", text, [Line("cac", "{{channel}}", split=CHANNEL)], width=8))
    return [
        ChartRow("Spending", charts, {"window": window}, PANEL),
        ChartRow("What customers are worth", WORTH, part_of=PANEL),
    ]


def headlines_of(config: Config) -> list[Number]:
    """What a customer costs, over the longest window."""
    if not config.long_windows:
        return []
    window = format_duration(config.long_windows[-1])
    text = f"Marketing and sales spending of {window} per new customer."
    return [Number("cac", "Cost of a customer", text, {"window": window}, good="down")]
