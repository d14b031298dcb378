from __future__ import annotations

from fractions import Fraction
from math import sqrt

import pytest

from flows.metrics.formulas import (
    conversion_live,
    conversion_live_se,
    kaplan_meier,
    quantile_ms,
    ratio,
    shortfall,
)
from flows.metrics.histograms import BOUNDS_S


def test_a_ratio_without_a_denominator_is_absent() -> None:
    assert ratio(1, 0) is None
    assert shortfall(0, 0) is None
    assert quantile_ms(0.5, BOUNDS_S, 0, *[0] * len(BOUNDS_S)) is None
    assert conversion_live(*[0] * 120) is None


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        # bounds           0  5  10 30 60 180 600 1800 3600 14400
        (0.50, (4, 4, 4, 4, 4, 4, 4, 4, 4, 4), 0.0),  # all in the first bucket
        (0.50, (0, 4, 4, 4, 4, 4, 4, 4, 4, 4), 2_500.0),  # rank 2 of 4, half way from 0 to 5 s
        (0.75, (0, 2, 4, 4, 4, 4, 4, 4, 4, 4), 7_500.0),  # rank 3: half way from 5 to 10 s
        (0.90, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 14_400_000.0),  # beyond the largest bound
        (0.50, (2, 2, 2, 2, 2, 2, 2, 2, 2, 4), 0.0),  # rank 2 is reached in the first
    ],
)
def test_quantiles_are_linear_inside_their_bucket(q: float, buckets: tuple[int, ...], expected: float) -> None:
    assert quantile_ms(q, BOUNDS_S, 4, *buckets) == expected


def test_kaplan_meier_and_greenwood_by_hand() -> None:
    # 10 attempts: age 0: 2 convert, 1 is censored; age 1: 3 convert; age 2: the last 4 are censored
    converted = [2, 3, 0] + [0] * 57
    censored = [1, 0, 4] + [0] * 57
    survival = Fraction(8, 10) * Fraction(4, 7)
    variance = Fraction(2, 10 * 8) + Fraction(3, 7 * 4)
    assert conversion_live(*converted, *censored) == pytest.approx(float(1 - survival), rel=1e-15)
    assert conversion_live_se(*converted, *censored) == pytest.approx(float(survival) * sqrt(variance), rel=1e-15)


def test_when_everybody_has_converted_the_estimate_is_one_without_error() -> None:
    assert kaplan_meier(*[3] + [0] * 59, *[0] * 60) == (1.0, 0.0)
