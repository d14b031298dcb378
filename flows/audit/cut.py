"""The numbers at the cut that a publish stands at: the records that it had counted, and its own stream clock.

Two things about a run cannot be read off its records. How far the stream clock T had come at the cut is published.
How far it had come when each record was read is not, and it can decide whether an event was late, or a message within
`dedup_horizon` of its first copy. There are two ways in which a record can have been read:

* *catching up*: T waits for the slowest lagging partition, so the partition's own clock decides alone;
* *as it came*: no partition lags, and T is the largest clock of all plus the time that has passed since.

The published accounts say whether that matters. What is late by the partition's own clock is late in any case; so where
no more events were late, T has decided nothing, and the numbers are known. Where more were, it is not known which, as
records are read some in one way and some in the other. A number is then right when either way gives it, and undecided,
not wrong, when neither does.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from sys import intern

from flows.audit.clock import Judgement, Read, clock_as_it_came, clock_of, judge_by
from flows.audit.parse import parse
from flows.audit.published import Published
from flows.audit.recompute import Result, numbers
from flows.audit.records import Event, Record
from flows.audit.top import NO_LIMITS
from flows.config.limits import Limits
from flows.config.model import Config

DEPENDENT = ("accepted", "on_time", "late", "late_in_order", "late_out_of_order", "duplicate")
"""The accounts in which it shows when records were read; all others depend on the records alone."""


@dataclass(frozen=True)
class Truth:
    """What is right at a cut."""

    results: Sequence[Result]  # one, or two of which neither needs to hold
    undecided: Mapping[int, int]  # partition -> events that T has made late; empty: there is one result, and it holds


class History:
    """The records up to a cut, read once: their bytes are not kept."""

    def __init__(self, config: Config, limits: Limits = NO_LIMITS) -> None:
        self._config = config
        self._limits = limits
        self._read: dict[int, list[tuple[Record, Read]]] = {}

    def add(self, record: Record) -> None:
        """Take the next record of its partition."""
        reading = parse(record, self._config, record_bytes=self._limits.record_bytes)
        if isinstance(reading, Event):
            reading.user = intern(reading.user)
        self._read.setdefault(record.partition, []).append((replace(record, value=None), reading))

    def truth(self, published: Published) -> Truth:
        """What should have been published instead of `published`, at its own cut."""
        spans = published.spans
        up_to = {
            partition: [pair for pair in pairs if spans[partition][0] <= pair[0].offset < spans[partition][1]]
            for partition, pairs in self._read.items()
            if partition in spans
        }
        ordered = list(in_order(up_to.values()))
        records, readings = [record for record, _ in ordered], [reading for _, reading in ordered]
        return truth_of(records, readings, published, self._config, self._limits)


def in_order(partitions: Iterable[Sequence[tuple[Record, Read]]]) -> Iterable[tuple[Record, Read]]:
    """The records of all partitions by the time at which Kafka took them, each partition's own in its order."""

    def timed(pairs: Sequence[tuple[Record, Read]]) -> Iterable[tuple[int, int, int, tuple[Record, Read]]]:
        latest = -1
        for pair in pairs:
            record = pair[0]
            latest = max(latest, record.timestamp_ms)
            yield latest, record.partition, record.offset, pair

    return (pair for *_, pair in merge(*map(timed, partitions), key=lambda timed: timed[:3]))


def truth_of(
    records: Sequence[Record], readings: Sequence[Read], published: Published, config: Config, limits: Limits
) -> Truth:
    """What the records come to when they are caught up with; and as they came, where the accounts want it so."""

    def judged(as_they_came: Container[int]) -> Judgement:
        clocks = clock_of(as_they_came, records, came)
        return judge_by(clocks, records, readings, config, published.as_of_ms)

    came = clock_as_it_came(records, readings)
    caught_up = judged(())
    undecided = {
        partition: late
        for partition, account in sorted(caught_up.accounting.items())
        if (late := made_late(account, published.account(partition)))
    }
    results = [numbers(caught_up, config, limits)]
    if undecided:
        results.append(numbers(judged(undecided), config, limits))
    return Truth(results, undecided)


def made_late(account: Mapping[str, int], told: Mapping[str, int]) -> int:
    """How many more events of a partition were late than by its own clock, or were no copies.

    0 where the account that was told is this one, and where it does not close, and so is wrong.
    """
    differing = {name for name in account if account[name] != told.get(name)}
    if not differing or not differing <= {*DEPENDENT}:
        return 0
    closes = told["accepted"] == told["on_time"] + told["late"]
    if not closes or told["accepted"] + told["duplicate"] != account["accepted"] + account["duplicate"]:
        return 0
    return max(abs(told[name] - account[name]) for name in ("late", "late_out_of_order", "duplicate"))
