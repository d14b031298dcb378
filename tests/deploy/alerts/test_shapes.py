"""A new alert of each shape takes a few lines, and fires in its week when it should and only then.

Each story has troubles on its first day, then a quiet week, then troubles at other hours. The metrics are made up: no
family of the project has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from flows.alerting.freshness import freshness
from flows.alerting.promql import Pace, rule_file
from flows.alerting.shapes import rules_of
from flows.alerting.source import Source
from flows.config.alerts import Alerts
from flows.config.file import load_alerts
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    AmountFell,
    AnyShape,
    Counted,
    CountFell,
    CountRose,
    Estimated,
    Fall,
    Growth,
    Loss,
    MeanChanged,
    OffTrack,
    Rise,
    Series,
    ShareChanged,
    ShareOf,
    StockFell,
)
from flows.metrics.catalogue import alerts_of
from tests.deploy.alerts.conditions import DAY, HOUR, STEP_S, at
from tests.deploy.alerts.judge import Firing, judge, promtool
from tests.deploy.alerts.timeline import TARGET
from tests.services import ROOT

HOUR_MS = 3_600_000
LENGTH = 7 * DAY + 16 * HOUR


@dataclass(frozen=True)
class Toy:
    """A product whose process is always well, and shows some series."""

    shown: Mapping[str, np.ndarray]
    steps: int = LENGTH

    def series(self) -> Mapping[str, Sequence[float | None]]:
        """With what the process tells of itself."""
        step = np.arange(self.steps)
        well = {
            f'tidegauge_build_info{{product="toy", {TARGET}}}': step * 0 + 1,
            f"tidegauge_watermark_timestamp_seconds{{{TARGET}}}": step * STEP_S - 10,
            f"tidegauge_caught_up{{{TARGET}}}": step * 0 + 1,
            f"tidegauge_events_consumed_total{{{TARGET}}}": step * 1000,
        }
        return {
            name: [None if np.isnan(value) else float(value) for value in values.astype(float)]
            for name, values in (well | dict(self.shown)).items()
        }


def series(family: str, labels: str = "", target: str = TARGET) -> str:
    """A series of the toy product."""
    return f'tidegauge_{family}{{product="toy", {target}{", " + labels if labels else ""}}}'


def level(usual: float, *changes: tuple[str, str, float]) -> np.ndarray:
    """One value a step: the usual one, but other ones from one time to another."""
    values = np.full(LENGTH, usual)
    for begin, end, value in changes:
        values[at(begin) : at(end)] = value
    return values


def counted(means: np.ndarray, seed: int = 1) -> np.ndarray:
    """Poisson counts of these means."""
    return np.random.default_rng(seed).poisson(means).astype(float)


def written(shape: AnyShape, folder: Path) -> Path:
    """The rules of a product with this alert alone, which promtool finds valid."""
    source = Source(Config(product="toy"), Alerts(), Pace(), {"tickets": ["platform"]})
    file = folder / "rules.yml"
    file.write_text(rule_file([freshness(source), rules_of(shape, source)], "One alert."))
    done = promtool("check", "rules", "--lint-fatal", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def recorded(file: Path) -> list[str]:
    """The names of what an alert's own group records."""
    return [rule["record"] for rule in yaml.safe_load(file.read_text())["groups"][-1]["rules"] if "record" in rule]


# ---------------------------------------------------------------------------------------------- count fell

GOALS = CountFell(
    name="goals",
    alert="GoalDrop",
    about="Goals reached within 1h.",
    counts=[
        Amount("now", f"Reached: {goal}.", Series("goals", {"goal": goal}), labels={"what": goal})
        for goal in ("trial", "demo", "rare")
    ],
    window_ms=HOUR_MS,
    drop=0.5,
    below=1,
    least=15,
    summary="Only {{ $value }} times {{ $labels.what }}",
    description="{{ $value }} within 1h.",
)


