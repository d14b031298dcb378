"""What time it is: the stream clock, who is late, which record is a copy, and what a window holds."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from flows.audit.records import Event, Exclusion, Record, Rejection, Told
from flows.config.model import Config
from flows.messages.snapshot import ACCOUNTS

Read = Event | Exclusion | Rejection


@dataclass
class Turn:
    """An event, what it tells besides, and when that is used."""

    event: Event
    told: Told
    used: int  # ms: "max(ts, clock - lateness)"
    late: bool = False
    in_order: bool = False  # late, but in order for its user


@dataclass
class LateEvent:
    """An event that came late, but in order for its user."""

    event: Event
    bound_ms: int  # the bound that it missed: it is used when W is there


@dataclass
class Judgement:
    """What became of all records, in the order in which they were read."""

    as_of_ms: int | None  # T at the end
    accepted: list[Event]  # on time and late
    on_time: list[Event]
    late_in_order: list[LateEvent]
    accounting: dict[int, dict[str, int]]  # partition -> field of ACCOUNTS -> records
    turns: dict[str, list[Turn]]  # by kind of what is told; all kinds that any event tells of


def judge(records: Sequence[Record], readings: Sequence[Read], config: Config, as_of_ms: int | None) -> Judgement:
    """What a replay of the records makes of them: time moves with the events, and at the end to `as_of_ms`."""
    clocks = stream_clock_after_each(records, readings)
    ends = [time for time in (clocks[-1] if clocks else None, as_of_ms) if time is not None]
    return judge_by(clocks, records, readings, config, max(ends) if ends else None)


def judge_by(
    clocks: Sequence[int | None],
    records: Sequence[Record],
    readings: Sequence[Read],
    config: Config,
    as_of_ms: int | None,
) -> Judgement:
    """METRICS.md 3.8: "`consumed = accepted + rejected(reason) + duplicate + excluded`, and
    `accepted = on_time + late`, per partition"; 1: "`late = late_in_order + late_out_of_order`".

    `clocks` is T after each record; at the end T is `as_of_ms`, whatever the records say.
    """
    copies = which_are_copies(readings, clocks, config.dedup_horizon)
    limits = lateness_limits(readings, clocks, config.lateness)
    late = which_are_late(readings, limits)
    used = UsedTimes()
    late_in_order: list[LateEvent] = []
    accounting = {record.partition: dict.fromkeys(ACCOUNTS, 0) for record in records}
    accepted: list[Event] = []
    on_time: list[Event] = []
    for position, (record, reading) in enumerate(zip(records, readings, strict=True)):
        account = accounting[record.partition]
        account["consumed"] += 1
        if isinstance(reading, Rejection):
            account[f"rejected.{reading.reason}"] += 1
        elif isinstance(reading, Exclusion):
            account["excluded"] += 1
            account[f"excluded.{reading.kind}"] += 1
        elif copies[position]:
            account["duplicate"] += 1
        else:
            accepted.append(reading)
            account["accepted"] += 1
            account["clamped"] += reading.clamped
            bound = limits[position]
            if not late[position] or bound is None:
                account["on_time"] += 1
                on_time.append(reading)
                used.add(reading)
            elif used.has_between(reading, bound):
                account["late"] += 1
                account["late_out_of_order"] += 1
            else:
                account["late"] += 1
                account["late_in_order"] += 1
                late_in_order.append(LateEvent(reading, bound))
                used.add(reading)
    return Judgement(
        as_of_ms,
        accepted,
        on_time,
        late_in_order,
        accounting,
        all_turns(readings, clocks, limits, config.dedup_horizon, {id(late.event) for late in late_in_order}),
    )


class UsedTimes:
    """When the events were that the ordered metrics use, as far as they have been read."""

    def __init__(self) -> None:
        self._times: dict[str, list[int]] = {}  # by user, sorted

    def add(self, event: Event, watermark_ms: int | None = None) -> None:
        """`event` is used. Of the user's times before `watermark_ms`, which all are passed, the latest is enough."""
        times = self._times.setdefault(event.user, [])
        insort(times, event.ts)
        if watermark_ms is not None:
            del times[: max(0, bisect_left(times, watermark_ms) - 1)]

    def has_between(self, event: Event, bound_ms: int) -> bool:
        """METRICS.md 1: "*Late but in order*: when its user has no event between its time and the bound that it
        missed". One at the same time is not between them.
        """
        times = self._times.get(event.user, [])
        following = bisect_right(times, event.ts)
        return following < len(times) and times[following] < bound_ms


