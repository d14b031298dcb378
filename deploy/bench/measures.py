"""What the bench measures, one function each; all return rows of the table."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from deploy.bench import bars, processes
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.processes import Cost
from deploy.bench.stream import Stream
from deploy.bench.table import NOTHING, Row
from tests.services import wait_until

START_SECONDS = 120.0
YARDSTICKS = ("bare", "decode")
MODES = (*YARDSTICKS, "job")
TITLES = {"bare": "bare consume loop", "job": "tidegauge"}
MANY = 1_000_000
"""Known users from which on the bars of memory and state hold: below, what a config costs whoever comes weighs more."""


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
    """One topic read from its beginning to its end, at two sizes.

    `configs`: further modes, in which the job runs with another config.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        stream: Stream,
        small: int,
        large: int,
        repeats: int,
        configs: Mapping[str, Path] | None = None,
    ) -> None:
        self._laboratory = laboratory
        self._configs = configs or {}
        self._events = large - small
        self.topic = Topic(laboratory, stream)
        self._sizes = (small, large)
        self._repeats = repeats
        self._costs: dict[tuple[str, int], list[Cost]] = {}

    def run(self, modes: Sequence[str], beside: CatchUp | None = None) -> None:
        """All modes in turn at each size, so that whatever else the machine does meets all of them.

        Every run of the job is followed by one of the job `beside` it.
        """
        runs = [self] if beside is None else [self, beside]
        for step in range(len(self._sizes)):
            for run in runs:
                run.topic.grow(run._sizes[step])
            for repeat in range(self._repeats):
                for mode in modes:
                    for run in runs:
                        run._once(mode, step, repeat)

    def _once(self, mode: str, step: int, repeat: int) -> None:
        size = self._sizes[step]
        if mode in YARDSTICKS:
            cost = self._laboratory.loop(mode, self.topic)
        else:
            cost = self._laboratory.catch_up(self.topic, config=self._configs.get(mode))
        self._costs.setdefault((mode, size), []).append(cost)
        who = f"{mode:<6} {self.topic.stream.users:>9,} users {size:>9,} events"
        say(f"{who}  {cost.cpu_s:6.2f} s CPU  {cost.wall_s:6.2f} s  ({repeat + 1})")

    def slope(self, mode: str) -> Slope:
        """The price of one more event in a mode that was run."""
        small, large = (self._costs[mode, size] for size in self._sizes)
        return slope(small, large, self._events)

    def size(self) -> str:
        """What was read, in words."""
        return f"{self.topic.stream.users:,} users, {self.topic.events:,} events"

    def peak_bytes(self) -> int:
        """Peak memory of the job over the whole topic."""
        return min(cost.peak_bytes for cost in self._costs["job", self._sizes[1]])


def catch_up(run: CatchUp) -> list[Row]:
    """Speed per core, and beside the yardsticks of the same run."""
    run.run(MODES)
    section = f"catch-up, {run.size()}"
    bare, decode, job = (run.slope(mode) for mode in MODES)
    return [
        Row(section, f"{TITLES['bare']}: CPU", bare.cpu_ns, "ns/event"),
        Row(section, "consume and typed decode: CPU", decode.cpu_ns, "ns/event"),
        Row(section, f"{TITLES['job']}: CPU", job.cpu_ns, "ns/event"),
        Row(section, "tidegauge: events per second and core", 1e9 / job.cpu_ns, "events/s", bars.SPEED),
        Row(section, "tidegauge: events per second by the clock", 1e9 / job.wall_ns, "events/s"),
        Row(section, "bare consume loop: events per second and core", 1e9 / bare.cpu_ns, "events/s"),
        Row(section, "ratio to the bare consume loop", job.cpu_ns / bare.cpu_ns, "x", bars.BARE),
        Row(section, "ratio to consume and typed decode", job.cpu_ns / decode.cpu_ns, "x", bars.DECODED),
    ]


STAGES = "CPU by stage (one run, stopwatches on, a checkpoint every second)"
ORDER = ("source", "decode", "route", "measure", "total", "publish", "checkpoint")


def stages(laboratory: Laboratory, topic: Topic) -> list[Row]:
    """Where the time goes, what checkpoints cost, and how long a start from the last of them takes.

    One run with stopwatches and a checkpoint a second, and a start behind it.
    """
    report = laboratory.folder / "stages.json"
    with laboratory.state() as state:
        laboratory.catch_up(topic, "--checkpoint", "1s", report=report, state=state)
        told: dict[str, Any] = json.loads(report.read_text())
        return [*by_stage(topic, told), *_checkpoints(laboratory, topic, told), *_start_up(laboratory, topic, state)]


