"""What it means that fast and slow agree: the same cells, counts equal, ratios equal to the last digits of a float."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flows.audit import Result
from flows.messages.snapshot import Snapshot

RELATIVE = 1e-12
"""Two orders of the same float operations; every count is compared exactly."""


def differences(
    expected: Mapping[str, int | float], found: Mapping[str, int | float]
) -> dict[str, tuple[object, object]]:
    """Cells that differ: name -> (expected, found), None where a cell is absent."""
    return {
        name: (expected.get(name), found.get(name))
        for name in expected.keys() | found.keys()
        if not _equal(expected.get(name), found.get(name))
    }


def _equal(one: int | float | None, other: int | float | None) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=RELATIVE)
    return one == other and type(one) is type(other)


def nonzero(accounting: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    """Accounting without its zeros: a partition nothing was read from is as good as an unknown one."""
    counted = {p: {name: n for name, n in account.items() if n} for p, account in accounting.items()}
    return {p: account for p, account in counted.items() if account}


def in_order(top: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, list[tuple[str, int]]]]:
    """Top lists with their order."""
    return {name: {window: list(counts.items()) for window, counts in windows.items()} for name, windows in top.items()}


def assert_equal(expected: Result, snapshot: Snapshot, minutes: Mapping[int, Mapping[str, int]]) -> None:
    """Everything that a replay publishes equals the reference; the snapshot has all closed days."""
    assert snapshot.as_of_ms == expected.as_of_ms
    assert snapshot.watermark_ms == expected.watermark_ms
    if expected.as_of_ms is not None:
        assert differences(expected.cells, snapshot.cells) == {}
        assert in_order(snapshot.top) == in_order(expected.top)
    assert {m: minutes.get(m) for m in expected.minutes} == expected.minutes
    assert dict(snapshot.days) == expected.days
    assert nonzero(snapshot.accounting) == nonzero(expected.accounting)
