"""The metric tree under the laws of families: it is none, but its numbers equal those of its audit twin."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.metrics.parts import definitions
from tests.laws.check_family import LAWS, START, Event, Law, streams

FIRST_DAY = "2026-03-29"  # of START: the one of 23 hours in Berlin
NODES = {
    "weekly": {"metric": "active_users.7d", "level": "focus", "class": "active_users", "target": 3},
    "bounces": {
        "metric": "bounce_rate.1h",
        "level": 1,
        "drives": "weekly",
        "class": "engagement",
        "better": "lower",
        "from": 1,
        "target": 0.25,
        "since": FIRST_DAY,
        "by": FIRST_DAY,
    },
    "started": {
        "metric": "sessions.started.24h{plan=pro}",
        "level": 1,
        "drives": "weekly",
        "class": "reach",
        "from": 0,
        "target": 2,
        "since": "2026-03-28",
        "by": "2026-03-30",
    },
    "new": {"metric": "users.new.5m", "level": 2, "drives": "started", "class": "reach", "from": 1, "target": 4},
}
CONFIG = Config.model_validate(
    {
        "time_zone": "Europe/Berlin",
        "tree": NODES,
        "breakdowns": {"plan": {"field": "properties.plan", "values": ["pro"], "of": ["sessions"]}},
    }
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_tree_obeys_the_laws_of_families(law: Law) -> None:
    @settings(max_examples=12)
    @given(streams(CONFIG), st.randoms(use_true_random=False))
    def holds(stream: list[Event], random: Random) -> None:
        law(CONFIG, stream, random)

    holds()


def test_the_config_of_these_laws_has_every_number_of_the_tree() -> None:
    found = {cell.name for cell in catalogue(CONFIG).derived if cell.name.startswith("tree.")}
    assert found == {
        *(f"tree.weekly.{number}" for number in ("value", "target", "attainment")),
        *(f"tree.new.{number}" for number in ("value", "target", "attainment", "progress")),
        *(
            f"tree.{node}.{number}"
            for node in ("bounces", "started")
            for number in ("value", "target", "attainment", "progress", "on_track")
        ),
    }
    assert START == 1_774_742_400_000


def test_a_tree_changes_no_definition_of_any_state() -> None:
    assert definitions(CONFIG) == definitions(CONFIG.model_copy(update={"tree": {}}))
