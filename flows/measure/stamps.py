"""The values of scopes for facts: each fact counts under what the event that carries it was stamped with.

A fact travels beside its event, and is used at a tick, when the event has been stamped (`scopes.py`) and the user's
sessions may have gone on. So what the events of a kind of facts were stamped with is noted until then. A fact and its
event meet by user and time; several of one user at one time are in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.config.model import Config, slug
from flows.facts.fact import Fact
from flows.messages.columns import TRACK, joined
from flows.metrics.family import Family, Groups
from flows.state.axes import Legend
from flows.state.container import Arrays, Container

STAMP: Final = np.dtype(
    [
        ("slot", "i8"),  # of the user
        ("ts", "i8"),  # of the event, ms
        ("dims", "u8"),  # what it was stamped with
    ]
)


class Stamps(Container):
    """What the events that carry facts of one kind were stamped with since facts were used last, in order."""

    def __init__(self, config: Config, fact: Fact) -> None:
        names = frozenset(slug(name) for name in fact.events)
        self._carries = config.codes.matching([(names, ())])  # by event code
        self._dims = Groups(config, None)
        self._noted: list[NDArray[Any]] = []

    def note(self, rows: NDArray[Any]) -> None:
        """Take note of events (dtype HELD) that have been stamped, in order."""
        carries = self._carries.take(rows["code"])
        if carries.any():
            carrying = rows.compress(carries & (rows["kind"] == TRACK))
            noted = np.empty(len(carrying), STAMP)
            for name in ("slot", "ts", "dims"):
                noted[name] = carrying[name]
            self._noted.append(noted)

    @property
    def _stamps(self) -> NDArray[Any]:
        self._noted = [joined([np.zeros(0, STAMP), *self._noted], STAMP)]
        return self._noted[0]

    def give(self, facts: NDArray[Any]) -> None:
        """Put into `dims` of `facts`, in order, what their events were stamped with, which is then forgotten.

        One whose event is not among those noted keeps its own values.
        """
        if len(facts) and len(stamps := self._stamps):
            order = np.lexsort((stamps["ts"], stamps["slot"]))
            wanted = np.lexsort((facts["ts"], facts["slot"]))
            found = np.full(len(facts), -1)
            stamped, asking = stamps.take(order), facts.take(wanted)
            slots, times = asking["slot"].copy(), asking["ts"].copy()  # contiguous
            _match(slots, times, stamped["slot"].copy(), stamped["ts"].copy(), found)
            there = found >= 0
            facts["dims"][wanted[there]] = stamped["dims"][found[there]]
        self._noted.clear()

    def save(self, users: int) -> Arrays:
        return {"stamps": self._stamps}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._noted = [arrays["stamps"].copy()]

    def upgraded(self, arrays: Arrays) -> Arrays:
        """A config before this one had no use for them."""
        return {"stamps": np.zeros(0, STAMP)} | arrays

    def legend(self) -> Legend:
        return self._dims.legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        stamps = arrays["stamps"].copy()
        if len(stamps):
            stamps["dims"] = self._dims.words(stamps["dims"], past)
        return {"stamps": stamps}

    def keep(self, slots: NDArray[Any]) -> None:
        noted = self._stamps
        stamps = noted.compress(np.isin(noted["slot"], slots))
        stamps["slot"] = np.searchsorted(slots, stamps["slot"])  # slots are in order
        self._noted = [stamps]


def stamps_of(config: Config, fact: Fact, families: Mapping[str, Family]) -> Stamps | None:
    """Room for those of a kind of facts; None: no family is broken down by what a session or a user began with."""
    scoped = {family for one in config.breakdowns.values() if one.scope != "event" for family in one.of}
    asked = fact.by_user and any(family.broken_down_as in scoped for family in families.values())
    return Stamps(config, fact) if asked else None


@compiled
def _match(
    slots: NDArray[np.int64],
    times: NDArray[np.int64],
    stamp_slots: NDArray[np.int64],
    stamp_times: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """By fact: the place of its stamp, each of which is given once; both are sorted by slot, then time."""
    place = 0
    for i in range(len(slots)):
        while place < len(stamp_slots) and (
            stamp_slots[place] < slots[i] or (stamp_slots[place] == slots[i] and stamp_times[place] < times[i])
        ):
            place += 1
        if place < len(stamp_slots) and stamp_slots[place] == slots[i] and stamp_times[place] == times[i]:
            found[i] = place
            place += 1
