"""`tidegauge run` with a stopwatch on every stage.

    python -m deploy.bench.staged REPORT OPTIONS OF TIDEGAUGE RUN ...

The methods of the job are wrapped from outside; nothing in it knows. What a stage calls that is a stage itself counts
there only, so that the stages add up. CPU time of the calling thread; the stopwatch itself takes a few ns per event.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import flows.measure.lane
import flows.measure.reorder
import flows.pipeline
from flows.app import main
from flows.checkpoint.files import StateFiles
from flows.decode.intake import Intake
from flows.measure.dedup import Recent
from flows.measure.lane import FactLane
from flows.measure.shard import Shard
from flows.measure.users import Users
from flows.metrics.active_users import ActiveUsers
from flows.metrics.engagement import Engagement
from flows.metrics.events import Events
from flows.metrics.features import Feature
from flows.metrics.feedback import Feedback
from flows.metrics.funnels import Funnel
from flows.metrics.goals import Goal
from flows.metrics.lifecycle import Lifecycle
from flows.metrics.milestones import Milestones
from flows.metrics.minutes import MinuteBook, Minutes
from flows.metrics.orders import Orders
from flows.metrics.orders.returns import OrderCancellations, OrderRefunds
from flows.metrics.referrals import Referrals
from flows.metrics.retention import Retained
from flows.metrics.sessions import Sessions
from flows.metrics.spend import Spending
from flows.metrics.subscriptions import Subscriptions
from flows.metrics.surveys import Surveyed
from flows.metrics.tickets import Tickets
from flows.metrics.top import Top
from flows.metrics.visitors import Visitors
from flows.pipeline import Measure
from flows.publish.redis.sink import RedisPublisher
from flows.run.job import Outputs
from flows.source.kafka import KafkaSource
from flows.source.ticks import Part
from flows.total.totals import Totals

FAMILIES = {
    "events": Events,
    "active users": ActiveUsers,
    "sessions": Sessions,
    "funnels": Funnel,
    "lifecycle": Lifecycle,
    "subscriptions": Subscriptions,
    "minutes": Minutes,
    "engagement": Engagement,
    "visitors": Visitors,
    "goals": Goal,
    "features": Feature,
    "milestones": Milestones,
    "retention": Retained,
    "orders": Orders,
    "refunds": OrderRefunds,
    "cancellations": OrderCancellations,
    "spend": Spending,
    "surveys": Surveyed,
    "feedback": Feedback,
    "tickets": Tickets,
    "referrals": Referrals,
    "top lists": Top,
}
"""Every family by the name of its stage; those that a config does not have take no time."""
STAGES: list[tuple[Any, str, str]] = [
    (Part, "next_batch", "source"),
    (Intake, "read", "decode"),
    (flows.pipeline, "_route", "route"),
    (Shard, "receive", "measure: shard"),
    (Shard, "tick", "measure: shard"),
    (Measure, "snapshot", "checkpoint"),
    (flows.measure.lane, "judge", "measure: late or not"),
    (Recent, "copies", "measure: dedup"),
    (FactLane, "settle", "measure: facts"),
    (Users, "slots", "measure: users"),
    (flows.measure.reorder, "in_order", "measure: sort"),
    (MinuteBook, "closed", "measure: minutes"),
    *((family, "advance", f"measure: {name}") for name, family in FAMILIES.items()),
    *((family, "read", "measure: report") for family in FAMILIES.values()),
    (Totals, "add", "total"),
    (Outputs, "publish", "publish"),
    (RedisPublisher, "_write", "publish"),
]

HEADER = 2
"""The place of the header among the pieces of a state; it says how many bytes each array takes."""


class Stopwatch:
    """CPU ns by stage, each thread with a stack of its own."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._threads = threading.local()

    def on(self, owner: Any, name: str, stage: str) -> None:
        """From now on `owner.name` counts as `stage`."""
        inner: Callable[..., Any] = getattr(owner, name)
        threads, spent, clock = self._threads, self.spent, time.thread_time_ns

        def timed(*arguments: Any, **options: Any) -> Any:
            try:
                stack: list[int] = threads.stack
            except AttributeError:
                stack = threads.stack = []
            stack.append(0)
            began = clock()
            try:
                return inner(*arguments, **options)
            finally:
                took = clock() - began
                spent[stage] += took - stack.pop()
                if stack:
                    stack[-1] += took

        setattr(owner, name, timed)