def stream_clock_after_each(records: Sequence[Record], readings: Sequence[Read]) -> list[int | None]:
    """T after each record; None while a lagging partition has no clock yet.

    "Each Kafka partition has a clock: the largest *reading* of its accepted events ... `T` = the smallest
    clock among the lagging partitions, or, when none lags, the largest clock of all ... `T` never moves back
    ... In `replay` ... `T` moves with the events only". A partition lags until its last record was read.
    """
    unread = Counter(record.partition for record in records)
    partition_clocks: dict[int, int] = {}
    stream_clock: int | None = None
    clocks: list[int | None] = []
    for record, reading in zip(records, readings, strict=True):
        unread[record.partition] -= 1
        if isinstance(reading, Event):
            clock = partition_clocks.get(record.partition, reading.reading)
            partition_clocks[record.partition] = max(reading.reading, clock)
        lagging = [partition for partition, left in unread.items() if left > 0]
        if all(partition in partition_clocks for partition in lagging) and partition_clocks:
            if lagging:
                now = min(partition_clocks[partition] for partition in lagging)
            else:
                now = max(partition_clocks.values())
            stream_clock = now if stream_clock is None else max(stream_clock, now)
        clocks.append(stream_clock)
    return clocks


def clock_as_it_came(records: Sequence[Record], readings: Sequence[Read]) -> list[int | None]:
    """T after each record, had each been read at once when Kafka took it: no partition lags then.

    "when none lags, the largest clock of all plus the time that has passed since", until the next record came.
    """
    newest: int | None = None
    stream_clock: int | None = None
    clocks: list[int | None] = []
    for record, reading, following in zip(records, readings, [*records[1:], None], strict=False):
        if isinstance(reading, Event):
            newest = reading.reading if newest is None else max(newest, reading.reading)
        if newest is not None:
            now = newest
            if following is not None and record.timestamp_ms >= 0:
                now += max(0, following.timestamp_ms - record.timestamp_ms)
            stream_clock = now if stream_clock is None else max(stream_clock, now)
        clocks.append(stream_clock)
    return clocks


def clock_of(partitions: Container[int], records: Sequence[Record], clocks: Sequence[int | None]) -> list[int | None]:
    """`clocks` as they stand before each record of these partitions; before any other, T is behind its partition.

    A partition that is caught up with is read so: T waits for it, so that its own clock decides.
    """
    following = [record.partition in partitions for record in records[1:]] + [False]
    return [clock if of_these else None for clock, of_these in zip(clocks, following, strict=False)]


def all_turns(
    readings: Sequence[Read],
    clocks: Sequence[int | None],
    limits: Sequence[int | None],
    horizon_ms: int,
    in_order: Container[int] = (),
) -> dict[str, list[Turn]]:
    """Everything told that is no copy, "(same user, messageId and customer)", late ones too; "used = max(ts, clock
    - lateness)". `in_order` has the identities of the late events that are in order for their user.
    """
    kinds = dict.fromkeys(kind for reading in readings if isinstance(reading, Event) for kind in reading.told)
    copies = {kind: which_are_copies(readings, clocks, horizon_ms, kind) for kind in kinds}
    return {
        kind: [
            Turn(
                reading,
                reading.told[kind],
                reading.ts if limit is None else max(reading.ts, limit),
                limit is not None and reading.ts < limit,
                id(reading) in in_order,
            )
            for reading, limit, is_copy in zip(readings, limits, copies[kind], strict=True)
            if isinstance(reading, Event) and kind in reading.told and not is_copy
        ]
        for kind in kinds
    }