def test_a_count_that_falls(tmp_path: Path) -> None:
    rules = written(GOALS, tmp_path)
    assert recorded(rules) == [
        *["tidegauge:goals:now"] * 3,
        *(f"tidegauge:goals:{name}" for name in ("same_hour", "last_week", "dispersion", "standard_errors")),
    ]
    trial = counted(
        level(
            200,
            ("1d 12:00", "1d 13:00", 60),  # in the first week: few, which may be the hour
            ("2d 12:00", "2d 13:00", 0),  # none at all, where ten times `least` were usual
            ("7d 02:00", "7d 03:00", 60),  # two thirds less
            ("7d 06:00", "7d 07:00", 140),  # a third less: does not matter
            ("7d 10:00", "7d 11:00", 600),  # more is no drop
        )
    )
    demo, rare = counted(level(200), 2), counted(level(8, ("7d 02:00", "7d 03:00", 0)), 3)
    toy = Toy({series("goals", f'goal="{n}"'): v for n, v in (("trial", trial), ("demo", demo), ("rare", rare))})
    expected = [
        Firing("GoalDrop", "2d 12:05", "2d 13:10", "what=trial"),
        Firing("GoalDrop", "7d 02:05", "7d 03:10", "what=trial"),
    ]
    judge(rules, toy, expected, tmp_path)


# ---------------------------------------------------------------------------------------------- count rose

TICKETS = CountRose(
    name="tickets",
    alert="TicketSpike",
    about="Tickets opened within 1h.",
    counts=[Amount("now", "Opened.", Series("tickets", {"state": "opened"}))],
    window_ms=HOUR_MS,
    factor=3,
    above=100,
    least=10,
    summary="{{ $value }} tickets",
    description="{{ $value }} within 1h.",
)


@pytest.mark.parametrize("above", [100, ShareOf(0.1, Series("customers"))], ids=["a number", "a share"])
def test_a_count_that_rises(above: int | ShareOf, tmp_path: Path) -> None:
    rules = written(replace(TICKETS, above=above), tmp_path)
    assert recorded(rules) == [
        f"tidegauge:tickets:{name}" for name in ("now", "trailing_mean", "dispersion", "standard_errors")
    ]
    opened = counted(
        level(
            10,
            ("0d 17:00", "0d 18:00", 60),  # on the first day: not beyond doubt
            ("0d 20:00", "0d 21:00", 150),  # beyond it
            ("7d 02:00", "7d 03:00", 200),  # twenty times as many, after an unquiet first day
            ("7d 06:00", "7d 07:00", 20),  # twice as many: does not matter
            ("7d 10:00", "7d 11:00", 0),  # fewer is no spike
        )
    )
    toy = Toy(
        {
            series("tickets", 'state="opened"'): opened,
            series("tickets", 'state="opened", platform="ios"'): level(5000),  # of a breakdown, which is not judged
            series("customers"): level(1000),
        }
    )
    expected = [
        Firing("TicketSpike", "0d 20:05", "0d 21:10"),
        Firing("TicketSpike", "7d 02:05", "7d 03:10"),
    ]
    judge(rules, toy, expected, tmp_path)


# ------------------------------------------------------------------------------------------- share changed

COUNTED = Counted(
    part=Amount("unhappy", "Answers of 0 to 6.", Series("answers", {"group": "unhappy"}, by=("what",))),
    whole=Amount("answers", "All.", Series("answers", {"group": "all"}, by=("what",))),
    window_ms=HOUR_MS,
)
ESTIMATED = Estimated(
    ratio=Series("unhappy_ratio", by=("what",)),
    error=Series("unhappy_error", by=("what",)),
    whole=[
        Amount("answers", f"Of {what}.", Series("answers", {"group": "all", "what": what}), labels={"what": what})
        for what in ("nps", "csat")
    ],
)
UNHAPPY = ShareChanged(
    name="unhappy",
    alert="UnhappyAnswers",
    about="How many are unhappy.",
    share=COUNTED,
    change=Rise(points=0.1, above=0.8),
    least=200,
    summary="{{ $value | humanizePercentage }} are unhappy with {{ $labels.what }}",
    description="{{ $value | humanizePercentage }} are unhappy.",
)
WHEN = {Rise: ("0d 17:00", "7d 02:00"), Fall: ("0d 20:00", "7d 06:00")}


