"""What is published of spending, by name; what each number means is said at the head of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from flows.config.model import Config
from flows.config.spend import CATEGORIES, CHANNEL
from flows.metrics.cells import Metric
from flows.metrics.economics import MINOR_UNITS, MONEY, MONTH_MS, PANEL, Worth, in_currency, margin_of, worths
from flows.metrics.formulas import ltv_cac_ratio, payback_months, ratio, revenue_less_spend
from flows.metrics.frameworks import Headings
from flows.metrics.rows import At, Block, Count, Formula

SPEND = Metric("spend", "Money spent on the days of the window, in all categories.", MINOR_UNITS, PANEL, "spend")
BY_CATEGORY = Metric(
    "spend.<category>", "Money spent on the days of the window.", MINOR_UNITS, PANEL, "spend_by_category"
)
REFUSED = Metric(
    "spend.refused",
    "Records of spending refused because of the limit spend_per_shard, since the beginning.",
    "records",
    PANEL,
    "spend_records_refused",
)
TOO_FAR_AHEAD = Metric(
    "spend.too_far_ahead",
    "Records of spending not used because their period ends more than 400 days after them, since the beginning.",
    "records",
    PANEL,
    "spend_records_too_far_ahead",
)
ACQUISITION: Final = "spend.acquisition"
"""Marketing and sales together, an ingredient of what a new customer costs."""
CAC = Metric(
    "cac", "Customer acquisition cost: marketing and sales spending per new customer.", MINOR_UNITS, PANEL, "cac"
)
CPA = Metric(
    "cpa.<name>",
    "Cost per acquisition: marketing spending per user who reached the goal for the first time.",
    MINOR_UNITS,
    PANEL,
    "cpa",
)
LTV_OVER_CAC = Metric(
    "ltv_cac_ratio.<kind>", "Lifetime value over acquisition cost of 30 days.", "times the cost", PANEL, "ltv_cac_ratio"
)
PAYBACK = Metric(
    "cac_payback_months",
    "Months until a customer has paid back the acquisition cost: CAC of 30 days / (ARPA x margin).",
    "months",
    PANEL,
    "cac_payback_months",
)
LESS_SPEND = Metric(
    "revenue_less_spend",
    "Revenue of orders, minus refunds and all spending; can be below 0.",
    MINOR_UNITS,
    PANEL,
    "revenue_less_spend",
)
NEW_CUSTOMERS: Final = {"subscriptions": "customers.new", "orders": "orders.first"}
"""The counts of new customers, by whose they are."""
FRAMEWORKS: Final[Mapping[str, Headings]] = {
    **dict.fromkeys(("spend", "cac", "cpa"), Headings("acquisition", None, why="HEART has no heading for money.")),
    **dict.fromkeys(
        ("spend.refused", "spend.too_far_ahead"),
        Headings(None, None, why="It says whether the books can be believed, nothing of the product."),
    ),
    **dict.fromkeys(("ltv_cac_ratio", "cac_payback_months", "revenue_less_spend"), MONEY),
}


def blocks_of(config: Config) -> list[Block]:
    """The vector of a shard, as `Spending.read()` gives it."""
    currency = config.spend_currency
    money = {"currency": currency}
    groups = [{}, *({CHANNEL: channel} for channel in config.spend_channels())]
    by_category = in_currency(BY_CATEGORY, currency)
    of_kinds = [Count(by_category, f"spend.{kind}", {"spend_category": kind, **money}) for kind in CATEGORIES]
    of_all = [Count(in_currency(SPEND, currency), labels=money), Count(None, ACQUISITION)]
    blocks = [Block([Count(REFUSED), Count(TOO_FAR_AHEAD)])]
    for width in config.long_windows:
        blocks += [Block(of_kinds, [width]), Block(of_all, [width], groups)]
    return blocks


def formulas_of(config: Config) -> Iterator[Formula]:
    """What is spent, beside what it brings."""
    currency = config.spend_currency
    money = {"currency": currency}
    if config.new_customers is not None:
        new = NEW_CUSTOMERS[config.new_customers]
        yield Formula(in_currency(CAC, currency), (ACQUISITION, new), ratio, labels=money, windows=config.long_windows)
        cost = [At(ACQUISITION, MONTH_MS), At(new, MONTH_MS)]
        for worth in worths(config):
            yield _over_cac(worth, cost)
        yield Formula(
            PAYBACK, (*cost, "mrr", "customers.active"), partial(payback_months, margin_of(config)), total_only=True
        )
    for goal in config.goals:
        yield Formula(
            in_currency(CPA, currency),
            ("spend.marketing", f"goal.{goal}.first"),
            ratio,
            f"cpa.{goal}",
            {"goal": goal, **money},
            config.long_windows,
        )
    of = ("orders.revenue", "orders.refund_amount", "spend")
    yield Formula(in_currency(LESS_SPEND, currency), of, revenue_less_spend, labels=money, windows=config.long_windows)


def _over_cac(worth: Worth, cost: list[At]) -> Formula:
    return Formula(
        LTV_OVER_CAC,
        (*cost, *worth.of),
        partial(ltv_cac_ratio, worth.compute),
        f"ltv_cac_ratio.{worth.kind}",
        {"kind": worth.kind},
        total_only=True,
    )
