"""METRICS.md 3.4: the Kaplan-Meier estimate and Greenwood's error, from a list of starts and arrivals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from flows.audit.clock import pane

AGES = range(60)


def kaplan_meier(
    lives: Iterable[tuple[int, int | None]], limit_ms: int, watermark_ms: int
) -> tuple[float, float] | None:
    """Of (start, arrival or None), ms: the share that arrives, and its standard error; None: nobody is at risk.

    "Kaplan-Meier over attempts entered in the trailing funnel window, ages in its panes: an attempt converted at age
    `pane(converted) - pane(start)`, or is censored at age `pane(W) - pane(start)`; per age j = 0..59 (beyond: 59), with
    n at risk, d converted, c censored: `S *= 1 - d/n`, then `n -= d + c`. Greenwood: `conversion_live_se = S * sqrt(sum
    d / (n (n - d)))` over ages with d < n."
    """
    now = pane(watermark_ms, limit_ms)
    arrived = dict.fromkeys(AGES, 0)
    censored = dict.fromkeys(AGES, 0)
    at_risk = 0
    for start, arrival in lives:
        entered = pane(start, limit_ms)
        if entered > now - 60:
            at_risk += 1
            if arrival is not None:
                arrived[min(59, pane(arrival, limit_ms) - entered)] += 1
            else:
                censored[min(59, now - entered)] += 1
    if at_risk == 0:
        return None
    survival, greenwood = Fraction(1), Fraction(0)
    for age in AGES:
        if at_risk > 0:
            leaves = arrived[age]
            survival *= 1 - Fraction(leaves, at_risk)
            if leaves < at_risk:
                greenwood += Fraction(leaves, at_risk * (at_risk - leaves))
            at_risk -= leaves + censored[age]
    return float(1 - survival), float(survival) * math.sqrt(greenwood)
