"""Golden stories as a user would replay them: a file and a config in, the numbers of the story's text out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.job.running import replay, write_config
from tests.scenarios.story import Scenario, disagreements, load_scenarios

TOLD = ("upgrade_in_the_middle", "cancelled_and_back", "late_states", "plan_change_scheduled", "bounced_visit")
LAST_LOOKS = {scenario.name.split(" at ")[0]: scenario for scenario in load_scenarios()}
STORIES = [scenario for name, scenario in LAST_LOOKS.items() if name.startswith(TOLD)]


@pytest.mark.parametrize("scenario", STORIES, ids=lambda scenario: scenario.name)
def test_a_replay_prints_the_numbers_that_the_story_tells(scenario: Scenario, tmp_path: Path) -> None:
    assert {record.partition for record in scenario.records} == {0}
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"".join((record.value or b"") + b"\n" for record in scenario.records))
    config = write_config(tmp_path / "config.yaml", scenario.config)
    printed = replay(events, config, "--as-of", str(scenario.as_of_ms))
    minutes = {int(minute): counts for minute, counts in printed["minutes"].items()}
    partitions = {int(number): account for number, account in printed["accounting"]["partitions"].items()}
    found = (printed["cells"], minutes, printed["days"], partitions, printed.get("top", {}))
    assert disagreements(scenario, *found) == []


def test_the_stories_are_there() -> None:
    assert len(STORIES) == len(TOLD)
