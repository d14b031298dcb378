from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.config.limits import Limits
from flows.config.model import Config
from flows.measure.users import Users
from flows.messages.columns import EVENT
from flows.metrics.family import HELD
from tests.engine import Engine, polls
from tests.laws.test_laws import DAY, HOUR, START, encoded


def rows(users: list[int]) -> NDArray[np.void]:
    found = np.zeros(len(users), EVENT)
    found["user"] = users
    return found


@given(st.lists(st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 50), max_size=60), max_size=10))
def test_a_user_keeps_its_slot_and_slots_are_dense(batches: list[list[int]]) -> None:
    users = Users()
    slots: dict[int, int] = {}
    for batch in batches:
        for user, slot in zip(batch, users.slots(rows(batch)).tolist(), strict=True):
            assert slots.setdefault(user, slot) == slot
        saved, users = users, Users()
        users.load(saved.save(saved.count), saved.capacity)
    assert sorted(slots.values()) == list(range(len(slots))) == list(range(users.count))


def test_many_users_grow_the_table() -> None:
    users = Users()
    everyone = np.random.default_rng(1).integers(
        1, 2**64, 200_000, np.uint64
    )  # spread as hashes are, or it takes a minute
    assert users.slots(rows(everyone.tolist())).tolist() == list(range(200_000))
    assert users.slots(rows(everyone[::-1].tolist())).tolist() == list(range(200_000))[::-1]


def test_the_longest_idle_are_named_and_busy_ones_spared() -> None:
    users = Users()
    used = np.zeros(4, HELD)
    used["slot"] = users.slots(rows([11, 12, 13, 14]))
    used["ts"] = [5, 1, 9, 2]
    users.used(used)
    assert sorted(users.longest_idle(2, np.array([], np.int64)).tolist()) == [1, 3]
    assert users.longest_idle(1, np.array([1])).tolist() == [3]


def test_beyond_the_limit_the_longest_idle_are_forgotten_and_counted() -> None:
    config = Config.model_validate({"shards": 1, "features": {"pages": "page_viewed"}})
    engine = Engine(config, Limits(users_per_shard=100))
    stream = [
        {"type": "page", "messageId": f"{user}", "userId": f"user{user}", "timestamp": START + user * 1_000}
        for user in range(400)
    ]
    for raw in polls(encoded(stream), [40] * 10, 1):
        engine.read(raw)
        engine.tick()
    engine.restart()
    snapshot = engine.tick(START + 400_000 + 40 * DAY)
    cells = snapshot.cells
    assert cells["users.evicted"] >= 290
    assert cells["users.known"] + cells["users.evicted"] == 400
    assert cells["users.known"] <= 100
    assert cells["feature.pages.users_ever"] == cells["users.known"]
    assert cells["users.alive"] == 0  # nobody came back in 40 days; the evicted no longer count
    assert cells["sessions.open"] == 0


def test_what_finds_no_room_in_the_reorder_buffer_counts_as_late() -> None:
    engine = Engine(Config(shards=1), Limits(held_per_shard=100))
    stream = [
        {"type": "page", "messageId": f"{number}", "userId": "ann", "timestamp": START + number}
        for number in range(250)
    ]
    for raw in polls(encoded(stream), [250], 1):
        engine.read(raw)
    snapshot = engine.tick(START + HOUR)
    assert snapshot.accounting[0]["accepted"] == 250
    assert snapshot.accounting[0]["late"] == 150
    assert snapshot.cells["sessions.events.24h"] == 100
    assert snapshot.cells["events.24h"] == 250
