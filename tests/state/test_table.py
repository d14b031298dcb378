from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.state.table import UserTable, row_of

NOTE = np.dtype([("ts", "i8"), ("score", "i8")])


def noted(notes: dict[int, int]) -> UserTable:
    table = UserTable(NOTE)
    table.reserve(len(notes))
    for slot, ts in notes.items():
        table.entries.rows[row_of(table.entries, np.uint64(slot))]["ts"] = ts
    return table


def told(table: UserTable) -> dict[int, int]:
    keys = table.save(0)["keys"].tolist()
    return dict(zip(keys, table.known["ts"].tolist(), strict=True))


@given(
    st.dictionaries(st.integers(0, 40), st.integers(1, 9)),
    st.lists(st.integers(0, 30), unique=True).map(np.array),
)
def test_a_record_goes_with_its_user(notes: dict[int, int], kept: np.ndarray) -> None:
    table = noted(notes)
    table.keep(kept.astype(np.int64))
    assert told(table) == {new: notes[old] for new, old in enumerate(kept.tolist()) if old in notes}
    assert all(table.known[row_of(table.entries, np.uint64(slot))]["ts"] == ts for slot, ts in told(table).items())


@given(st.dictionaries(st.integers(0, 40), st.integers(1, 9)))
def test_what_an_earlier_build_kept_for_everybody_is_taken_over(notes: dict[int, int]) -> None:
    rows = np.zeros(41, NOTE)
    for slot, ts in notes.items():
        rows[slot]["ts"] = ts
    table = UserTable(NOTE)
    table.load(table.upgraded({"rows": rows}), 64)
    assert told(table) == notes
    again = UserTable(NOTE)
    again.load(again.upgraded(table.save(41)), 64)
    assert told(again) == notes
