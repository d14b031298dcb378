"""Events that wait for their time: the stream clock for arrival metrics, the watermark for ordered ones.

    admitted --> fresh --ts <= now--> arrived (arrival metrics use it)
                                         \\--> held --ts < watermark--> passed (ordered metrics use it, in order)

Late events go the first way only. Those that are in order for their user wait beside (`latecomers.py`) and pass with
the others. Rows stand in the order in which they were admitted, so that equal times of one partition keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled, steady
from flows.config.event_codes import Codes
from flows.messages.columns import joined
from flows.metrics.family import HELD
from flows.state.axes import Legend, Words
from flows.state.container import Arrays, Container

POSITION_BITS: Final = 22
"""So many bits of a sort key say where the row stands, the others when it was."""
FEW: Final = 32
"""So many rows are put in order by one small loop; calling all that sorts many would take longer."""


class Released(NamedTuple):
    """The rows (dtype HELD) whose time has come."""

    arrived: NDArray[Any]  # in the order admitted
    passed: NDArray[Any]  # by event time; ties by partition, then in the order admitted


class Late(NamedTuple):
    """Late events that are in order for their user, in the order admitted."""

    rows: NDArray[Any]  # dtype HELD
    bounds: NDArray[np.int64]  # the bound that each has missed, ms: its turn comes when the watermark is there


class Rows:
    """An array of HELD that grows at its end."""

    def __init__(self) -> None:
        self._array: NDArray[Any] = np.zeros(0, HELD)
        self.count = 0

    @property
    def filled(self) -> NDArray[Any]:
        """The rows there are."""
        return self._array[: self.count]

    def room(self, more: int) -> NDArray[Any]:
        """The place of `more` rows behind those there are; they count once `count` says so."""
        return self.whole(more)[self.count : self.count + more]

    def whole(self, more: int) -> NDArray[Any]:
        """The array itself, with room for `more` rows."""
        if self.count + more > len(self._array):
            grown = np.empty(max(self.count + more, 2 * self.count), HELD)
            grown.view(np.uint8)[: self.count * HELD.itemsize] = self.filled.view(np.uint8)
            self._array = grown
        return self._array

    def fill(self, rows: NDArray[Any]) -> None:
        """Hold `rows` and nothing else."""
        self._array = joined([rows], HELD)
        self.count = len(rows)

    def shrink(self) -> None:
        """Give back memory that an earlier peak has left."""
        if 4 * self.count + 65_536 < len(self._array):
            self.fill(self.filled)


_NO_LATE: Final = Late(np.zeros(0, HELD), np.zeros(0, np.int64))


class Waiting(Container):
    """Rows that have been admitted and are not used yet."""

    def __init__(self) -> None:
        self._fresh = Rows()
        self._held = Rows()
        self._late = _NO_LATE

    def __len__(self) -> int:
        """Rows that wait."""
        return self._fresh.count + self._held.count + len(self._late.rows)

    @property
    def held(self) -> int:
        """Rows that wait for the watermark only."""
        return self._held.count

    @property
    def slots(self) -> NDArray[Any]:
        """The users of the rows that wait, with repetitions."""
        return np.concatenate([rows["slot"] for rows in self.waiting])

    @property
    def waiting(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """All rows there are: of those that are marked late only the last wait for ordered metrics."""
        return self._held.filled, self._fresh.filled, self._late.rows

    def renumber(self, slots: NDArray[Any]) -> None:
        """A user's slot is now `slots[old slot]`."""
        for rows in self.waiting:
            rows["slot"] = slots[rows["slot"]]

    def room(self, more: int) -> NDArray[Any]:
        """Where `more` rows can be written (dtype HELD) before they are admitted."""
        return self._fresh.room(more)

    def admit(self, count: int) -> None:
        """The first `count` rows of `room` count from now on."""
        self._fresh.count += count

    def add(self, rows: NDArray[Any]) -> None:
        """Admit rows that are somewhere else (dtype HELD, contiguous)."""
        self.room(len(rows)).view(np.uint8)[:] = rows.view(np.uint8)
        self.admit(len(rows))

    def admit_late(self, rows: NDArray[Any], bounds: NDArray[np.int64]) -> None:
        """Let copies of rows wait that are late, but in order."""
        late = self._late
        self._late = Late(joined([late.rows, rows], HELD), np.concatenate([late.bounds, bounds]))

    def late(self, watermark_ms: int) -> Late:
        """The late ones whose turn has come, which wait no more."""
        waiting = self._late
        if not len(waiting.rows):
            return _NO_LATE
        due = waiting.bounds <= watermark_ms
        if not due.any():
            return _NO_LATE
        late, self._late = (Late(waiting.rows.compress(some), waiting.bounds[some]) for some in (due, ~due))
        return late

    def release(self, now_ms: int, watermark_ms: int) -> Released:
        """The rows whose time has come with the stream clock at `now_ms` and the watermark at `watermark_ms`."""
        fresh, held = self._fresh, self._held
        room = held.whole(fresh.count)
        arrived = np.empty(fresh.count, HELD)
        passed = np.empty(fresh.count + held.count, HELD)
        counts = np.zeros(4, np.int64)
        _release(fresh.filled, room, held.count, now_ms, watermark_ms, arrived, passed, counts)
        fresh.count, held.count = int(counts[0]), int(counts[1])
        fresh.shrink()
        held.shrink()
        return Released(arrived[: counts[2]], in_order(passed[: counts[3]]))

    def save(self, users: int) -> Arrays:
        late = self._late
        return {"fresh": self._fresh.filled, "held": self._held.filled, "late": late.rows, "bounds": late.bounds}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self._fresh.fill(arrays["fresh"])
        self._held.fill(arrays["held"])
        self._late = Late(arrays["late"].copy(), arrays["bounds"].copy())