@pytest.mark.parametrize("change", [Rise(points=0.1, above=0.8), Fall(drop=0.3, below=0.1)], ids=["rise", "fall"])
@pytest.mark.parametrize("share", [COUNTED, ESTIMATED], ids=["counted", "estimated"])
def test_a_share_that_changes(share: Counted | Estimated, change: Rise | Fall, tmp_path: Path) -> None:
    rules = written(replace(UNHAPPY, share=share, change=change), tmp_path)
    names = {name.rpartition(":")[2] for name in recorded(rules)}
    assert {"answers", "ratio", "ratio_last_week", "standard_errors"} <= names
    answers = counted(level(1000, ("7d 10:00", "7d 11:00", 50), ("7d 14:00", "7d 15:00", 5000)))
    share_now = level(
        0.4,
        ("0d 17:00", "0d 18:00", 0.95),  # on the first day: beyond doubt
        ("0d 20:00", "0d 21:00", 0.02),
        ("7d 02:00", "7d 03:00", 0.6),  # a rise that matters
        ("7d 06:00", "7d 07:00", 0.2),  # a fall that does
        ("7d 08:00", "7d 09:00", 0.43),  # a change that does not
        ("7d 10:00", "7d 11:00", 0.9),  # of a few only; and at 14 h five times as many, as unhappy as ever
    )
    unhappy = np.random.default_rng(2).binomial(answers.astype(int), share_now).astype(float)
    shown: dict[str, np.ndarray] = {}
    for what, part in (("nps", unhappy), ("csat", np.floor(answers * 0.4))):
        ratio = part / answers
        shown |= {
            series("answers", f'group="unhappy", what="{what}"'): part,
            series("answers", f'group="all", what="{what}"'): answers,
            series("unhappy_ratio", f'what="{what}"'): ratio,
            series("unhappy_error", f'what="{what}"'): np.sqrt(ratio * (1 - ratio) / answers),
        }
    expected = [Firing("UnhappyAnswers", after(begin, 1), after(begin, 14), "what=nps") for begin in WHEN[type(change)]]
    judge(rules, Toy(shown), expected, tmp_path)


def after(text: str, steps: int) -> str:
    """So many steps later."""
    step = at(text) + steps
    return f"{step // DAY}d {step % DAY // 12:02d}:{step % 12 * 5:02d}"


def test_a_share_of_one_label_can_have_limits_of_its_own(tmp_path: Path) -> None:
    """Both rise by 20 points; for csat that does not matter."""
    shape = replace(UNHAPPY, apart={"csat": (Rise(points=0.3, above=0.9), 200)})
    answers, shown = level(1000), {}
    for what in ("nps", "csat"):
        shown[series("answers", f'group="unhappy", what="{what}"')] = level(400, ("7d 02:00", "7d 03:00", 600))
        shown[series("answers", f'group="all", what="{what}"')] = answers
    expected = [Firing("UnhappyAnswers", "7d 02:05", "7d 03:10", "what=nps")]
    judge(written(shape, tmp_path), Toy(shown), expected, tmp_path)


def test_windows_longer_than_the_compared_hour_count_once(tmp_path: Path) -> None:
    """Of 400 answers a day, 40 percent are unhappy, then 56: with as many then as now, that is 4.5 standard errors."""
    share = replace(COUNTED, window_ms=24 * HOUR_MS)
    shown = {
        series("answers", 'group="unhappy", what="nps"'): level(
            160,
            ("7d 02:00", "7d 03:00", 224),
            ("7d 06:00", "7d 07:00", 208),  # 52 percent: 3.4 standard errors
        ),
        series("answers", 'group="all", what="nps"'): level(400),
    }
    expected = [Firing("UnhappyAnswers", "7d 02:05", "7d 03:10", "what=nps")]
    judge(written(replace(UNHAPPY, share=share), tmp_path), Toy(shown), expected, tmp_path)


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


# ------------------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("example", ["shop", "saas", "minimal"])
def test_no_two_alerts_share_a_name_or_the_names_of_their_numbers(example: str) -> None:
    shapes = alerts_of(*load_alerts(ROOT / "deploy" / "examples" / f"{example}.yaml"))
    for names in ([shape.name for shape in shapes], [shape.alert for shape in shapes]):
        assert sorted(set(names)) == sorted(names)


def test_an_event_named_like_another_count_has_numbers_of_its_own() -> None:
    """Numbers of key actions used to be recorded beside those of active users, told apart by the event's name alone."""
    config = Config.model_validate({"product": "toy", "key_actions": ["Active Users"]})
    source = Source(config, Alerts(), Pace())
    found = [
        (rule.record, rule.labels["what"])
        for shape in alerts_of(config, Alerts())
        for rule in rules_of(shape, source).rules
        if not hasattr(rule, "alert") and "what" in rule.labels
    ]
    assert sorted(found) == [
        ("tidegauge:active_users:now", "active_users"),
        ("tidegauge:key_actions:now", "active_users"),
    ]
