"""What share will arrive in the end, before the time of all is up: Kaplan-Meier over those under way.

Somebody *starts*, and *arrives* within a limit or not at all. The trailing limit is cut into 60 panes. All who started
in them are at risk: those who have arrived count at the age, in panes, at which they did, and those under way are
censored at the age that they have reached. The estimate uses what is known of both, so a surge of starts hardly moves
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import steady
from flows.metrics.cells import Metric
from flows.metrics.formulas import conversion_live, conversion_live_se
from flows.metrics.rows import Count, Formula
from flows.state.windows import PANES, Ring

AGES: Final = 2 * PANES
"""Counters of a group: arrived by age, then under way by age."""


@steady
def read_ages(under_way: Ring, arrived: NDArray[np.int64], ages: NDArray[np.int64]) -> None:
    """By group, 60 counts of those arrived by age, then 60 of those under way (censored), by theirs."""
    for group in range(under_way.totals.shape[1]):
        first = AGES * group
        for age in range(PANES):
            ages[first + age] = arrived[0, group * PANES + age]
            ages[first + PANES + age] = under_way.panes[0, (under_way.heads[0] - age) % PANES, group]


def age_rows(stem: str) -> list[Count]:
    """The rows of what `read_ages` gives: ingredients, not published."""
    return [Count(None, name) for name in _ages(stem)]


def estimate(stem: str, live: tuple[Metric, str], error: tuple[Metric, str], kind: Mapping[str, str]) -> list[Formula]:
    """The estimate, whose labels have `kind`, and its standard error, each with its stem."""
    ages = _ages(stem)
    return [
        Formula(live[0], ages, conversion_live, live[1], kind),
        Formula(error[0], ages, conversion_live_se, error[1]),
    ]


def _ages(stem: str) -> list[str]:
    return [f"{stem}.{fate}_at_{age}" for fate in ("converted", "censored") for age in range(PANES)]