class ReorderBuffer(Waiting):
    """What a shard has admitted and not used yet, of all events."""

    def __init__(self, codes: Codes, dims: Words) -> None:
        """`codes` and `dims`: what the rows' `code` and `dims` stand for."""
        super().__init__()
        self._codes = codes
        self._dims = dims

    def upgraded(self, arrays: Arrays) -> Arrays:
        """Earlier builds kept no late ones."""
        return {"late": _NO_LATE.rows, "bounds": _NO_LATE.bounds} | arrays

    def legend(self) -> Legend:
        return {"codes": self._codes.legend(), "dims": self._dims.legend()}

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """Rows stay as they were read: what has got a name since is still one of the others."""
        codes = self._codes.translated(past["codes"])
        carried = {name: array.copy() for name, array in arrays.items()}
        for name in ("fresh", "held", "late"):
            rows = carried[name]
            rows["code"] = codes[rows["code"]]
            rows["dims"] = self._dims.words(rows["dims"], past["dims"])
        return carried


def in_order(rows: NDArray[Any]) -> NDArray[Any]:
    """`rows` (dtype HELD) by event time; ties by partition, then as they stand."""
    if len(rows) < 2:
        return rows
    if len(rows) > FEW:
        return rows.take(order_of(rows["ts"], rows["partition"]))
    ordered = np.empty_like(rows)
    _insert(rows, ordered)
    return ordered


def order_of(times: NDArray[np.int64], partitions: NDArray[np.signedinteger[Any]]) -> NDArray[np.int64]:
    """The places of rows by their times (ms); ties by partition, then as they stand.

    Sorting integers of time and position is several times as fast as finding a stable order of the times.
    """
    order = np.argsort(partitions.astype(np.uint16), kind="stable")  # 16 bits: numpy counts instead of comparing
    if not len(order):
        return order
    first = times.min()
    if len(order) >= 1 << POSITION_BITS or times.max() - first >= 1 << (62 - POSITION_BITS):
        dated: NDArray[np.int64] = order[np.argsort(times[order], kind="stable")]
        return dated
    keys = np.empty(len(order), np.int64)
    _date(times, order, first, keys)
    keys.sort()
    _to_places(keys, order)
    return keys


@compiled
def _release(
    fresh: NDArray[Any],
    held: NDArray[Any],
    count: int,
    now: int,
    watermark: int,
    arrived: NDArray[Any],
    passed: NDArray[Any],
    counts: NDArray[np.int64],
) -> None:
    """Sort out `fresh` and the first `count` rows of `held`, which has room for all; `counts` of what is where now:
    fresh, held, arrived, passed.
    """
    h = 0
    p = 0
    for i in range(count):
        if held[i]["ts"] < watermark:
            passed[p] = held[i]
            p += 1
        else:
            if h != i:
                held[h] = held[i]
            h += 1
    ahead = 0
    a = 0
    for i in range(len(fresh)):
        ts = fresh[i]["ts"]
        if ts > now:
            fresh[ahead] = fresh[i]
            ahead += 1
            continue
        arrived[a] = fresh[i]
        a += 1
        if not fresh[i]["late"]:
            if ts < watermark:
                passed[p] = fresh[i]
                p += 1
            else:
                held[h] = fresh[i]
                h += 1
    counts[0] = ahead
    counts[1] = h
    counts[2] = a
    counts[3] = p


@steady
def _insert(rows: NDArray[Any], ordered: NDArray[Any]) -> None:
    """Write `rows` to `ordered` one by one, each behind those that come no later."""
    for i in range(len(rows)):
        place = i
        while place > 0 and (
            ordered[place - 1]["ts"] > rows[i]["ts"]
            or (ordered[place - 1]["ts"] == rows[i]["ts"] and ordered[place - 1]["partition"] > rows[i]["partition"])
        ):
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = rows[i]


@compiled
def _date(times: NDArray[np.int64], order: NDArray[np.int64], first: int, keys: NDArray[np.int64]) -> None:
    for i in range(len(order)):
        keys[i] = (times[order[i]] - first) << POSITION_BITS | i


@compiled
def _to_places(keys: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    for i in range(len(keys)):
        keys[i] = order[keys[i] & ((1 << POSITION_BITS) - 1)]
