"""The formulas of derived cells: plain functions of counts that are None where they are undefined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt


def ratio(numerator: float, denominator: float) -> float | None:
    """numerator / denominator."""
    return numerator / denominator if denominator else None


def share_of(whole: float, *parts: float) -> float | None:
    """The sum of all parts / whole."""
    return ratio(sum(parts), whole)


def difference(more: int, less: int) -> int:
    """More - less."""
    return more - less


def per_thousand(part: float, whole: float) -> float | None:
    """1000 * part / whole."""
    return 1000 * part / whole if whole else None


def mean_place(*counts: int) -> float | None:
    """The mean of 1, 2, 3, ..., each counted as often as `counts` says."""
    return ratio(sum(place * count for place, count in enumerate(counts, 1)), sum(counts))


def shortfall(part: float, whole: float) -> float | None:
    """1 - part / whole."""
    return 1 - part / whole if whole else None


def quantile_ms(q: float, bounds_s: Sequence[int], count: int, *cumulative: int) -> float | None:
    """The `q` quantile (ms) of a cumulative histogram, as Prometheus' `histogram_quantile` has it.

    Rank q * count, linear inside its bucket (the first begins at 0), the largest bound beyond all.
    """
    if not count:
        return None
    rank = q * count
    below, lower = 0, 0
    for bound, reached in zip(bounds_s, cumulative, strict=True):
        if reached >= rank:
            if bound == 0:
                return 0.0
            return 1000 * (lower + (bound - lower) * (rank - below) / (reached - below))
        below, lower = reached, bound
    return 1000.0 * bounds_s[-1]


def kaplan_meier(*ages: int) -> tuple[float, float] | None:
    """Conversion 1 - S and its standard error by Greenwood's formula, or None when nobody was at risk.

    `ages` are the numbers converted at each age followed by those censored at each age. Per age, with n at risk,
    d converted and c censored: S *= 1 - d / n, then n -= d + c. Kaplan and Meier (1958), JASA 53:457; Greenwood (1926).
    """
    half = len(ages) // 2
    converted, censored = ages[:half], ages[half:]
    at_risk = sum(ages)
    if not at_risk:
        return None
    survival, variance = 1.0, 0.0
    for d, c in zip(converted, censored, strict=True):
        if d:
            survival *= 1 - d / at_risk
            if d < at_risk:
                variance += d / (at_risk * (at_risk - d))
        at_risk -= d + c
    return 1 - survival, survival * sqrt(variance)


def conversion_live(*ages: int) -> float | None:
    """Kaplan-Meier conversion; see `kaplan_meier`."""
    estimate = kaplan_meier(*ages)
    return None if estimate is None else estimate[0]


def conversion_live_se(*ages: int) -> float | None:
    """Its standard error; see `kaplan_meier`."""
    estimate = kaplan_meier(*ages)
    return None if estimate is None else estimate[1]


def user_churn_rate(churned: int, alive: int, new: int, resurrected: int, inside: int) -> float | None:
    """(Churned - churned_inside) / users alive at the window's start: alive - new - resurrected + churned."""
    start = alive - new - resurrected + churned
    return (churned - inside) / start if start > 0 else None


def user_retention_rate(churned: int, alive: int, new: int, resurrected: int, inside: int) -> float | None:
    """1 - (churned - churned_inside) / users alive at the window's start."""
    lost = user_churn_rate(churned, alive, new, resurrected, inside)
    return None if lost is None else 1 - lost


def user_quick_ratio(new: int, resurrected: int, churned: int) -> float | None:
    """(New + resurrected) / churned."""
    return ratio(new + resurrected, churned)


def arr(mrr: int) -> int:
    """Annual recurring revenue of a monthly one."""
    return 12 * mrr


def arpa(mrr: int, customers: int) -> float | None:
    """MRR per active customer."""
    return ratio(mrr, customers)


def mrr_difference(
    mrr: int,
    new: int,
    expansion: int,
    contraction: int,
    churned: int,
    reactivated: int,
    moved_in: int = 0,
    moved_out: int = 0,
) -> int:
    """MRR less everything that has been booked since the beginning: 0, or something is wrong."""
    return mrr - (new + reactivated + expansion - contraction - churned + moved_in - moved_out)


