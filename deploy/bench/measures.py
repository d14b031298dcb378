"""What the bench measures, one function each; all return rows of the table."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bench import processes
from deploy.bench.freshness import Batch, Window, ages_ms, batches, covers, percentile
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.processes import Cost
from deploy.bench.stream import Stream
from deploy.bench.table import Row
from tests.services import wait_until

SECONDS = 60.0
MODES = ("bare", "decode", "job")
CLOSE_MS = 1_500.0  # a batch younger than this when it is read: the job keeps up again


@dataclass(frozen=True, slots=True)
class Slope:
    """The price of one more event."""

    cpu_ns: float
    wall_ns: float


def slope(small: Sequence[Cost], large: Sequence[Cost], events: int) -> Slope:
    """From runs over two sizes of a topic that differ by `events`; the cheapest of each, as noise only adds."""
    cpu = min(cost.cpu_s for cost in large) - min(cost.cpu_s for cost in small)
    wall = min(cost.wall_s for cost in large) - min(cost.wall_s for cost in small)
    return Slope(cpu * 1e9 / events, wall * 1e9 / events)


class CatchUp:
    """One topic read from its beginning to its end, at two sizes."""

    def __init__(self, laboratory: Laboratory, stream: Stream, small: int, large: int, repeats: int) -> None:
        self._laboratory = laboratory
        self._events = large - small
        self.topic = Topic(laboratory, stream)
        self._sizes = (small, large)
        self._repeats = repeats
        self._costs: dict[tuple[str, int], list[Cost]] = {}

    def run(self, modes: Sequence[str]) -> None:
        """All modes in turn at each size, so that whatever else the machine does meets all of them."""
        for size in self._sizes:
            self.topic.grow(size)
            for repeat in range(self._repeats):
                for mode in modes:
                    if mode == "job":
                        cost = self._laboratory.catch_up(self.topic)
                    else:
                        cost = self._laboratory.loop(mode, self.topic)
                    self._costs.setdefault((mode, size), []).append(cost)
                    say(f"{mode:<6} {size:>9,} events  {cost.cpu_s:6.2f} s CPU  {cost.wall_s:6.2f} s  ({repeat + 1})")

    def slope(self, mode: str) -> Slope:
        """The price of one more event in a mode that was run."""
        small, large = (self._costs[mode, size] for size in self._sizes)
        return slope(small, large, self._events)

    def peak_bytes(self) -> int:
        """Peak memory of the job over the whole topic."""
        return min(cost.peak_bytes for cost in self._costs["job", self._sizes[1]])


def catch_up(run: CatchUp) -> list[Row]:
    """Speed per core, and beside the yardsticks of the same run."""
    run.run(MODES)
    section = f"catch-up, {run.topic.stream.users:,} users, {run.topic.events:,} events"
    bare, decode, job = (run.slope(mode) for mode in MODES)
    return [
        Row(section, "bare consume loop: CPU", bare.cpu_ns, "ns/event"),
        Row(section, "consume and typed decode: CPU", decode.cpu_ns, "ns/event"),
        Row(section, "tidegauge: CPU", job.cpu_ns, "ns/event"),
        Row(section, "tidegauge: events per second and core", 1e9 / job.cpu_ns, "events/s", ">= 300,000"),
        Row(section, "tidegauge: events per second by the clock", 1e9 / job.wall_ns, "events/s"),
        Row(section, "bare consume loop: events per second and core", 1e9 / bare.cpu_ns, "events/s"),
        Row(section, "ratio to the bare consume loop", job.cpu_ns / bare.cpu_ns, "x", "<= 2.6"),
        Row(section, "ratio to consume and typed decode", job.cpu_ns / decode.cpu_ns, "x"),
    ]


def stages(laboratory: Laboratory, topic: Topic) -> list[Row]:
    """Where the time goes: one run with stopwatches and a checkpoint a second."""
    section = "CPU by stage (ns/event; one run, stopwatches on, a checkpoint every second)"
    report = laboratory.folder / "stages.json"
    laboratory.catch_up(topic, "--checkpoint", "1s", report=report)
    told: dict[str, Any] = json.loads(report.read_text())
    spent: dict[str, float] = told["stage_ns"]
    rest = told["process_ns"] - told["librdkafka_ns"] - sum(spent.values())
    order = ("source", "decode", "route", "measure", "total", "publish", "checkpoint")
    rows = [Row(section, "librdkafka's threads", told["librdkafka_ns"] / topic.events)]
    for stage in order:
        for name in sorted(spent):
            if name.split(":")[0] == stage:
                rows.append(Row(section, name, spent[name] / topic.events))
    rows += [
        Row(section, "engine, garbage collection and the rest", rest / topic.events),
        Row(section, "all", told["process_ns"] / topic.events),
    ]
    return rows + _checkpoints(laboratory, topic, told)


def _checkpoints(laboratory: Laboratory, topic: Topic, told: dict[str, Any]) -> list[Row]:
    known, size = int(laboratory.live()["users.known"]), told["checkpoint_bytes"][-1]
    section = f"checkpoints, {known:,} known users"
    rows = [
        Row(section, "checkpoint size", max(told["checkpoint_bytes"]) / 1e6, "MB"),
        Row(section, "checkpoint per known user", size / known, "B"),
    ]
    if laboratory.checkpoints:  # what does not grow with the users falls out
        fewer, smaller = laboratory.checkpoints[0]
        each = (size - smaller) / (known - fewer)
        rows.append(Row(section, f"checkpoint per user beyond {fewer:,}", each, "B", "<= 120"))
    laboratory.checkpoints.append((known, size))
    return [
        *rows,
        Row(section, "freezing all shards, longest", max(told["freeze_s"]) * 1000, "ms", "<= 250"),
        Row(section, "until the source is asked again, longest", max(told["pause_s"]) * 1000, "ms"),
    ]


def users(laboratory: Laboratory, run: CatchUp, base_ns: float | None) -> list[Row]:
    """The job with another number of users: CPU, memory, checkpoints."""
    run.run(["job"])
    section = _size(run)
    job = run.slope("job")
    rows = [Row(section, "tidegauge: CPU", job.cpu_ns, "ns/event")]
    if base_ns is not None:
        rows.append(Row(section, "ratio to the users above", job.cpu_ns / base_ns, "x", "<= 1.25"))
    return rows + memory(run) + [row for row in stages(laboratory, run.topic) if row.section.startswith("checkpoints")]


def _size(run: CatchUp) -> str:
    return f"{run.topic.stream.users:,} users, {run.topic.events:,} events"


def memory(run: CatchUp) -> list[Row]:
    """Peak memory of the job."""
    known = run.topic.stream.users
    section = _size(run)
    bar = "<= 600" if known == 1_000_000 else ""
    return [
        Row(section, "peak memory of the process", run.peak_bytes() / 1e6, "MB", bar),
        Row(section, "peak memory per known user", run.peak_bytes() / known, "B"),
    ]


def paced(
    laboratory: Laboratory, stream: Stream, rate: float, warm_s: float, steady_s: float, after_s: float
) -> list[Row]:
    """Freshness at a steady load, and a SIGKILL in its middle; RunFailed when a number is wrong after it."""
    section = f"steady load of {rate:,.0f} events/s"
    say(f"{section}: {warm_s + steady_s + after_s:.0f} s")
    laboratory.empty_redis()
    topic = laboratory.kafka.create_topic(stream.partitions)
    window = Window(laboratory.redis.url, laboratory.config.product, stream.partitions)
    log = laboratory.folder / "pacer.log"
    log.unlink(missing_ok=True)
    started = [topic, stream.partitions, stream.users, rate, warm_s + steady_s + after_s, log]
    running = []
    with laboratory.state() as state:
        try:
            job = laboratory.job(topic, state=state)
            running.append(job)
            wait_until(lambda: window.look() is not None or job.poll() is not None, "the first publish", SECONDS)
            pacer = processes.start(
                "deploy.bench.pacer",
                [laboratory.kafka.bootstrap_servers, *map(str, started)],
                laboratory.server_core,
                laboratory.log,
            )
            running.append(pacer)
            wait_until(lambda: log.exists() or pacer.poll() is not None, "the pacer's first batch", SECONDS)
            window.wait(warm_s)
            cpu_s, clock_s = _cpu_seconds(job.pid), time.monotonic()
            window.wait(steady_s)
            load = (_cpu_seconds(job.pid) - cpu_s) / (time.monotonic() - clock_s)
            if job.poll() is not None or pacer.poll() is not None:
                raise processes.RunFailed(f"a process has ended early:\n{laboratory.log.read_text()[-2000:]}")
            steady = list(window.looks)
            before = steady[-1].run
            killed_ms = time.time() * 1000
            job.send_signal(signal.SIGKILL)
            job.wait()
            job = laboratory.job(topic, state=state)
            running.append(job)
            first_ms = recovered_ms = float("inf")
            deadline = time.monotonic() + SECONDS
            told: list[Batch] = []
            while time.monotonic() < deadline and job.poll() is None:
                window.wait(0.02)
                now = window.look()
                told = batches(log)
                if now is None or now.run == before or not told:
                    continue
                first_ms = min(first_ms, now.at_ms - killed_ms)
                old = [batch for batch in told if batch.due_ms < time.time() * 1000 - CLOSE_MS]
                if recovered_ms == float("inf") and old and covers(now, old[-1]):
                    recovered_ms = time.time() * 1000 - killed_ms
                if pacer.poll() is not None and covers(now, told[-1]):
                    break
            if pacer.wait(SECONDS) != 0:
                raise processes.RunFailed(f"the pacer failed:\n{laboratory.log.read_text()[-2000:]}")
            last = window.look()
            sent = sum(batches(log)[-1].sent)
            if last is None or last.events != sent or sum(last.consumed) != sent:
                raise processes.RunFailed(f"after a SIGKILL {last and last.events} events are published of {sent}")
        finally:
            for process in running:
                processes.end(process)
    due = [batch for batch in batches(log) if batch.due_ms < steady[-1].at_ms - 1_000]
    begin_ms = due[0].due_ms + warm_s * 1000
    ages = ages_ms([batch for batch in due if batch.due_ms >= begin_ms], steady)
    in_steady = [batch for batch in due if batch.due_ms >= begin_ms]
    achieved = (sum(in_steady[-1].sent) - sum(in_steady[0].sent)) / (in_steady[-1].due_ms - in_steady[0].due_ms) * 1000
    return [
        Row(section, "sent", achieved, "events/s"),
        Row(section, "load of tidegauge's core", load * 100, "%"),
        Row(section, "freshness p50, record due to value read", percentile(ages, 0.5), "ms"),
        Row(section, "freshness p99", percentile(ages, 0.99), "ms", "<= 1,000"),
        Row(section, "freshness max", max(ages), "ms"),
        Row(section, "SIGKILL to first published value", first_ms / 1000, "s", "<= 5"),
        Row(section, "SIGKILL to keeping up again", recovered_ms / 1000, "s"),
        Row(section, "events published after it, of those sent", 100.0 * last.events / sent, "%"),
    ]


def _cpu_seconds(pid: int) -> float:
    """CPU time of a living process so far; 0 when it has gone."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
