"""One shard: some of the users, and every metric over them.

What happens to a poll, in order:

    receive   it waits, with the clock readings of its time       (cheap: polls are small, work is done in big arrays)
    admit     copies are dropped, users found, late rows marked and judged    -> reorder buffer
    advance   what T has reached goes to the arrival metrics, what the watermark has passed, sorted by
              (time, partition, offset), to the ordered ones

Facts come and go the same way in lanes of their own (`lane.py`), one for each kind; which families take which is all
that is known of them here.

A tick advances and reports. Between ticks a shard advances when enough rows wait; that changes no reported number,
since every family's state is a function of the rows it has used and the time it stands at.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.layout import State, pieces
from flows.checkpoint.packing import Scratch
from flows.compiled.loops import compiled
from flows.config.limits import Limits
from flows.config.model import Config
from flows.measure.clock import StreamClock
from flows.measure.lane import FactLane, Lane, Taken, counted, record_of
from flows.measure.latecomers import in_turns, turns_of, which_in_order
from flows.measure.list_lane import ListLane
from flows.measure.reorder import ReorderBuffer
from flows.measure.scopes import Scopes
from flows.measure.stored import ACCOUNTING, OFFSETS, Stored
from flows.measure.tied_values import TiedValues
from flows.measure.users import Users
from flows.messages.columns import EVENT, NO_TIME, REASONS, TEXTS, TIED_VALUES
from flows.messages.delivery import Delivery
from flows.messages.partial import Partial
from flows.messages.snapshot import ACCOUNTS
from flows.messages.tick import Tick
from flows.metrics.catalogue import Members, facts_of, families, takers
from flows.metrics.family import Groups
from flows.metrics.minutes import MinuteBook
from flows.metrics.parts import definitions
from flows.metrics.top import Top
from flows.state.container import Container, containers
from schemas.event import EXCLUSIONS

ADVANCE_ROWS: Final = 8_192
"""Rows that wait before a shard advances between ticks: large enough for the compiled loops to pay."""
EVICTED_AT_ONCE: Final = 0.05
"""Share of the users evicted when the limit is reached, so that it is rare."""
CONSUMED, ACCEPTED, ON_TIME, LATE, LATE_IN_ORDER, LATE_OUT_OF_ORDER, DUPLICATE, EXCLUDED, CLAMPED, REJECTED = range(10)
"""Columns of the accounting, as in ACCOUNTS; one per reason follows from REJECTED on."""
EXCLUDED_AS: Final = REJECTED + len(REASONS)
"""And from here on one per kind of exclusion."""


class Shard:
    """The users whose hash is one number modulo `config.shards`; `limits.users_per_shard` of them at most."""

    def __init__(self, config: Config, limits: Limits | None = None, members: Members | None = None) -> None:
        self._config = config
        limits = limits or Limits()
        self._max_users = limits.users_per_shard
        self._max_held = limits.held_per_shard
        self.clock = StreamClock(config.lateness)
        self._events = Lane(EVENT, config)
        self.recent = self._events.recent
        self.users = Users()
        self.scopes = Scopes(config)
        self.book = MinuteBook(config)
        self.days = self.book.days
        self._families = (members or families)(config, self.book, limits)
        of_events = {name: one for name, one in self._families.items() if one.takes is None and one.lists is None}
        self._arrival = {name: family for name, family in of_events.items() if not family.ordered}
        self._ordered = {name: family for name, family in of_events.items() if family.ordered}
        self._lanes = {
            fact.name: FactLane(fact, config, takers(fact, self._families)) for fact in facts_of(self._families)
        }
        self._stamps = [lane.stamps for lane in self._lanes.values() if lane.stamps is not None]
        self._lists = {
            name: ListLane(name, one, config) for name, one in self._families.items() if isinstance(one, Top)
        }
        self._lanes |= {lane.fact.name: lane for lane in self._lists.values()}
        self._tied = TiedValues(self._ordered)
        self._capacity = 0
        self._make_room()
        self._accounting: NDArray[np.int64] = np.zeros((0, len(ACCOUNTS)), np.int64)
        self._offsets: NDArray[np.int64] = np.zeros((0, 2), np.int64)  # of the partitions that this shard accounts for
        self.buffer = ReorderBuffer(config.codes, Groups(config, None))
        self._unused_rows = 0  # admitted since the last advance
        self._since: dict[str, int] = {}  # when parts began that have not been there from the beginning, ms
        self._definitions = definitions(config, self._families)
        self._definitions_text = self._definitions.text()
        legends = {name: container.legend() for name, container in self._parts().items()}
        self._legends = json.dumps(
            {name: legend for name, legend in legends.items() if legend is not None} | {ACCOUNTING: ACCOUNTS}
        )

    @property
    def held_rows(self) -> int:
        """Rows in the reorder buffer."""
        return len(self.buffer) + len(self._events)

    def receive(self, delivery: Delivery) -> None:
        """Take note of a poll, and take those of its rows and facts that live here."""
        poll = delivery.poll
        if len(self._accounting) < poll.partitions:
            self._accounting = _grown(self._accounting, poll.partitions)
            self._offsets = _grown(self._offsets, poll.partitions)
        if delivery.accounts:
            if poll.offsets is not None:
                first, behind = poll.offsets
                if not self._offsets[poll.partition, 1]:
                    self._offsets[poll.partition, 0] = first
                self._offsets[poll.partition, 1] = behind
            account = self._accounting[poll.partition]
            account[CONSUMED] += poll.consumed
            account[EXCLUDED] += poll.excluded.sum()
            account[REJECTED:EXCLUDED_AS] += poll.rejected
            account[EXCLUDED_AS:] += poll.excluded
        reading = self.clock.read(poll)
        for lists in self._lists.values() if TEXTS in delivery.facts else ():
            lists.top.texts.receive(delivery.facts[TEXTS])
        for kind, facts in delivery.facts.items():
            if kind == TIED_VALUES:
                self._tied.receive(facts)
            if kind in (TEXTS, TIED_VALUES):
                continue
            lane = self._lanes[kind]
            lane.receive(facts, reading)
            if len(lane) >= ADVANCE_ROWS and not lane.waits_for_events:
                self._use_facts(lane)
        if len(delivery.rows):
            self._events.receive(delivery.rows, reading)
            if len(self._events) >= ADVANCE_ROWS:
                self._admit()
                if self._unused_rows >= max(ADVANCE_ROWS, self.buffer.held // 2):
                    self._advance()

    def tick(self, tick: Tick) -> Partial:
        """Stand at the time of `tick` and report."""
        self.clock.advance(tick.monotonic_ms, tick.as_of_ms)
        self._admit()
        self._advance()
        for lane in self._lanes.values():
            self._use_facts(lane)
        now = self.clock.now_ms
        for lists in self._lists.values():
            lists.foresee(now, self._since)
        watermark = self.clock.watermark_ms
        return Partial(
            tick.number,
            tick.final,
            now,
            watermark,
            np.concatenate([family.read() for family in self._families.values()]),
            {} if now == NO_TIME else self.book.closed(watermark),
            {} if now == NO_TIME else self.days.closed(watermark),
            self._accounting.copy(),
            self._offsets.copy(),
            self._since,
            {lane.name: lane.top.ranked() for lane in self._lists.values()},
        )

    def _admit(self) -> None:
        """Drop copies, mark late rows, give every user a slot."""
        taken = self._events.taken(self.clock.floor_ms)
        if taken is None:
            return
        rows, late = taken.rows, taken.late
        late[max(0, self._max_held - self.held_rows) :] = True  # no room to wait: they count as late, seen by all
        slots = self.users.slots(rows)  # a copy's user is known already
        self._make_room()
        room = self.buffer.room(len(rows))
        admitted = _hold(rows, taken.copies, late, slots, self._accounting, room)
        self._tied.admit(rows, taken.copies, room[:admitted])
        if late.any():
            self._sort_late(taken, room[:admitted])
        self.buffer.admit(admitted)
        self._unused_rows += admitted

    def _sort_late(self, taken: Taken, held: NDArray[Any]) -> None:
        """Let those of the late rows wait for the ordered metrics that are in order for their user."""
        kept = np.flatnonzero(~taken.copies)
        bounds = np.maximum(taken.clocks[kept] - self._config.lateness, self.clock.floor_ms)
        in_order = which_in_order(held, bounds, self.users.last, self.buffer.waiting)
        _book_late(held, in_order, self._accounting)
        rows = held.compress(in_order)
        rows["late"] = 0
        self.buffer.admit_late(rows, bounds[in_order])
        self._tied.admit_late(in_order, bounds[in_order])
        waiting = [lane for lane in self._lanes.values() if lane.waits_for_events]
        if waiting:
            records = record_of(taken.rows.take(kept.compress(in_order)))
            for lane in waiting:
                lane.note(records)

    def _use_facts(self, lane: FactLane) -> None:
        """Use the facts whose turn has come. They are few, so that it is not done with every advance."""
        if self.clock.now_ms != NO_TIME:
            lane.advance(self.clock, self.users, self._since, self._make_room)

    def _make_room(self) -> None:
        if self.users.capacity > self._capacity:
            self._capacity = self.users.capacity
            self.scopes.resize(self._capacity)
            for family in self._families.values():
                for container in containers(family).values():
                    container.resize(self._capacity)

    def _advance(self) -> None:
        """Use the rows whose time has come, in all families, and let them stand at the clock."""
        now = self.clock.now_ms
        if now == NO_TIME:
            return
        watermark = self.clock.watermark_ms
        self.recent.forget(now)
        arrived, passed = self.buffer.release(now, watermark)
        self._unused_rows = 0
        for name, family in self._arrival.items():
            family.advance(counted(arrived, self._since.get(name, 0)), self.users.count, now)
        late = self.buffer.late(watermark)
        turns = turns_of(late, self.book.stands_ms)
        self._tied.release(turns, now, watermark)
        for rows, until in in_turns(passed, late, turns, watermark):
            self.users.used(rows)
            self.scopes.stamp(rows)
            self._tied.show(rows, self._since)
            for stamps in self._stamps:
                stamps.note(rows)
            self.book.turn(until)
            for name, family in self._ordered.items():
                family.advance(counted(rows, self._since.get(name, 0)), self.users.count, until)
        if self.users.count > self._max_users:
            self._evict()

    def _evict(self) -> None:
        """Forget the longest idle users, so that memory stays bounded; `users.evicted` tells."""
        surplus = self.users.count - self._max_users + int(EVICTED_AT_ONCE * self._max_users)
        evicted = self.users.longest_idle(min(surplus, self.users.count - 1), self.buffer.slots)
        kept = np.setdiff1d(np.arange(self.users.count), evicted)
        renumbered = np.zeros(self.users.count, np.int32)
        renumbered[kept] = np.arange(len(kept))
        for family in self._families.values():
            family.forget(evicted)
            for container in containers(family).values():
                container.keep(kept)
        self.scopes.keep(kept)
        for stamps in self._stamps:
            stamps.keep(kept)
        self.users.keep(kept)
        self.buffer.renumber(renumbered)

    def _parts(self) -> dict[str, Container]:
        """Everything that is remembered, by the name under which it is saved."""
        owners: dict[str, object] = {**self._lanes, **self._families}
        return {
            **containers(self),
            **{
                f"{name}.{part}": container
                for name, owner in owners.items()
                for part, container in containers(owner).items()
            },
            **{f"{name}.waiting": waiting for name, waiting in self._tied.waiting.items()},
        }

    def freeze(self) -> bytes:
        """The whole state in one."""
        return b"".join(self.pieces(Scratch()))

    def pieces(self, scratch: Scratch) -> list[bytes | memoryview]:
        """The whole state; see `checkpoint.pieces`."""
        self._admit()
        for lane in self._lanes.values():
            lane.settle(self.clock.floor_ms)
        arrays = {
            f"{name}/{key}": array
            for name, container in self._parts().items()
            for key, array in container.save(self.users.count).items()
        }
        arrays |= {ACCOUNTING: self._accounting, OFFSETS: self._offsets}
        return pieces(State(self._definitions_text, self._since, self._legends, arrays), scratch)

    def thaw(self, frozen: bytes | memoryview) -> None:
        """Take back what `freeze` gave, perhaps under another config: parts that have another definition start afresh.

        Raises CheckpointError where nothing can go on.
        """
        stored = Stored(frozen, self._definitions)
        while self.users.capacity < stored.users:
            self.users.resize(self.users._grown(stored.users))
        capacity = self._capacity = self.users.capacity
        stored.load_all("", self, capacity)
        self._accounting, self._offsets = stored.accounting(), stored.offsets()
        self._since = stored.since(self.clock)
        for name, lane in self._lanes.items():
            if any(map(stored.keeps, lane.families)):
                stored.load_all(f"{name}.", lane, capacity)
        for name, family in self._families.items():
            if stored.keeps(name):
                stored.load_all(f"{name}.", family, capacity)
                if self.clock.now_ms != NO_TIME:
                    family.rebuild(self.users.count, self.clock.watermark_ms if family.ordered else self.clock.now_ms)
            else:
                for container in containers(family).values():
                    container.resize(capacity)
                self.book.restart(name)
                self.days.restart(name)
        for name, waiting in self._tied.waiting.items():
            if stored.keeps(name):
                stored.load(f"{name}.waiting", waiting, capacity)


def _grown(counts: NDArray[np.int64], partitions: int) -> NDArray[np.int64]:
    """`counts` with a row for each of so many partitions."""
    return np.concatenate([counts, np.zeros((partitions - len(counts), counts.shape[1]), np.int64)])


@compiled
def _hold(
    rows: NDArray[Any],
    copies: NDArray[np.bool_],
    late: NDArray[np.bool_],
    slots: NDArray[np.int32],
    accounting: NDArray[np.int64],
    held: NDArray[Any],
) -> int:
    """Book every row, and write those that are no copies to `held`; returns how many."""
    admitted = 0
    for i in range(len(rows)):
        row = rows[i]
        partition = row["partition"]
        if copies[i]:
            accounting[partition, DUPLICATE] += 1
            continue
        accounting[partition, ACCEPTED] += 1
        accounting[partition, LATE if late[i] else ON_TIME] += 1
        accounting[partition, CLAMPED] += row["clamped"]
        out = held[admitted]
        out["ts"] = row["ts"]
        out["dims"] = row["dims"]
        out["slot"] = slots[i]
        out["partition"] = row["partition"]
        out["code"] = row["code"]
        out["kind"] = row["kind"]
        out["late"] = late[i]
        admitted += 1
    return admitted


@compiled
def _book_late(rows: NDArray[Any], in_order: NDArray[np.bool_], accounting: NDArray[np.int64]) -> None:
    """Book of the late rows which are in order for their user."""
    for i in range(len(rows)):
        if rows[i]["late"]:
            accounting[rows[i]["partition"], LATE_IN_ORDER if in_order[i] else LATE_OUT_OF_ORDER] += 1


assert ACCOUNTS[REJECTED:EXCLUDED_AS] == tuple(f"rejected.{reason}" for reason in REASONS)
assert ACCOUNTS[EXCLUDED_AS:] == tuple(f"excluded.{kind}" for kind in EXCLUSIONS)
