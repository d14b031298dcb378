"""What fires, and what does not, in the lives of products: every step is held against what is expected of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.alerting.rules import rules_text
from flows.config.file import load_alerts
from tests.deploy.alerts.judge import judge
from tests.deploy.alerts.stories import STORIES, Story
from tests.deploy.alerts.test_rules import COMMITTED, EXAMPLES, alerts_of
from tests.thorough import THOROUGH


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's rules, with yesterday in place of last week: a second week comes sooner."""
    config, alerts = load_alerts(EXAMPLES["shop"])
    alerts = alerts.model_copy(update={"same_hour": 86_400_000, "trailing": 86_400_000})
    file = tmp_path_factory.mktemp("rules") / "daily.yml"
    file.write_text(rules_text(config, alerts))
    return file


SHORT = [story for story in STORIES if THOROUGH or not story.takes_weeks]


@pytest.mark.parametrize("story", SHORT, ids=lambda story: story.name)
def test_what_is_expected_fires_and_nothing_else(story: Story, daily: Path, tmp_path: Path) -> None:
    timeline, expected = story.tell()
    judge(daily if story.rules == "daily" else COMMITTED[story.rules], timeline, expected, tmp_path)


def test_every_alert_of_the_examples_fires_in_a_story() -> None:
    """The stories are held against the rules above (`make thorough`: all of them), so what is expected does fire."""
    possible = {rule["alert"] for name in EXAMPLES for rule in alerts_of(rules_text(*load_alerts(EXAMPLES[name])))}
    assert {firing.alert for story in STORIES for firing in story.tell()[1]} == possible
