"""Things that fall due in a strict order: a binary heap of flat rows, compared column by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined
from flows.state.container import Arrays, Container


class Plan(NamedTuple):
    """The arrays as kernels take them: `rows[: size[0]]` is a binary min-heap (CLRS, chapter 6)."""

    rows: NDArray[np.int64]  # (capacity, columns); the first column is the time (ms) at which the row falls due
    size: NDArray[np.int64]  # (1,)
    top: NDArray[np.int64]  # (columns,) the row to be put in, and the row last taken out


class Agenda(Container):
    """Rows of `columns` int64, soonest first; equal times by the second column, and so on.

    A `Queue` leaves the order of equal times open and copies less.
    """

    def __init__(self, columns: int) -> None:
        self.plan = Plan(np.zeros((16, columns), np.int64), np.zeros(1, np.int64), np.zeros(columns, np.int64))

    def reserve(self, more: int) -> None:
        """Make room for `more` rows, so that a kernel can put them in without asking."""
        size = int(self.plan.size[0])
        rows = self.plan.rows
        if size + more > len(rows):
            grown = np.zeros((max(size + more, 2 * len(rows)), rows.shape[1]), np.int64)
            grown[:size] = rows[:size]
            self.plan = self.plan._replace(rows=grown)

    def save(self, users: int) -> Arrays:
        return {"rows": self.plan.rows[: int(self.plan.size[0])]}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.plan.size[0] = 0
        self.reserve(len(arrays["rows"]))
        self.plan.size[0] = len(arrays["rows"])
        self.plan.rows[: len(arrays["rows"])] = arrays["rows"]


@inlined
def _before(plan: Plan, one: Number, other: Number) -> bool:
    """Whether row `one` comes before row `other`."""
    for column in range(plan.rows.shape[1]):
        if plan.rows[one, column] != plan.rows[other, column]:
            return bool(plan.rows[one, column] < plan.rows[other, column])
    return False


@inlined
def _swap(plan: Plan, one: Number, other: Number) -> None:
    for column in range(plan.rows.shape[1]):
        kept = plan.rows[one, column]
        plan.rows[one, column] = plan.rows[other, column]
        plan.rows[other, column] = kept


@inlined
def put(plan: Plan) -> None:
    """Put the row `plan.top` in."""
    child = plan.size[0]
    plan.size[0] += 1
    for column in range(plan.rows.shape[1]):
        plan.rows[child, column] = plan.top[column]
    while child > 0:
        parent = (child - 1) // 2
        if not _before(plan, child, parent):
            break
        _swap(plan, child, parent)
        child = parent


@inlined
def falls_due(plan: Plan, until: Number) -> bool:
    """Whether the first row falls due at `until` (ms) or before."""
    return bool(plan.size[0] > 0 and plan.rows[0, 0] <= until)


@inlined
def take(plan: Plan) -> None:
    """Move the first row into `plan.top`; there must be one."""
    for column in range(plan.rows.shape[1]):
        plan.top[column] = plan.rows[0, column]
    plan.size[0] -= 1
    _swap(plan, 0, plan.size[0])
    parent = 0
    while True:
        first = parent
        for child in range(2 * parent + 1, 2 * parent + 3):
            if child < plan.size[0] and _before(plan, child, first):
                first = child
        if first == parent:
            break
        _swap(plan, parent, first)
        parent = first