class Checkpoints:
    """The snapshots of one epoch together: how long, how large, and how long the source was not asked meanwhile."""

    def __init__(self) -> None:
        self.freeze_s: list[float] = []
        self.pause_s: list[float] = []
        self.bytes_: list[int] = []
        self._sizes: list[int] = []
        self._states: list[tuple[bytes, int]] = []
        self._last: list[tuple[bytes, int]] = []
        self._frozen_s = 0.0
        self._began = 0.0

    def watch(self) -> None:
        """Wrap what tells about them."""
        snapshot, write, next_batch = Measure.snapshot, StateFiles.write, Part.next_batch

        def watched_snapshot(measure: Measure) -> str:
            began = time.perf_counter()
            if not self._sizes:
                self._began = began
            name = snapshot(measure)
            self._frozen_s += time.perf_counter() - began
            return name

        def watched_write(files: StateFiles, pieces: Sequence[bytes | memoryview], over: str) -> str:
            self._sizes.append(sum(memoryview(piece).nbytes for piece in pieces))
            self._states.append((bytes(pieces[HEADER]), self._sizes[-1]))
            return write(files, pieces, over)

        def watched_next_batch(part: Part[Any]) -> Any:
            if self._sizes:
                self.pause_s.append(time.perf_counter() - self._began)
            self.close()
            return next_batch(part)

        setattr(Measure, "snapshot", watched_snapshot)  # noqa: B010 - a plain assignment would be a type error
        setattr(StateFiles, "write", watched_write)  # noqa: B010
        setattr(Part, "next_batch", watched_next_batch)  # noqa: B010

    def close(self) -> None:
        """The epoch of the last snapshots is over; behind the last of all the source is not asked again."""
        if self._sizes:
            self.freeze_s.append(self._frozen_s)
            self.bytes_.append(sum(self._sizes))
            self._last = self._states
            self._sizes, self._states, self._frozen_s = [], [], 0.0

    def contents(self) -> Counter[str]:
        """What the last epoch consists of: bytes by array, of all shards together, and of the headers."""
        found: Counter[str] = Counter()
        for header, size in self._last:
            arrays = {name: length for name, _, _, length in json.loads(header)["arrays"]}
            found.update(arrays)
            found["header"] += size - sum(arrays.values())
        return found


def thread_ns() -> Counter[str]:
    """CPU ns of this process by the name of the thread."""
    spent: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # it has ended just now
            name = (task / "comm").read_text().strip()
            took = int((task / "schedstat").read_text().split()[0])
            spent["librdkafka" if name.startswith("rdk:") else "python"] += took
    return spent


def run(report: Path, options: list[str]) -> int:
    """Run the job and write what it took to `report`."""
    stopwatch, checkpoints = Stopwatch(), Checkpoints()
    begun: list[tuple[int, Counter[str]]] = []
    ended: list[tuple[int, Counter[str]]] = []
    for owner, name, stage in STAGES:
        stopwatch.on(owner, name, stage)
    checkpoints.watch()
    lead, close = KafkaSource._lead, KafkaSource.close

    def first_lead(source: KafkaSource) -> Any:
        if not begun:
            begun.append((time.process_time_ns(), thread_ns()))
            stopwatch.spent.clear()
        return lead(source)

    def last_close(source: KafkaSource) -> None:
        ended.append((time.process_time_ns(), thread_ns()))
        close(source)

    setattr(KafkaSource, "_lead", first_lead)  # noqa: B010
    setattr(KafkaSource, "close", last_close)  # noqa: B010
    code = main(["run", *options])
    checkpoints.close()
    threads = ended[-1][1] - begun[0][1]
    report.write_text(
        json.dumps(
            {
                "process_ns": ended[-1][0] - begun[0][0],
                "librdkafka_ns": threads["librdkafka"],
                "stage_ns": dict(stopwatch.spent),
                "freeze_s": checkpoints.freeze_s,
                "pause_s": checkpoints.pause_s,
                "checkpoint_bytes": checkpoints.bytes_,
                "array_bytes": checkpoints.contents(),
            }
        )
    )
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
