"""How this process is doing: the one mutable object that stages write and outputs read.

Every verb takes a lock for a few assignments, so any thread may call it; `read()` returns an immutable
copy, so a page rendered from it never mixes two moments. Ages are measured on the monotonic clock, since a
stepped wall clock must not make a healthy process look stale; what is published as a time is wall time.

*Live* means: nothing has happened that a restart would mend, so neither an absent Redis nor a topic of broken
records ends it. *Ready* means: the published numbers are current and made of most of what came in.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from flows.messages.columns import Columns
from flows.messages.raw import Rejected
from flows.process.rejections import Rejections, nothing_accepted

REJECTED_OVER: Final = 10_000
"""The share of rejected records is taken over this many latest ones."""

REJECTED_AT_LEAST: Final = 100
"""Fewer records count as this many, so that a few bad ones right after the start decide nothing."""

SHEDDING_SHARE: Final = 0.5
"""With more than this share of records rejected, the numbers describe what is left over, not the product."""

PUBLISH_BOUNDS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the histogram of publish times; one more bucket lies beyond the last."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of one process of a cluster."""

    at: float  # Unix seconds
    cpu_seconds: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """What keeps a partition from being read on, though its broker answers."""

    records: int  # behind it
    seconds: float  # waited so far


HELD_AT_LEAST_SECONDS: Final = 3.0
"""Partitions lag every now and then; what has lasted shorter is not told."""


@dataclass(frozen=True, slots=True)
class ClockHold:
    """Why a partition holds the stream clock."""

    reason: str  # one of few: it is a label
    seconds: float  # so far
    sentence: str


