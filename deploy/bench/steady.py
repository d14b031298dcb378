"""A load that does not change, in an open loop: does the job keep up, how fresh are its numbers, what costs a crash?

The feed shares a core with Kafka, Redis and whoever looks at Redis. When that core cannot keep the rate, the numbers
would tell of the feed and not of the job; so the rate is lowered until it can, and a row says so.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from deploy.bench import bars, processes
from deploy.bench.freshness import (
    Batch,
    Look,
    Window,
    ages_ms,
    batches,
    covers,
    lag_growth_ms,
    percentile,
    with_records,
)
from deploy.bench.laboratory import Laboratory, say
from deploy.bench.processes import RunFailed
from deploy.bench.stream import Stream
from deploy.bench.table import NOTHING, Asked, Row
from tests.services import wait_until

START_SECONDS: Final = 60.0
KEPT: Final = 0.9
"""Of the rate that must be in Kafka at the end of the warm-up; what is missing by then will be missing for good."""
LIGHT: Final = 10_000.0
"""Events a second that any feed can send; when such a load is late, the machine has other things to do."""
LOWERED: Final = 0.7
"""Of what the feed has brought into Kafka: the rate that is tried next, so that the core has room."""
ATTEMPTS: Final = 5
CLOSE_MS: Final = 1_500.0
"""A batch younger than this when it is read: the job keeps up again."""
LOG_SECONDS: Final = 0.25
"""Between two looks at the feed's log, which is long."""
BEHIND_SECONDS: Final = 30.0
"""What is seen later than that behind the end of a load has no age."""
STALL_SECONDS: Final = 90.0
"""Without one more event published for so long, a job that has work to do never will."""
SLOWEST: Final = 20_000.0
"""Events a second at which a backlog is worked off in the worst case; the wait for its end is bounded by that."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, for how long, and what is asked of the job meanwhile."""

    title: str
    rate: float  # events/s
    seconds: float  # that are measured
    warm_seconds: float
    kill_seconds: float = 0.0  # of load after a SIGKILL; 0: none
    freshness: Asked = bars.FRESHNESS
    cpu: Asked = NOTHING


def steady(laboratory: Laboratory, stream: Stream, load: Load) -> list[Row]:
    """Rows of one load, at a lower rate where the feed cannot keep it; RunFailed when a number is wrong."""
    asked = load.rate
    for attempt in range(ATTEMPTS):
        say(f"{load.title}: {load.rate:,.0f} events/s for {load.seconds:.0f} s")
        with ExitStack() as running:
            feeding = Feeding(laboratory, stream, load, running)
            kept = feeding.warm_up()
            if kept < KEPT * load.rate and load.rate > LIGHT and attempt < ATTEMPTS - 1:
                say(f"the other core brings {kept:,.0f} of {load.rate:,.0f} events/s into Kafka: trying fewer")
                load = replace(load, rate=kept * LOWERED)
                continue
            rows = feeding.measure()
            if load.kill_seconds:
                rows += feeding.kill()
        section = f"{load.title}: {load.rate:,.0f} events/s"
        if load.rate < asked:
            section += f" (of {asked:,.0f}: the other core, with feed, Kafka and Redis, brings no more)"
        return [replace(row, section=section) for row in rows]
    raise AssertionError("the last attempt returns")


