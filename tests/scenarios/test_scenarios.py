"""Every golden story, told to the reference and to the pipeline."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import replace

import pytest

from flows.audit import recompute
from tests.engine import replay
from tests.scenarios.story import Scenario, disagreements, load_scenarios, span

SCENARIOS = load_scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_reference_sees_what_the_story_tells(scenario: Scenario) -> None:
    result = recompute(scenario.records, scenario.config, scenario.as_of_ms)
    assert result.as_of_ms == scenario.as_of_ms
    found = (result.cells, result.minutes, result.days, result.accounting, result.top)
    assert disagreements(scenario, *found) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_pipeline_sees_what_the_story_tells(scenario: Scenario) -> None:
    snapshot, minutes = replay(scenario.records, scenario.config, as_of_ms=scenario.as_of_ms)
    assert snapshot.as_of_ms == scenario.as_of_ms
    found = (snapshot.cells, minutes, snapshot.days, snapshot.accounting, snapshot.top)
    assert disagreements(scenario, *found) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_story_tells_something(scenario: Scenario) -> None:
    told: list[Sized] = [scenario.cells, scenario.minutes, scenario.days, scenario.accounting, scenario.top]
    assert sum(map(len, told)) >= 2


def test_a_wrong_number_is_a_disagreement() -> None:
    scenario = next(s for s in SCENARIOS if s.name == "reentry_latest at +30m")
    result = recompute(scenario.records, scenario.config, scenario.as_of_ms)
    name = next(iter(scenario.cells))
    minute = next(iter(result.minutes))
    wrong = replace(
        scenario,
        cells={name: scenario.cells[name] + 1, "no.such.cell": 0},
        absent=(name,),
        minutes={minute: {"events": result.minutes[minute]["events"] + 1}},
        days={"2026-03-02": {"events": 1}},
        accounting={"consumed": -1},
    )
    assert len(disagreements(wrong, result.cells, result.minutes, result.days, result.accounting, {})) == 6


def test_times_are_written_relative_to_the_start() -> None:
    assert span("+1h 2m 3s 4ms") == 3_723_004
    assert span("-1ms") == -1
    with pytest.raises(ValueError, match="is no time"):
        span("tomorrow")