@dataclass(frozen=True, slots=True)
class DeadLetterCounts:
    """What became of the copies of rejected records, and which of them wait for Kafka."""

    waiting: int = 0
    waiting_bytes: int = 0
    oldest_seconds: float = 0.0  # that the oldest has waited
    delivered: int = 0
    skipped: int = 0  # beyond the limit per second
    dropped: int = 0  # for too many waited

    def __add__(self, other: DeadLetterCounts) -> DeadLetterCounts:
        """Of two processes."""
        return DeadLetterCounts(
            self.waiting + other.waiting,
            self.waiting_bytes + other.waiting_bytes,
            max(self.oldest_seconds, other.oldest_seconds),
            self.delivered + other.delivered,
            self.skipped + other.skipped,
            self.dropped + other.dropped,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """One consistent look at a `Health`. Times are Unix seconds; None: it has not happened yet."""

    version: str
    started_at: float
    live: bool
    problems: tuple[str, ...]  # why the process is not ready, one sentence each; empty: ready
    fatal: str | None  # why the process is ending
    assigned: tuple[tuple[str, int], ...]  # (topic, partition)
    lag_messages: Mapping[tuple[str, int], int]  # (topic, partition) -> records not yet read
    open_transactions: Mapping[tuple[str, int], OpenTransaction]  # partitions that stand before one
    clock_holds: Mapping[tuple[str, int], ClockHold]  # partitions that lag, and why
    caught_up: bool  # every partition was read as far as it could be at least once since the start
    rejected_share: float  # of the last REJECTED_OVER records, in whole polls
    redis_configured: bool
    redis_reachable: bool | None
    published_at: float | None
    publish_failures: int
    publish_seconds_buckets: tuple[int, ...]  # publishes by duration, not cumulative, one more than bounds
    publish_seconds_sum: float
    checkpoint_at: float | None
    checkpoint_seconds: float | None  # how long the last one took
    dead_letters: DeadLetterCounts
    processes: Mapping[int, Heard]  # of a cluster, by number; none where one process does all

    @property
    def ready(self) -> bool:
        """Whether the published numbers are current."""
        return not self.problems

    @property
    def waits(self) -> tuple[str, ...]:
        """What the numbers wait for while all is well, one sentence each."""
        return tuple(
            f"topic {topic} partition {partition}: {one.records} records wait for the end of a transaction, "
            f"for {one.seconds:.0f} s so far"
            for (topic, partition), one in sorted(self.open_transactions.items())
        ) + tuple(
            f"topic {topic} partition {partition} holds the stream clock: {hold.sentence}"
            for (topic, partition), hold in sorted(self.clock_holds.items())
            if hold.seconds >= HELD_AT_LEAST_SECONDS and (topic, partition) not in self.open_transactions
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What another process of the cluster tells of itself, for the one page of process 0."""

    assigned: tuple[tuple[str, int], ...]
    lag_messages: Mapping[tuple[str, int], int]
    open_transactions: Mapping[tuple[str, int], OpenTransaction]
    clock_holds: Mapping[tuple[str, int], ClockHold]
    caught_up: bool
    polled: int  # of the latest records, as many as the share of rejected ones is taken over
    rejected: int
    checkpoint_seconds: float | None
    dead_letters: DeadLetterCounts
    cpu_seconds: float  # used by the process since it began
    resident_bytes: int


class Health:
    """The state of this process, from its first second on.

    In a process that is ready the last snapshot, and the last publish where Redis is configured, are at most
    `stale_after_seconds` old.
    """

    def __init__(
        self,
        *,
        redis_configured: bool,
        stale_after_seconds: float = 10.0,
        processes: int = 1,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._wall = wall
        self._monotonic = monotonic
        self._stale_after_seconds = stale_after_seconds
        self._redis_configured = redis_configured
        self._started_at = wall()
        self._fatal: str | None = None
        self._assigned: tuple[tuple[str, int], ...] = ()
        self._lag_messages: dict[tuple[str, int], int] = {}
        self._open_transactions: dict[tuple[str, int], OpenTransaction] = {}
        self._clock_holds: dict[tuple[str, int], ClockHold] = {}
        self._caught_up = False
        self._polls: deque[tuple[int, int]] = deque()  # (records, rejected) of the latest polls
        self._polled = 0
        self._rejected = 0
        self._accepted_any = False
        self._rejections = Rejections()  # of the latest records; of all, while most are rejected from the start
        self._read_whole = False  # when the last snapshot was taken
        self._rejected_whole = False
        self._shedding = False
        self._snapshot_age_from: float | None = None
        self._redis_reachable: bool | None = None
        self._published_at: float | None = None
        self._publish_age_from: float | None = None
        self._publish_failures = 0
        self._publish_seconds_buckets = [0] * (len(PUBLISH_BOUNDS_SECONDS) + 1)
        self._publish_seconds_sum = 0.0
        self._checkpoint_at: float | None = None
        self._checkpoint_seconds: float | None = None
        self._dead_letters: Callable[[], DeadLetterCounts] = DeadLetterCounts
        self._processes = processes
        self._others: dict[int, tuple[float, float, Report]] = {}  # wall, monotonic, what it said

    def assign(self, partitions: Iterable[tuple[str, int]]) -> None:
        """These (topic, partition) are read by this process, and no others; their lags are forgotten."""
        with self._lock:
            self._assigned = tuple(sorted(partitions))
            self._lag_messages = {key: lag for key, lag in self._lag_messages.items() if key in self._assigned}
            self._open_transactions = {}
            self._clock_holds = {}

    def lags(self, topic: str, partition: int, messages: int) -> None:
        """So many records of a partition wait to be read."""
        with self._lock:
            self._lag_messages[topic, partition] = messages

    def open_transactions(self, topic: str, waits: Mapping[int, tuple[int, float]]) -> None:
        """By partition that stands before an open transaction: records behind it, and seconds that it has waited."""
        with self._lock:
            self._open_transactions = {(topic, number): OpenTransaction(*wait) for number, wait in waits.items()}

    def clock_holds(self, topic: str, holds: Mapping[int, tuple[str, float, str]]) -> None:
        """By partition of this process that lags: the reason, seconds so far, and a sentence."""
        with self._lock:
            self._clock_holds = {(topic, number): ClockHold(*hold) for number, hold in holds.items()}

    def caught_up(self) -> None:
        """Every partition has been read as far as it could be; stays true until the process ends."""
        with self._lock:
            self._caught_up = True

    def polled(self, poll: Columns, rejected: Sequence[Rejected]) -> None:
        """A poll was decoded, and some of its records `rejected`; says so loudly when most are."""
        with self._lock:
            if self._rejections.consumed >= REJECTED_OVER and not self._shedding:
                self._rejections = Rejections()
            self._rejections.take(poll, rejected)
            self._accepted_any |= len(poll.rows) > 0
            self._polls.append((poll.consumed, len(rejected)))
            self._polled += poll.consumed
            self._rejected += len(rejected)
            while self._polled - self._polls[0][0] >= REJECTED_OVER:
                old_records, old_rejected = self._polls.popleft()
                self._polled -= old_records
                self._rejected -= old_rejected
        self._judge_rejections()

    def snapshot_taken(self, accounting: Mapping[int, Mapping[str, int]] | None = None, *, final: bool = False) -> None:
        """A new snapshot has reached the outputs; says so loudly when all that there is was read and nothing accepted.

        `accounting` is that of the snapshot, and so covers all processes and what earlier runs have read; `final`:
        nothing follows.
        """
        with self._lock:
            self._snapshot_age_from = self._monotonic()
            # The snapshot that is on its way while the end is reached does not cover the last polls.
            self._rejected_whole = (final or self._read_whole) and nothing_accepted(accounting or {})
            self._read_whole = self._caught_up
        self._judge_rejections()

    def published(self, seconds: float) -> None:
        """A snapshot was written to Redis, which took so long."""
        with self._lock:
            self._redis_reachable = True
            self._published_at = self._wall()
            self._publish_age_from = self._monotonic()
            self._publish_seconds_buckets[bisect_left(PUBLISH_BOUNDS_SECONDS, seconds)] += 1
            self._publish_seconds_sum += seconds

    def publish_failed(self, *, reachable: bool) -> None:
        """An attempt to write to Redis failed; `reachable`: Redis answered, though with a refusal."""
        with self._lock:
            self._redis_reachable = reachable
            self._publish_failures += 1

    def checkpointed(self, seconds: float) -> None:
        """A checkpoint was completed, which took so long."""
        with self._lock:
            self._checkpoint_at = self._wall()
            self._checkpoint_seconds = seconds

    def count_dead_letters(self, counts: Callable[[], DeadLetterCounts]) -> None:
        """Ask `counts` how the dead letters of this process are doing, from any thread."""
        self._dead_letters = counts

    def report(self) -> Report:
        """What process 0 is to know of this one."""
        cpu_seconds, resident_bytes = usage()
        dead_letters = self._dead_letters()
        with self._lock:
            return Report(
                assigned=self._assigned,
                lag_messages=dict(self._lag_messages),
                open_transactions=self._open_transactions,
                clock_holds=self._clock_holds,
                caught_up=self._caught_up,
                polled=self._polled,
                rejected=self._rejected,
                checkpoint_seconds=self._checkpoint_seconds,
                dead_letters=dead_letters,
                cpu_seconds=cpu_seconds,
                resident_bytes=resident_bytes,
            )

    def hear(self, process: int, report: Report) -> None:
        """Another process of the cluster has said how it is doing."""
        with self._lock:
            self._others[process] = self._wall(), self._monotonic(), report

    def fail(self, reason: str) -> None:
        """The process is ending because of `reason` (one sentence without secrets); the first one stays."""
        with self._lock:
            self._fatal = self._fatal or reason

    def read(self) -> Reading:
        """Everything as it is now."""
        cpu_seconds, resident_bytes = usage() if self._processes > 1 else (0.0, 0)
        dead_letters = self._dead_letters()
        with self._lock:
            others = [report for _, _, report in self._others.values()]
            all_lags = [self._lag_messages, *(report.lag_messages for report in others)]
            all_waits = [self._open_transactions, *(report.open_transactions for report in others)]
            all_holds = [self._clock_holds, *(report.clock_holds for report in others)]
            pauses = [self._checkpoint_seconds, *(report.checkpoint_seconds for report in others)]
            processes = {
                process: Heard(at, report.cpu_seconds, report.resident_bytes)
                for process, (at, _, report) in self._others.items()
            }
            if self._processes > 1:
                processes[0] = Heard(self._wall(), cpu_seconds, resident_bytes)
            return Reading(
                version=installed_version(),
                started_at=self._started_at,
                live=self._fatal is None,
                problems=tuple(self._problems()),
                fatal=self._fatal,
                assigned=self._all_assigned(),
                lag_messages={partition: lag for lags in all_lags for partition, lag in lags.items()},
                open_transactions={partition: wait for waits in all_waits for partition, wait in waits.items()},
                clock_holds={partition: hold for holds in all_holds for partition, hold in holds.items()},
                caught_up=self._caught_up
                and len(others) == self._processes - 1
                and all(report.caught_up for report in others),
                rejected_share=self._rejected_share(),
                redis_configured=self._redis_configured,
                redis_reachable=self._redis_reachable,
                published_at=self._published_at,
                publish_failures=self._publish_failures,
                publish_seconds_buckets=tuple(self._publish_seconds_buckets),
                publish_seconds_sum=self._publish_seconds_sum,
                checkpoint_at=self._checkpoint_at,
                checkpoint_seconds=max((pause for pause in pauses if pause is not None), default=None),
                dead_letters=sum((report.dead_letters for report in others), dead_letters),
                processes=processes,
            )

    def _all_assigned(self) -> tuple[tuple[str, int], ...]:
        others = (report.assigned for _, _, report in self._others.values())
        return tuple(sorted(partition for assigned in (self._assigned, *others) for partition in assigned))

    def _latest(self) -> tuple[int, int]:
        """The latest records of all processes, and how many of them were rejected."""
        others = [report for _, _, report in self._others.values()]
        polled = self._polled + sum(report.polled for report in others)
        return polled, self._rejected + sum(report.rejected for report in others)

    def _rejected_share(self) -> float:
        polled, rejected = self._latest()
        return rejected / max(polled, REJECTED_AT_LEAST)

    def _judge_rejections(self) -> None:
        """Say so when most records are rejected, and when they no longer are.

        Of several processes those speak that have read such records, and where there are none but such, the first.
        """
        with self._lock:
            shedding = self._rejected_whole or self._rejected_share() > SHEDDING_SHARE
            changed, self._shedding = shedding != self._shedding, shedding
            if not changed or not (self._rejected_whole or self._rejections.rejected):
                return
            said = self._rejected_sentence() if shedding else ""
        if said:
            logger.error("%s", said)
        else:
            logger.info("Most records are accepted again.")

    def _rejected_sentence(self) -> str:
        """That most records are rejected, and for what."""
        told = f"{self._rejected_share():.0%} of the last records were rejected; the numbers describe only the rest"
        if self._rejected_whole or not self._accepted_any:
            told = "none of the records read so far was accepted"
        return "\n".join([told, *self._rejections.lines(), "The dead-letter topic has each of them, with its reason."])

    def _problems(self) -> Iterable[str]:
        if self._fatal is not None:
            yield f"the process is ending: {self._fatal}"
        for process in range(1, self._processes):
            yield from self._silence(process)
        if not self._all_assigned():
            yield "no partition is assigned yet"
        yield from self._staleness("snapshot has been taken", self._snapshot_age_from)
        if self._redis_configured:
            yield from self._staleness("publish to Redis has succeeded", self._publish_age_from)
        if self._rejected_whole:
            yield "none of the records read so far was accepted"
        elif self._shedding:
            yield f"{self._rejected_share():.0%} of the last {self._latest()[0]} records were rejected"

    def _silence(self, process: int) -> Iterable[str]:
        heard = self._others.get(process)
        if heard is None:
            yield f"process {process} has not been heard of yet"
        elif (age := self._monotonic() - heard[1]) > self._stale_after_seconds:
            yield f"process {process} has not been heard of for {age:.0f} s"

    def _staleness(self, what: str, since: float | None) -> Iterable[str]:
        if since is None:
            yield f"no {what} yet"
        elif (age := self._monotonic() - since) > self._stale_after_seconds:
            yield f"no {what} for {age:.0f} s"


def usage() -> tuple[float, int]:
    """CPU seconds that this process has used, and the bytes it has in memory (0 where there is no /proc)."""
    times = os.times()
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        resident = 0
    return times.user + times.system, resident


@cache
def installed_version() -> str:
    """The version of the installed distribution; `unknown` when run from a bare checkout."""
    try:
        return version("tidegauge")
    except PackageNotFoundError:
        return "unknown"