def customer_churn_rate(active: int, new: int, churned: int, reactivated: int, inside: int) -> float | None:
    """(Churned - churned_inside) / customers at the window's start: active - new - reactivated + churned."""
    start = active - new - reactivated + churned
    return (churned - inside) / start if start > 0 else None


def customer_retention_rate(active: int, new: int, churned: int, reactivated: int, inside: int) -> float | None:
    """1 - (churned - churned_inside) / customers at the window's start."""
    lost = customer_churn_rate(active, new, churned, reactivated, inside)
    return None if lost is None else 1 - lost


def customer_growth_ratio(active: int, new: int, churned: int, reactivated: int, inside: int) -> float | None:
    """Customers now / customers at the window's start."""
    start = active - new - reactivated + churned
    return active / start if start > 0 else None


def mrr_churn_rate(
    mrr: int, new: int, expansion: int, contraction: int, churned: int, reactivated: int
) -> float | None:
    """(Churned + contraction) / MRR at the window's start."""
    start = mrr_difference(mrr, new, expansion, contraction, churned, reactivated)
    return (churned + contraction) / start if start > 0 else None


def net_mrr_churn_rate(
    mrr: int, new: int, expansion: int, contraction: int, churned: int, reactivated: int
) -> float | None:
    """(Churned + contraction - expansion - reactivation) / MRR at the window's start.

    Negative when those who stayed grew by more than was lost.
    """
    start = mrr_difference(mrr, new, expansion, contraction, churned, reactivated)
    return (churned + contraction - expansion - reactivated) / start if start > 0 else None


def gross_revenue_retention(
    mrr: int, new: int, expansion: int, contraction: int, churned: int, reactivated: int
) -> float | None:
    """1 - (churned + contraction) / MRR at the window's start."""
    lost = mrr_churn_rate(mrr, new, expansion, contraction, churned, reactivated)
    return None if lost is None else 1 - lost


def net_revenue_retention(
    mrr: int, new: int, expansion: int, contraction: int, churned: int, reactivated: int
) -> float | None:
    """(MRR at the window's start + expansion - contraction - churned) / MRR at the window's start."""
    start = mrr_difference(mrr, new, expansion, contraction, churned, reactivated)
    return (start + expansion - contraction - churned) / start if start > 0 else None


def ltv_of_subscription(
    margin: float, mrr: int, active: int, new: int, churned: int, reactivated: int, inside: int
) -> float | None:
    """ARPA x margin / customer churn rate of 30 days: a month's payment, times the months that a customer stays.

    Source: D. Skok, SaaS Metrics 2.0 (2010): LTV = ARPA x gross margin / customer churn rate.
    """
    a_month, lost = arpa(mrr, active), customer_churn_rate(active, new, churned, reactivated, inside)
    return a_month * margin / lost if a_month is not None and lost else None


def ltv_of_orders(
    margin: float,
    lifespan: float | None,
    revenue: int,
    completed: int,
    active: int,
    first: int,
    resumed: int,
    lapsed: int,
) -> float | None:
    """Average order value x orders per active customer in 30 days x margin x lifespan in 30 days.

    Without a lifespan: the customers who were active when the 30 days began, for each who has lapsed since; `resumed`
    are those who ordered again after a lapse.
    """
    if lifespan is None:
        lifespan = ratio(active - first - resumed + lapsed, lapsed)
    if not completed or not active or lifespan is None or lifespan <= 0:
        return None
    return revenue / completed * (completed / active) * margin * lifespan


def ltv_observed(revenue: int, refunded: int, customers: int) -> float | None:
    """What each customer has brought so far: (revenue - refunds) / customers, since the beginning."""
    return ratio(revenue - refunded, customers)


def ltv_cac_ratio(ltv: Callable[..., float | None], spent: int, customers: int, *of: int) -> float | None:
    """A lifetime value, computed `of` these, over CAC = spent / customers; None where that is 0."""
    cac, worth = ratio(spent, customers), ltv(*of)
    return worth / cac if worth is not None and cac else None


def payback_months(margin: float, spent: int, customers: int, mrr: int, active: int) -> float | None:
    """CAC / (ARPA x margin): the months after which a new customer has paid back what it cost."""
    cac, a_month = ratio(spent, customers), arpa(mrr, active)
    return cac / (a_month * margin) if cac is not None and a_month else None


def revenue_less_spend(revenue: int, refunded: int, spent: int) -> int:
    """Revenue - refunds - spending."""
    return revenue - refunded - spent
