"""A new alert of each shape takes a few lines, and fires in its week when it should and only then.

Each story has troubles on its first day, then a quiet week, then troubles at other hours. The metrics are made up: no
family of the project has them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.alerting.promql import Pace
from flows.alerting.shapes import rules_of
from flows.alerting.source import Source
from flows.config.alerts import Alerts
from flows.config.file import load_alerts
from flows.config.model import Config
from flows.metrics.alerts import (
    Amount,
    Counted,
    CountFell,
    CountRose,
    Estimated,
    Fall,
    Rise,
    Series,
    ShareChanged,
    ShareOf,
)
from flows.metrics.catalogue import alerts_of
from tests.deploy.alerts.judge import Firing, judge
from tests.deploy.alerts.toy import HOUR_MS, Toy, after, counted, level, recorded, series, written
from tests.services import ROOT

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