def by_stage(topic: Topic, told: dict[str, Any], section: str = STAGES) -> list[Row]:
    """Where the time went, by the report of staged.py."""
    spent: dict[str, float] = told["stage_ns"]
    rest = told["process_ns"] - told["librdkafka_ns"] - sum(spent.values())
    costs = [("librdkafka's threads", told["librdkafka_ns"])]
    costs += [(name, spent[name]) for stage in ORDER for name in sorted(spent) if name.split(":")[0] == stage]
    costs += [("engine, garbage collection and the rest", rest), ("all", told["process_ns"])]
    return [Row(section, name, ns / topic.events, "ns/event") for name, ns in costs]


def _checkpoints(laboratory: Laboratory, topic: Topic, told: dict[str, Any]) -> list[Row]:
    known, size = int(laboratory.live()["users.known"]), told["checkpoint_bytes"][-1]
    section = f"checkpoints, {topic.stream.users:,} users"
    asked = bars.STATE if topic.stream.users >= MANY else NOTHING
    rows = [
        Row(section, "known users", known),
        Row(section, "checkpoint size", max(told["checkpoint_bytes"]) / 1e6, "MB"),
        Row(section, "state per known user", size / known, "B", asked),
    ]
    if laboratory.checkpoints:  # what does not grow with the users falls out
        fewer, smaller = laboratory.checkpoints[0]
        each = (size - smaller) / (known - fewer)
        rows.append(Row(section, f"state per user beyond {fewer:,}", each, "B", bars.STATE))
    laboratory.checkpoints.append((known, size))
    rows.append(Row(section, "writing the state of all shards, longest", max(told["freeze_s"]) * 1000, "ms"))
    if pauses := told["pause_s"]:  # none behind the last one: a short run has no other
        rows += [
            Row(section, "pause until the source is asked again, median", median(pauses) * 1000, "ms"),
            Row(section, "pause until the source is asked again, longest", max(pauses) * 1000, "ms", bars.PAUSE),
        ]
    return rows


def _start_up(laboratory: Laboratory, topic: Topic, state: Path) -> list[Row]:
    """From the start of the process to the first numbers of its own in Redis, which must be those of the checkpoint."""
    before = laboratory.live()
    began = time.monotonic()
    job = laboratory.job(topic, state=state)
    try:
        wait_until(
            lambda: laboratory.live().get("_run") != before["_run"] or job.poll() is not None,
            "the first numbers after a start from a checkpoint",
            START_SECONDS,
        )
        took = time.monotonic() - began
        now = laboratory.live()
        for field in ("_consumed", "users.known"):
            if now.get(field) != before[field]:
                raise processes.RunFailed(
                    f"a start from a checkpoint has {field} {now.get(field)}, not {before[field]}:\n"
                    f"{laboratory.last_words()}"
                )
    finally:
        processes.end(job)
    section = f"checkpoints, {topic.stream.users:,} users"
    return [Row(section, "start from it to the first value in Redis", took, "s", bars.START_UP)]


def users(laboratory: Laboratory, run: CatchUp, beside: CatchUp) -> list[Row]:
    """The job with another number of users: CPU, as a ratio to the one `beside` it too, memory, checkpoints.

    Both are measured in turn: minutes later a machine may be another.
    """
    run.run(("job",), beside)
    many, few = run.slope("job").cpu_ns, beside.slope("job").cpu_ns
    fewer = beside.topic.stream.users
    asked = bars.MORE_USERS if run.topic.stream.users <= 10 * fewer else NOTHING
    rows = [
        Row(run.size(), f"{TITLES['job']}: CPU", many, "ns/event"),
        Row(run.size(), f"{TITLES['job']} in turn with it, {fewer:,} users: CPU", few, "ns/event"),
        Row(run.size(), f"CPU ratio to {fewer:,} users", many / few, "x", asked),
    ]
    measured = stages(laboratory, run.topic)
    return rows + memory(run) + [row for row in measured if row.section != STAGES]


def memory(run: CatchUp) -> list[Row]:
    """Peak memory of the job."""
    known = run.topic.stream.users
    whole = bars.MEMORY if known == MANY else NOTHING
    each = bars.MEMORY_PER_USER if known >= MANY else NOTHING
    return [
        Row(run.size(), "peak memory of the process", run.peak_bytes() / 1e6, "MB", whole),
        Row(run.size(), "peak memory per known user", run.peak_bytes() / known, "B", each),
    ]