def in_their_places(turns: Sequence[Turn]) -> list[Turn]:
    """What is used where late ones are, but only in order for their user: each at its own time."""
    return [replace(turn, used=turn.event.ts) for turn in turns if turn.in_order or not turn.late]


def which_are_copies(
    readings: Sequence[Read],
    clocks: Sequence[int | None],
    horizon_ms: int,
    kind: str | None = None,
) -> list[bool]:
    """A copy is a duplicate iff the first was read in the same or the previous generation, or, by a partition that
    is ahead, in a later one; generation = floor(clock / dedup_horizon), the clock being the larger of the running
    clock of the event's own partition, with the event, and T. Not refreshed by copies.

    With a `kind` among the events that tell something of it, and of the same key only.
    """
    partition_clocks: dict[int, int] = {}
    stream_clock: int | None = None  # before the record at hand
    first_generation: dict[tuple[str, str, str | None], int] = {}
    copies = []
    for reading, clock_after in zip(readings, clocks, strict=True):
        is_copy = False
        if isinstance(reading, Event):
            own_clock = max(reading.reading, partition_clocks.get(reading.partition, reading.reading))
            partition_clocks[reading.partition] = own_clock
            if reading.message is not None and (kind is None or kind in reading.told):
                now = own_clock if stream_clock is None else max(own_clock, stream_clock)
                key = (reading.user, reading.message, None if kind is None else reading.told[kind].key)
                generation = now // horizon_ms
                first = first_generation.get(key)
                if first is not None and generation - first <= 1:
                    is_copy = True
                else:
                    first_generation[key] = generation
        copies.append(is_copy)
        stream_clock = clock_after
    return copies


def which_are_late(readings: Sequence[Read], limits: Sequence[int | None]) -> list[bool]:
    """D3: "an event is late iff ts <" its limit."""
    return [
        isinstance(reading, Event) and limit is not None and reading.ts < limit
        for reading, limit in zip(readings, limits, strict=True)
    ]


def lateness_limits(readings: Sequence[Read], clocks: Sequence[int | None], lateness_ms: int) -> list[int | None]:
    """D3: "max(W when its poll is read, its own partition's running clock - lateness), the running clock taken
    over the accepted, not excluded events before it in that partition (duplicates move it too)". None: nothing
    that is not excluded can be late.
    """
    partition_clocks: dict[int, int] = {}
    limits: list[int | None] = []
    stream_clock: int | None = None  # before the record at hand
    for reading, clock_after in zip(readings, clocks, strict=True):
        limit = None
        if isinstance(reading, Event):
            own_clock = partition_clocks.get(reading.partition)
            read = [clock for clock in (stream_clock, own_clock) if clock is not None]
            limit = max(read) - lateness_ms if read else None
            partition_clocks[reading.partition] = max(
                reading.reading, reading.reading if own_clock is None else own_clock
            )
        limits.append(limit)
        stream_clock = clock_after
    return limits


def pane(time_ms: int, window_ms: int) -> int:
    """D2: "`ts * 60 // window_ms`", the number of the pane of width window / 60 that holds `time_ms`."""
    return time_ms * 60 // window_ms


def arrival_window_holds(ts: int, window_ms: int, stream_clock_ms: int) -> bool:
    """METRICS.md 1: "events with `floor(ts/b) > floor(T/b) - 60` and `ts <= T`"."""
    return pane(ts, window_ms) > pane(stream_clock_ms, window_ms) - 60 and ts <= stream_clock_ms


def ordered_window_holds(time_ms: int, window_ms: int, watermark_ms: int) -> bool:
    """METRICS.md 1: "Ordered metrics use `W` for `T`"; D1: "and time < W"."""
    return pane(time_ms, window_ms) > pane(watermark_ms, window_ms) - 60 and time_ms < watermark_ms