class Feeding:
    """A job and a feed that are running; both end with `running`."""

    def __init__(self, laboratory: Laboratory, stream: Stream, load: Load, running: ExitStack) -> None:
        self._laboratory = laboratory
        self._load = load
        self._running = running
        self._state = running.enter_context(laboratory.state())
        laboratory.empty_redis()
        self._topic = laboratory.kafka.create_topic(stream.partitions)
        self._window = Window(laboratory.redis.url, laboratory.config.product, stream.partitions)
        self._log = laboratory.folder / "pacer.log"
        self._log.unlink(missing_ok=True)
        self._feed: subprocess.Popen[bytes] | None = None
        self._job = self._start_job()
        self._until(lambda: self._window.look() is not None, "the first publish")
        seconds = load.warm_seconds + load.seconds + load.kill_seconds
        self._feed = processes.start(
            "deploy.bench.pacer",
            [
                laboratory.kafka.bootstrap_servers,
                *map(str, [self._topic, stream.partitions, stream.users, load.rate, seconds, self._log]),
            ],
            laboratory.server_core,
            laboratory.log,
        )
        running.callback(processes.end, self._feed)
        self._until(lambda: bool(self._sent()), "the feed's first batch")

    def _start_job(self) -> subprocess.Popen[bytes]:
        job = self._laboratory.job(self._topic, state=self._state)
        self._running.callback(processes.end, job)
        return job

    def _until(self, condition: Callable[[], bool], awaited: str) -> None:
        wait_until(lambda: condition() or self._ended(), awaited, START_SECONDS)
        self._alive()

    def _ended(self) -> bool:
        failed = self._feed is not None and self._feed.poll() not in (None, 0)
        return self._job.poll() is not None or failed

    def _feeding(self) -> bool:
        return self._feed is not None and self._feed.poll() is None

    def _alive(self) -> None:
        if self._ended():
            raise RunFailed(f"a process has ended early:\n{self._laboratory.last_words()}")

    def _sent(self) -> list[Batch]:
        return batches(self._log) if self._log.exists() else []

    def warm_up(self) -> float:
        """Let load flow for a while; the events/s that Kafka has taken meanwhile."""
        self._window.wait(self._load.warm_seconds)
        self._alive()
        sent = self._sent()
        if len(sent) < 2:
            return 0.0
        taken = sum(sent[-1].sent) - sum(sent[0].sent)
        return taken / (sent[-1].due_ms + sent[-1].late_ms - sent[0].due_ms) * 1000

    def measure(self) -> list[Row]:
        """Whether the job keeps up, and how fresh its numbers are."""
        begin_ms = time.time() * 1000
        cpu_s, clock_s = processes.cpu_seconds(self._job.pid), time.monotonic()
        self._window.wait(self._load.seconds)
        share = (processes.cpu_seconds(self._job.pid) - cpu_s) / (time.monotonic() - clock_s)
        end_ms = time.time() * 1000
        due = [batch for batch in with_records(self._sent()) if begin_ms <= batch.due_ms < end_ms]
        deadline = time.monotonic() + BEHIND_SECONDS
        while due and time.monotonic() < deadline and not covers(self._window.looks[-1], due[-1]):
            self._window.wait(0.1)  # what was due at the end is still on its way
        self._alive()
        if len(due) < 2:
            raise RunFailed(f"the feed has sent {len(due)} batches while it was measured")
        return rows(self._load, due, [look for look in self._window.looks if look.at_ms >= begin_ms], share)

    def kill(self) -> list[Row]:
        """SIGKILL and an immediate start, under load; in the end every event must have been counted once."""
        before = self._window.looks[-1].run
        killed_ms = time.time() * 1000
        self._job.send_signal(signal.SIGKILL)
        self._job.wait()
        self._job = self._start_job()
        patience = Patience()
        while True:
            self._window.wait(LOG_SECONDS)
            self._alive()
            now, sent = self._window.look(), self._sent()
            done = now is not None and now.run != before and not self._feeding() and covers(now, sent[-1])
            consumed = sum(now.consumed) if now is not None and now.run != before else 0
            if done or patience.ends(consumed, sum(sent[-1].sent), feeding=self._feeding()):
                break
        last, total = self._window.looks[-1], sum(self._sent()[-1].sent)
        if sum(last.consumed) < total:
            raise RunFailed(
                f"after a SIGKILL {sum(last.consumed):,} of {total:,} events were published when no more came for "
                f"{STALL_SECONDS:.0f} s, or the time for the rest was over:\n{self._laboratory.last_words()}"
            )
        if last.events != total or sum(last.consumed) != total:
            raise RunFailed(f"after a SIGKILL {last.events:,} events are counted of {total:,} that were sent")
        later = [look for look in self._window.looks if look.run != before]
        first_ms, recovered_ms = (at_ms - killed_ms for at_ms in recovery(later, self._sent()))
        return [
            Row("", "SIGKILL to first right value", first_ms / 1000, "s", bars.RECOVERY),
            Row("", "SIGKILL to keeping up again", recovered_ms / 1000, "s"),
            Row("", "events counted after it, of those sent", 100.0 * last.events / total, "%"),
        ]


class Patience:
    """How long a backlog is waited for: as long as it shrinks, and no longer than the slowest machine would need."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = -1
        self._moved_s = clock()
        self._feed_ended_s: float | None = None
        self._bound_s = 0.0

    def ends(self, consumed: int, sent: int, *, feeding: bool) -> bool:
        """Whether to give up, with so many events published of those sent."""
        now = self._clock()
        if consumed > self._most:
            self._most, self._moved_s = consumed, now
        if not feeding and self._feed_ended_s is None:
            self._feed_ended_s, self._bound_s = now, STALL_SECONDS + (sent - consumed) / SLOWEST
        overdue = self._feed_ended_s is not None and now - self._feed_ended_s > self._bound_s
        return overdue or now - self._moved_s > STALL_SECONDS


def recovery(looks: Sequence[Look], due: Sequence[Batch]) -> tuple[float, float]:
    """When a run showed its first right value, and when it kept up again (epoch ms; infinite where it never did).

    `looks` are those that show numbers of this run. The feed sends nothing late, broken or twice, so what is right
    counts as many events as it has consumed. Who keeps up shows all that was due CLOSE_MS before.
    """
    right = (look.at_ms for look in looks if look.events == sum(look.consumed))
    position = 0
    kept = float("inf")
    for look in looks:
        while position + 1 < len(due) and due[position + 1].due_ms < look.at_ms - CLOSE_MS:
            position += 1
        if due[position].due_ms < look.at_ms - CLOSE_MS and covers(look, due[position]):
            kept = look.at_ms
            break
    return next(right, float("inf")), kept


def rows(load: Load, due: Sequence[Batch], looks: Sequence[Look], share: float) -> list[Row]:
    """What was seen of the batches that were `due` while the load was measured; `share` of a core was used."""
    ages = ages_ms(list(due), list(looks))
    achieved = (sum(due[-1].sent) - sum(due[0].sent)) / (due[-1].due_ms - due[0].due_ms) * 1000
    return [
        Row("", "sent", achieved, "events/s"),
        Row("", "feed behind its schedule, p99", percentile([batch.late_ms for batch in due], 0.99), "ms"),
        Row("", "CPU of tidegauge's core", share * 100, "%", load.cpu),
        Row(
            "",
            "lag grown from beginning to end, as ms of load",
            lag_growth_ms(due, [look for look in looks if look.at_ms <= due[-1].due_ms], load.rate),
            "ms",
            bars.LAG,
        ),
        Row("", "freshness p50, record due to value read", percentile(ages, 0.5), "ms"),
        Row("", "freshness p99", percentile(ages, 0.99), "ms", load.freshness),
        Row("", "freshness max", max(ages), "ms"),
    ]
