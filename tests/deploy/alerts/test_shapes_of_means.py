"""Stories of the shapes that judge amounts, means, stocks and plans; test_shapes.py has those of counts and shares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.metrics.alerts import Amount, AmountFell, Fall, Growth, Loss, MeanChanged, OffTrack, Series, StockFell
from tests.deploy.alerts.judge import Firing, judge
from tests.deploy.alerts.toy import HOUR_MS, Toy, after, counted, level, recorded, series, written

# --------------------------------------------------------------------------------------------- amount fell

REVENUE = AmountFell(
    name="revenue",
    alert="RevenueDrop",
    about="What the orders of the last hour bring.",
    items=Amount("orders", "How many.", Series("orders")),
    amount=Amount("sum_eur", "What they bring.", Series("revenue")),
    window_ms=HOUR_MS,
    drop=0.4,
    below=100,
    variation=1,
    least=100,
    summary="Orders bring {{ $value }}",
    description="Orders bring {{ $value }}.",
)


def test_an_amount_that_falls(tmp_path: Path) -> None:
    rules = written(REVENUE, tmp_path)
    assert recorded(rules) == [
        f"tidegauge:revenue:{name}"
        for name in ("orders", "sum_eur", "orders_last_week", "sum_eur_last_week", "standard_errors")
    ]
    orders = level(
        1200,
        ("0d 17:00", "0d 19:00", 100),  # on the first day: few, but not beyond doubt
        ("6d 20:00", "6d 21:00", 0),  # in the first week: nothing, where many were usual
        ("7d 06:00", "7d 07:00", 840),  # three tenths fewer, which is not enough
        ("7d 12:00", "7d 13:00", 0),  # nothing at all
    )
    each = level(
        40,
        ("7d 02:00", "7d 03:00", 20),  # each brings half
        ("7d 06:00", "7d 07:00", 30),  # and a quarter less: both together are 0.525
    )
    shown = {series("orders"): orders, series("revenue"): orders * each}
    begins = ("6d 20:00", "7d 02:00", "7d 06:00", "7d 12:00")
    expected = [Firing("RevenueDrop", after(begin, 1), after(begin, 14)) for begin in begins]
    judge(rules, Toy(shown), expected, tmp_path)


# -------------------------------------------------------------------------------------------- mean changed

BASKETS = MeanChanged(
    name="baskets",
    alert="SmallBaskets",
    about="What orders of the last hour are worth.",
    items=Amount("orders", "How many.", Series("orders")),
    mean=Series("order_mean"),
    unit="minor_units",
    change=Fall(drop=0.3, below=500),
    variation=1,
    least=100,
    summary="Orders are worth {{ $value }}",
    description="An order is worth {{ $value }} on average.",
)


MEAN_CHANGED = {Growth: ("0d 22:00", "7d 08:00"), Fall: ("0d 20:00", "7d 02:00")}


@pytest.mark.parametrize("change", [Growth(rise=0.5, above=9000), Fall(drop=0.3, below=500)], ids=["rise", "fall"])
@pytest.mark.parametrize("over", [None, Series("carts")], ids=["of all", "of some"])
def test_a_mean_that_changes(over: Series | None, change: Growth | Fall, tmp_path: Path) -> None:
    """Where the published mean is over all carts, half of which are no orders, the mean of orders is twice as large."""
    rules = written(replace(BASKETS, over=over, change=change), tmp_path)
    assert recorded(rules) == [
        f"tidegauge:baskets:{name}"
        for name in ("orders", "mean_minor_units", "orders_last_week", "mean_minor_units_last_week", "standard_errors")
    ]
    orders = counted(level(400, ("7d 10:00", "7d 11:00", 30), ("7d 12:00", "7d 13:00", 30)))
    worth = level(
        4000,
        ("0d 17:00", "0d 18:00", 1000),  # on the first day: cheap, but not beyond doubt
        ("0d 18:30", "0d 19:30", 10_000),  # dear, but not beyond doubt
        ("0d 20:00", "0d 21:00", 200),  # beyond it
        ("0d 22:00", "0d 23:00", 20_000),
        ("7d 02:00", "7d 03:00", 2000),  # half
        ("7d 05:00", "7d 06:00", 5000),  # does not matter
        ("7d 06:00", "7d 07:00", 3500),  # nor does this
        ("7d 08:00", "7d 09:00", 8000),  # twice as much
        ("7d 10:00", "7d 11:00", 1000),  # by a few only
        ("7d 12:00", "7d 13:00", 9000),
    )
    shown = {series("orders"): orders, series("carts"): 2 * orders}
    shown[series("order_mean")] = worth if over is None else worth / 2
    expected = [Firing("SmallBaskets", after(begin, 1), after(begin, 14)) for begin in MEAN_CHANGED[type(change)]]
    judge(rules, Toy(shown), expected, tmp_path)


SCORE = MeanChanged(
    name="score",
    alert="ScoreDrop",
    about="What answers are worth: 100, 0 or -100.",
    items=Amount("answers", "How many.", Series("answers", by=("what",))),
    mean=Series("score", by=("what",)),
    unit="points",
    change=Loss(amount=10, below=-50),
    variation=Series("score_error", by=("what",)),
    least=30,
    summary="The score is {{ $value }}",
    description="The score is {{ $value }}.",
)


def test_a_mean_with_a_published_error_that_falls(tmp_path: Path) -> None:
    """Also below 0, where no share of it could be asked for; and not by chance, in few or in many answers."""
    rules = written(SCORE, tmp_path)
    assert recorded(rules) == [
        f"tidegauge:score:{name}"
        for name in (
            *("answers", "mean_points", "answers_last_week", "mean_points_last_week"),
            *("error_points", "error_points_last_week", "pooled_variance", "standard_errors"),
        )
    ]
    answers = level(1000, ("7d 08:00", "7d 09:00", 100), ("7d 12:00", "7d 13:00", 29))
    promoters = level(
        0.3,
        ("0d 17:00", "0d 18:00", 0),  # on the first day: beyond doubt
        ("0d 20:00", "0d 21:00", 0.05),  # too near to the limit
        ("7d 02:00", "7d 03:00", 0.15),  # half of the promoters are passives now
        ("7d 08:00", "7d 09:00", 0.15),  # in a hundred answers that may be chance
        ("7d 12:00", "7d 13:00", 0),  # too few to judge by
        ("7d 14:00", "7d 15:00", 0),  # all are detractors: the variance of these alone is 0
    )
    detractors = level(
        0.4,
        ("0d 17:00", "0d 18:00", 0.9),
        ("0d 20:00", "0d 21:00", 0.58),
        ("7d 04:00", "7d 05:00", 0.48),  # eight points do not matter
        ("7d 06:00", "7d 07:00", 0.2),  # more is no drop
        ("7d 12:00", "7d 13:00", 1),
        ("7d 14:00", "7d 15:00", 1),
    )
    shown = scores("nps", answers, promoters, detractors)
    # The one answer of the first week, of a promoter, is no score to fall from.
    first = level(0, ("0d 00:00", "7d 00:00", 1))
    shown |= scores("new", level(1000, ("0d 00:00", "7d 00:00", 1)), np.where(first, 1, 0.3), np.where(first, 0, 0.4))
    begins = ("0d 17:00", "7d 02:00", "7d 14:00")
    expected = [Firing("ScoreDrop", after(begin, 1), after(begin, 14), "what=nps") for begin in begins]
    judge(rules, Toy(shown), expected, tmp_path)


def scores(what: str, answers: np.ndarray, promoters: np.ndarray, detractors: np.ndarray) -> dict[str, np.ndarray]:
    """What is published of answers with these shares."""
    mean = promoters - detractors
    return {
        series("answers", f'what="{what}"'): answers,
        series("score", f'what="{what}"'): 100 * mean,
        series("score_error", f'what="{what}"'): 100 * np.sqrt((promoters + detractors - mean**2) / answers),
    }


# ---------------------------------------------------------------------------------------------- stock fell

PREPAID = StockFell(
    name="prepaid",
    alert="PrepaidDrop",
    about="Prepaid money, and what was taken back of it within 1h.",
    stock=Amount("now", "All.", Series("prepaid")),
    lost=Amount(
        "net_loss",
        "Taken back.",
        Series("prepaid_moved", one_of=("movement", ("refund", "dispute"))),
        Series("prepaid_moved", one_of=("movement", ("paid",))),
    ),
    window_ms=HOUR_MS,
    loss=0.02,
    static_loss=0.05,
    holders=Series("holders"),
    least=5,
    summary="{{ $value | humanizePercentage }} is gone",
    description="{{ $value | humanizePercentage }} was taken back within 1h.",
)


def test_a_stock_that_falls(tmp_path: Path) -> None:
    rules = written(PREPAID, tmp_path)
    assert recorded(rules) == [
        f"tidegauge:prepaid:{name}"
        for name in ("now", "net_loss", "net_loss_ratio", "net_loss_trailing_mean", "standard_errors")
    ]
    refund = counted(
        level(
            100,
            ("0d 17:00", "0d 18:00", 3000),  # on the first day: 3 %, not beyond doubt
            ("0d 20:00", "0d 21:00", 9000),  # beyond it
            ("7d 02:00", "7d 03:00", 4000),  # 4 %
            ("7d 06:00", "7d 07:00", 1400),  # 1.4 %: does not matter
        )
    )
    paid = counted(level(120, ("7d 10:00", "7d 11:00", 9000)), 2)
    expected = [
        Firing("PrepaidDrop", "0d 20:05", "0d 21:10"),
        Firing("PrepaidDrop", "7d 02:05", "7d 03:10"),
    ]
    judge(rules, Toy(prepaid(refund, paid)), expected, tmp_path)


def test_what_two_processes_show_is_counted_once(tmp_path: Path) -> None:
    """One follows the other, and for some hours both show the same."""
    refund = counted(level(100, ("7d 02:00", "7d 03:00", 1400), ("7d 06:00", "7d 07:00", 3000)))
    shown = prepaid(refund, counted(level(120), 2))
    both = level(np.nan, ("7d 01:00", "7d 10:00", 0))
    shown |= {name.replace('instance="', 'instance="next.'): values + both for name, values in shown.items()}
    judge(written(PREPAID, tmp_path), Toy(shown), [Firing("PrepaidDrop", "7d 06:05", "7d 07:10")], tmp_path)


def prepaid(refund: np.ndarray, paid: np.ndarray) -> dict[str, np.ndarray]:
    """A stock of 100,000 with these movements within an hour."""
    return {
        series("prepaid"): level(100_000),
        series("holders"): level(1000),
        series("prepaid_moved", 'movement="refund"'): refund,
        series("prepaid_moved", 'movement="dispute"'): level(10),
        series("prepaid_moved", 'movement="paid"'): paid,
    }


# ---------------------------------------------------------------------------------------------- off track

PLAN = OffTrack(
    name="plan",
    alert="PlanMissed",
    about="Whether plans are kept.",
    on_track=[Amount("kept", "Kept.", Series("kept", {"node": node}), labels={"what": node}) for node in ("a", "b")],
    progress=[Amount("gone", "Gone.", Series("gone", {"node": node}), labels={"what": node}) for node in ("a", "b")],
    lasting_ms=HOUR_MS,
    summary="{{ $labels.what }} is behind",
    description="{{ $labels.what }} is behind.",
)


def test_a_plan_that_is_not_kept(tmp_path: Path) -> None:
    """After an hour, and not for a dip; a number that is absent says nothing."""
    rules = written(PLAN, tmp_path)
    assert recorded(rules) == [*["tidegauge:plan:kept"] * 2, *["tidegauge:plan:gone"] * 2]
    kept = level(
        1.0,
        ("1d 02:00", "1d 02:50", 0),  # a dip
        ("1d 06:00", "1d 09:00", 0),
        ("1d 12:00", "1d 15:00", np.nan),
        ("2d 06:00", "2d 07:30", 0),
    )
    shown = {series("kept", 'node="a"'): kept, series("kept", 'node="b"'): level(1)}
    shown |= {series("gone", f'node="{node}"'): level(0.25) for node in ("a", "b")}
    expected = [
        Firing("PlanMissed", "1d 07:00", "1d 09:10", "what=a"),
        Firing("PlanMissed", "2d 07:00", "2d 07:40", "what=a"),
    ]
    judge(rules, Toy(shown), expected, tmp_path)
