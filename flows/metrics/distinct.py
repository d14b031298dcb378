"""Distinct users of trailing windows: each is counted in the pane of the latest time at which they were seen.

A user who is seen again moves to a newer pane, so a window's value is the sum of its panes, exactly. With a breakdown,
a user counts under every value shown in the window.

    panes of a window    | 0 | 2 | 1 |          | 0 | 1 | 2 |
    one of the two is seen again                      `---^
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.config.model import Config
from flows.messages.columns import NO_TIME
from flows.metrics.family import Family, Groups, Split, group_of, groups_of
from flows.state.pairs import TIME, Latest, Pairs, position
from flows.state.rows import UserRows
from flows.state.windows import Ring, Windows, pane_of


class Seen(NamedTuple):
    """What is known of users, as the kernel takes it.

    The time of the value that a user's latest event showed is that of the event: only of values shown before it is a
    time of their own kept (what `shown` says of the latest one counts for nothing). Few users show more than one.
    """

    last: NDArray[np.int64]  # by slot, ms; NO_TIME: never
    dims: NDArray[np.uint64]  # by slot, breakdown codes
    shown: Latest


class DistinctUsers(Family):
    """A family that counts users by the latest time seen, first of the counters of each group in `windows`."""

    windows: Windows

    def __init__(self, config: Config) -> None:
        self._config = config
        self._groups = Groups(config, self.broken_down_as)
        self.last = UserRows(np.int64, fill=NO_TIME)  # the latest event
        self.dims = UserRows(np.uint64, dims=self._groups)  # the values that it showed
        self.shown = Pairs(self._groups)  # when other values were last shown

    def seen(self, more: int) -> Seen:
        """What is known of users, with room for `more` events."""
        self.shown.reserve(2 * more * (len(self._groups.split.base) - 1))
        return Seen(self.last.rows, self.dims.rows, self.shown.latest)

    def standing(self, users: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Of everybody and each breakdown: the groups that users are in, and since when each last was (ms)."""
        base = [*self._groups.split.base.tolist(), len(self._groups)]
        slots, groups, times = self.shown.since(NO_TIME + 1)
        known = np.flatnonzero(self.last.rows[:users] != NO_TIME)
        for d, latest in enumerate(groups_of(self._groups.split, self.dims.rows[:users])):
            earlier = (groups >= base[d]) & (groups < base[d + 1]) & (groups != latest[slots])
            yield (
                np.concatenate([latest[known], groups[earlier]]),
                np.concatenate([self.last.rows[known], times[earlier]]),
            )

    def rebuild(self, users: int, now_ms: int) -> None:
        """Count who is in the windows that are new since the checkpoint, which is known of everybody."""
        new = self.windows.begin(now_ms)
        fields = self.windows.totals.shape[1] // len(self._groups)
        for groups, times in self.standing(users):
            self.windows.book(new, times, groups * fields)


@inlined
def see(
    seen: Seen, slot: int, dims: int, ts: int, ring: Ring, fields: int, day: NDArray[np.int64], split: Split
) -> None:
    """Note that a user was seen at `ts` (ms), perhaps before other times; `fields` counters are kept for each group.

    `day`: the time from which users are counted besides (ms), then by group how many have been seen since.
    """
    last = seen.last[slot]
    if last == NO_TIME or dims == seen.dims[slot]:  # as nearly always: all groups of the user move together
        if ts > last:
            seen.last[slot] = ts
            seen.dims[slot] = dims
            _move(ring, fields, day, split, 0, len(split.base), dims, last, ts)
        return
    for d in range(1, len(split.base)):
        group = group_of(split, d, dims)
        latest = group_of(split, d, seen.dims[slot])
        before = last
        if group != latest:
            at = position(seen.shown, slot, group)
            before = seen.shown.entries[at, TIME]
            seen.shown.entries[at, TIME] = max(before, ts)
            if ts > last:
                seen.shown.entries[position(seen.shown, slot, latest), TIME] = last
        if ts > before:
            _move(ring, fields, day, split, d, d + 1, dims, before, ts)
    if ts > last:
        seen.last[slot] = ts
        seen.dims[slot] = dims
        _move(ring, fields, day, split, 0, 1, dims, last, ts)


@inlined
def _move(
    ring: Ring,
    fields: int,
    day: NDArray[np.int64],
    split: Split,
    first: int,
    stop: int,
    dims: int,
    before: int,
    ts: int,
) -> None:
    """Move one user from the time `before` (NO_TIME: from nowhere) to `ts`, in the groups of `dims` of the breakdowns
    from `first` to before `stop`.
    """
    if before < day[0] <= ts:
        for d in range(first, stop):
            day[1 + group_of(split, d, dims)] += 1
    for w in range(len(ring.widths)):
        if before >= ring.begins[w]:
            continue  # both are in the newest pane
        new = pane_of(ring, w, ts)
        old = -1 if before == NO_TIME else pane_of(ring, w, before)
        if new == old:
            continue
        for d in range(first, stop):
            renew(ring, w, old, new, group_of(split, d, dims) * fields)


@inlined
def renew(ring: Ring, w: int, old: int, new: int, counter: int) -> None:
    """Move one user from the pane `old` of a window to `new`; -1 is outside of it."""
    if old >= 0:
        ring.panes[w, old, counter] -= 1
    else:
        ring.totals[w, counter] += 1
    if new >= 0:
        ring.panes[w, new, counter] += 1
    else:
        ring.totals[w, counter] -= 1
