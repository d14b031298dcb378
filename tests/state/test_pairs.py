from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.messages.columns import NO_TIME
from flows.state.pairs import TIME, Pairs, position


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(1, 1_000)), max_size=300))
def test_each_pair_has_its_own_time(shown: list[tuple[int, int, int]]) -> None:
    pairs = Pairs()
    latest: dict[tuple[int, int], int] = {}
    for slot, group, time in shown:
        pairs.reserve(1)
        at = position(pairs.latest, slot, group)
        assert pairs.latest.entries[at, TIME] == latest.get((slot, group), NO_TIME)
        pairs.latest.entries[at, TIME] = latest[slot, group] = time

    saved = Pairs()
    saved.load(pairs.save(0), 0)
    kept = np.arange(30, 61)
    pairs.keep(kept)
    for (slot, group), time in latest.items():
        assert saved.latest.entries[position(saved.latest, slot, group), TIME] == time
        if slot >= 30:
            assert pairs.latest.entries[position(pairs.latest, slot - 30, group), TIME] == time
    slots, groups, _ = pairs.since(500)
    assert sorted(zip(slots.tolist(), groups.tolist(), strict=True)) == sorted(
        (slot - 30, group) for (slot, group), time in latest.items() if slot >= 30 and time >= 500
    )
