"""The law of eviction: users who are forgotten take nothing with them that belongs to others."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Record, recompute
from flows.checkpoint.layout import unpack
from flows.config.limits import Limits
from flows.config.model import Config
from tests.comparison import differences
from tests.engine import Engine, polls

START = 1_774_742_400_000  # 2026-03-29T00:00Z
MINUTE = 60_000
MOST = 12  # users that a shard keeps
COHORT = 5  # users who are there at the same time
COHORTS = 12
STEPS = ["Viewed", "Added", "Bought"]
CONFIG = Config.model_validate(
    {
        "shards": 1,
        "windows": ["1h", "24h"],
        "ratio_windows": ["1h"],
        "funnels": {
            "same": {"window": "10m", "hold": "properties.id", "steps": STEPS},
            "same_any": {
                "window": "10m",
                "order": "any",
                "hold": "properties.id",
                "exclude": ["Left"],
                "steps": [*STEPS, "Viewed"],
            },
            "any_item": {"window": "10m", "steps": STEPS},
        },
    }
)


def cohorts(random: Random) -> list[dict[str, Any]]:
    """One group of users after another; each has been idle for longer than a funnel window when the next one comes."""
    stream: list[dict[str, Any]] = []
    for cohort in range(COHORTS):
        for number in range(random.randint(10, 40)):
            at = START + cohort * 30 * MINUTE + number * 10_000
            event = {
                "type": "track",
                "messageId": f"{cohort} {number}",
                "event": random.choice([*STEPS, *STEPS, "Left"]),
                "userId": f"{cohort} {random.randrange(COHORT)}",
                "timestamp": at - random.choice([0, 0, random.randrange(9_000)]),
                "properties": {"id": random.choice(["red", "Blue", 7, None])},
            }
            stream.append(event)
    return stream


@given(st.integers(0, 2**32))
@settings(max_examples=25)
def test_no_number_of_a_held_funnel_changes_because_idle_users_are_forgotten_and_no_state_grows(seed: int) -> None:
    random = Random(seed)
    records = [Record(json.dumps(event).encode(), 0, offset) for offset, event in enumerate(cohorts(random))]
    engine = Engine(CONFIG, Limits(users_per_shard=MOST))
    for raw in polls(records, [random.randint(1, 30) for _ in range(30)], 1):
        engine.read(raw)
        engine.tick()
        if random.random() < 0.1:
            engine.restart()
        (shard,) = engine._shards
        held = unpack(shard.freeze()).arrays
        assert len(held["funnel.same.held/rows"]) == shard.users.count <= MOST
        steps = [len(waiting) for waiting in shard._tied.waiting.values()]
        assert all(waiting <= shard.held_rows for waiting in steps)
    end = int(recompute(records, CONFIG).as_of_ms or 0) + 30 * MINUTE
    snapshot, whole = engine.tick(end, final=True), recompute(records, CONFIG, end)
    of_funnels = {name: cell for name, cell in whole.cells.items() if name.startswith("funnel.")}
    assert differences(of_funnels, {name: snapshot.cells[name] for name in of_funnels}) == {}
    assert snapshot.cells["users.evicted"] > 0
    (shard,) = engine._shards
    assert [len(waiting) for waiting in shard._tied.waiting.values()] == [0, 0]
