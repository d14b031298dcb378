"""The formulas of derived cells: plain functions of counts that are None where they are undefined."""

from __future__ import annotations

from collections.abc import Sequence
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
