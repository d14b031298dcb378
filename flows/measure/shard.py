"""One shard: some of the users, and every metric over them.

What happens to a poll, in order:

    receive   it waits, with the clock readings of its time       (cheap: polls are small, work is done in big arrays)
    admit     copies are dropped, late rows marked, users found    -> reorder buffer
    advance   what T has reached goes to the arrival metrics, what the watermark has passed, sorted by
              (time, partition, offset), to the ordered ones

A tick advances and reports. Between ticks a shard advances when enough rows wait; that changes no reported number,
since every family's state is a function of the rows it has used and the time it stands at.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.fingerprint import fingerprint
from flows.checkpoint.layout import pieces, unpack
from flows.compiled.loops import compiled
from flows.config.limits import Limits
from flows.config.model import Config
from flows.measure.clock import Reading, StreamClock, judge
from flows.measure.dedup import Recent
from flows.measure.reorder import ReorderBuffer
from flows.measure.users import Users
from flows.messages.columns import EVENT, NO_STATES, NO_TIME, REASONS, STATE, Columns, joined
from flows.messages.partial import Partial
from flows.messages.snapshot import ACCOUNTS
from flows.messages.tick import Tick
from flows.metrics.catalogue import families
from flows.metrics.family import HELD
from flows.metrics.minutes import MinuteBook
from flows.metrics.subscriptions import Subscriptions
from flows.state.container import Arrays, Container, containers
from schemas.event import EXCLUSIONS

ADVANCE_ROWS: Final = 8_192
"""Rows that wait before a shard advances between ticks: large enough for the compiled loops to pay."""
EVICTED_AT_ONCE: Final = 0.05
"""Share of the users evicted when the limit is reached, so that it is rare."""
CONSUMED, ACCEPTED, ON_TIME, LATE, DUPLICATE, EXCLUDED, CLAMPED, REJECTED = range(8)
"""Columns of the accounting, as in ACCOUNTS; one per reason follows from REJECTED on."""
EXCLUDED_AS: Final = REJECTED + len(REASONS)
"""And from here on one per kind of exclusion."""


NO_ROWS: Final = np.zeros(0, HELD)


class Shard:
    """The users whose hash is one number modulo `config.shards`; `limits.users_per_shard` of them at most."""

    def __init__(self, config: Config, limits: Limits | None = None) -> None:
        self._config = config
        self._fingerprint = fingerprint(config)
        limits = limits or Limits()
        self._max_users = limits.users_per_shard
        self._max_held = limits.held_per_shard
        self.clock = StreamClock()
        self.recent = Recent(config.dedup_horizon)
        self.users = Users()
        self.book = MinuteBook(config)
        self._families = families(config, self.book)
        self._arrival = [family for family in self._families.values() if not family.ordered]
        self._ordered = [family for family in self._families.values() if family.ordered]
        self._subscriptions = None
        if isinstance(subscriptions := self._families.get("subscriptions"), Subscriptions):
            self._ordered.remove(subscriptions)
            self._subscriptions = subscriptions
            subscriptions.most = limits.users_per_shard
            self.recent_states = Recent(config.dedup_horizon)
        self._capacity = 0
        self._make_room()
        self._accounting: NDArray[np.int64] = np.zeros((0, len(ACCOUNTS)), np.int64)
        self._waiting: list[tuple[NDArray[Any], Reading]] = []
        self._waiting_rows = 0
        self._waiting_states: list[tuple[NDArray[Any], Reading]] = []
        self._states_waiting = 0
        self.buffer = ReorderBuffer()
        self._unused_rows = 0  # admitted since the last advance

    @property
    def held_rows(self) -> int:
        """Rows in the reorder buffer."""
        return len(self.buffer) + self._waiting_rows

    def receive(self, poll: Columns, rows: NDArray[Any], accounts: bool, states: NDArray[Any] = NO_STATES) -> None:
        """Take note of `poll`, and take `rows` (dtype EVENT): those of its rows whose users live here; and `states`
        (dtype STATE): those whose customers do.

        One shard of all `accounts` for what the poll consumed, rejected and excluded.
        """
        if len(self._accounting) < poll.partitions:
            grown = np.zeros((poll.partitions, len(ACCOUNTS)), np.int64)
            grown[: len(self._accounting)] = self._accounting
            self._accounting = grown
        if accounts:
            account = self._accounting[poll.partition]
            account[CONSUMED] += poll.consumed
            account[EXCLUDED] += poll.excluded.sum()
            account[REJECTED:EXCLUDED_AS] += poll.rejected
            account[EXCLUDED_AS:] += poll.excluded
        reading = self.clock.read(poll)
        if len(states):
            self._waiting_states.append((states, reading))
            self._states_waiting += len(states)
            if self._states_waiting >= ADVANCE_ROWS:
                self._advance_subscriptions()
        if len(rows):
            self._waiting.append((rows, reading))
            self._waiting_rows += len(rows)
            if self._waiting_rows >= ADVANCE_ROWS:
                self._admit()
                if self._unused_rows >= max(ADVANCE_ROWS, self.buffer.held // 2):
                    self._advance()

    def tick(self, tick: Tick) -> Partial:
        """Stand at the time of `tick` and report."""
        self.clock.advance(tick.monotonic_ms, tick.as_of_ms)
        self._admit()
        self._advance()
        self._advance_subscriptions()
        now = self.clock.now_ms
        watermark = NO_TIME if now == NO_TIME else now - self._config.lateness
        return Partial(
            tick.number,
            tick.final,
            now,
            watermark,
            np.concatenate([family.read() for family in self._families.values()]),
            {} if now == NO_TIME else self.book.closed(watermark),
            self._accounting.copy(),
        )

    def _admit(self) -> None:
        """Drop copies, mark late rows, give every user a slot."""
        if not self._waiting:
            return
        lengths = [len(rows) for rows, _ in self._waiting]
        readings = [reading for _, reading in self._waiting]
        rows = joined([rows for rows, _ in self._waiting], EVENT)
        self._waiting.clear()
        self._waiting_rows = 0
        clocks, late = judge(rows, lengths, readings, self._config.lateness)
        late[max(0, self._max_held - self.held_rows) :] = True  # no room to wait: they count as late, seen by all
        copies = self.recent.copies(rows, clocks)
        slots = self.users.slots(rows)  # a copy's user is known already
        self._make_room()
        admitted = _hold(rows, copies, late, slots, self._accounting, self.buffer.room(len(rows)))
        self.buffer.admit(admitted)
        self._unused_rows += admitted

    def _admit_states(self) -> None:
        """Drop copies, and say when each state takes its turn: a late one when it is read."""
        if not self._waiting_states:
            return
        assert isinstance(self._subscriptions, Subscriptions)
        lengths = [len(states) for states, _ in self._waiting_states]
        readings = [reading for _, reading in self._waiting_states]
        states = joined([states for states, _ in self._waiting_states], STATE)
        self._waiting_states.clear()
        self._states_waiting = 0
        clocks, _ = judge(states, lengths, readings, self._config.lateness)
        states["used"] = np.maximum(states["ts"], clocks - self._config.lateness)
        self._subscriptions.receive(states[~self.recent_states.copies(states, clocks)])

    def _advance_subscriptions(self) -> None:
        """Use the states whose time has come. They are few, so that it is not done with every advance."""
        now = self.clock.now_ms
        if self._subscriptions is None or now == NO_TIME:
            return
        self._admit_states()
        self.recent_states.forget(now)
        self._subscriptions.advance(NO_ROWS, self.users.count, now - self._config.lateness)

    def _make_room(self) -> None:
        if self.users.capacity > self._capacity:
            self._capacity = self.users.capacity
            for family in self._families.values():
                for container in containers(family).values():
                    container.resize(self._capacity)

    def _advance(self) -> None:
        """Use the rows whose time has come, in all families, and let them stand at the clock."""
        now = self.clock.now_ms
        if now == NO_TIME:
            return
        watermark = now - self._config.lateness
        self.recent.forget(now)
        arrived, passed = self.buffer.release(now, watermark)
        self._unused_rows = 0
        for family in self._arrival:
            family.advance(arrived, self.users.count, now)
        self.book.turn(watermark)
        for family in self._ordered:
            family.advance(passed, self.users.count, watermark)
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
        self.users.keep(kept)
        self.buffer.renumber(renumbered)

    def _parts(self) -> dict[str, Container]:
        """Everything that is remembered, by the name under which it is saved."""
        return containers(self) | {
            f"{name}.{part}": container
            for name, family in self._families.items()
            for part, container in containers(family).items()
        }

    def freeze(self) -> bytes:
        """The whole state in one."""
        return b"".join(self.pieces())

    def pieces(self) -> list[bytes | memoryview]:
        """The whole state; see `checkpoint.pieces`."""
        self._admit()
        self._admit_states()
        return pieces(self._arrays(), self._fingerprint)

    def _arrays(self) -> Arrays:
        arrays = {
            f"{name}/{key}": array
            for name, container in self._parts().items()
            for key, array in container.save(self.users.count).items()
        }
        arrays["accounting"] = self._accounting
        return arrays

    def thaw(self, frozen: bytes | memoryview) -> None:
        """Take back what `freeze` gave; raises CheckpointError when it was made by another config or version."""
        arrays = unpack(frozen, self._fingerprint, layout=self._arrays())
        count = len(arrays["users/hashes"])
        while self.users.capacity < count:
            self.users.resize(self.users._grown(count))
        capacity = self.users.capacity
        for name, container in self._parts().items():
            prefix = f"{name}/"
            container.load(
                {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)},
                capacity,
            )
        self._capacity = capacity
        self._accounting = arrays["accounting"].copy()


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


assert ACCOUNTS[REJECTED:EXCLUDED_AS] == tuple(f"rejected.{reason}" for reason in REASONS)
assert ACCOUNTS[EXCLUDED_AS:] == tuple(f"excluded.{kind}" for kind in EXCLUSIONS)
