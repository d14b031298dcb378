"""What more processes bring, and what the exchange between them costs: one and several over the same topic.

Broker and processes share this machine's cores, so the clock on the wall tells little. CPU time does: if each process
had a core of its own and the broker another, one process would take its CPU time per event, and several as long as the
busiest of them. That ratio is the speed-up. It counts all that the exchange costs (packing, sockets, waking), what
the processes do twice, and how unevenly they share the work. The price of an event is the slope between two sizes of
the topic, so that start, compilation and the end fall out.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.bench import bars, laboratory, processes
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.measures import slope
from deploy.bench.processes import Cost, RunFailed
from deploy.bench.stream import Stream
from deploy.bench.table import Asked, Row, text, write_json
from flows.run.supervisor import free_ports
from tests.services import ServerUnavailable


@dataclass(frozen=True, slots=True)
class Run:
    """One catch-up by several processes."""

    costs: list[Cost]  # of each process
    broker_cpu_s: float
    wall_s: float


def run(lab: Laboratory, topic: Topic, count: int, cores: Sequence[int]) -> Run:
    """From nothing to the end of the topic; RunFailed when a record is missing."""
    lab.empty_redis()
    broker = processes.cpu_seconds(lab.kafka.pid)
    began = time.monotonic()
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
    with lab.state() as state:
        runs = []
        for number in range(count):
            place = [] if count == 1 else ["--process-id", str(number), "--addresses", addresses]
            lab.core = cores[number % len(cores)]
            runs.append(lab.job(topic, "--until-end", *place, state=state))
        try:
            costs = [processes.cost_of(one, lab.log) for one in runs]
        finally:
            for one in runs:
                processes.end(one)
    if lab.live().get("_consumed") != str(topic.events):
        raise RunFailed(f"{count} processes published {lab.live().get('_consumed')} of {topic.events} records")
    return Run(costs, processes.cpu_seconds(lab.kafka.pid) - broker, time.monotonic() - began)


def compare(lab: Laboratory, options: argparse.Namespace, cores: Sequence[int]) -> list[Row]:
    """The table: one process, several, and what follows."""
    topic = Topic(lab, Stream(users=options.users, partitions=options.partitions))
    counts = (1, options.processes)
    found: dict[tuple[int, int], list[Run]] = {}
    contents = {}
    sizes = (options.events // 4, options.events)
    topic.grow(1_000)
    run(lab, topic, 1, cores)  # compiles the loops, where this version has not run yet
    for size in sizes:
        topic.grow(size)
        for repeat in range(options.repeats):
            for count in counts:
                say(f"{size:,} events by {count} process(es), {repeat + 1} of {options.repeats}")
                found.setdefault((count, size), []).append(run(lab, topic, count, cores))
                live = {name: value for name, value in lab.live().items() if name not in ("_published_at", "_run")}
                contents[count, size] = live, lab.minutes()
    events = sizes[1] - sizes[0]

    def price(count: int, number: int) -> float:
        small, large = ([one.costs[number] for one in found[count, size]] for size in sizes)
        return float(slope(small, large, events).cpu_ns)

    def broker(count: int) -> float:
        small, large = (min(one.broker_cpu_s for one in found[count, size]) for size in sizes)
        return float((large - small) * 1e9 / events)

    def rate(count: int) -> float:
        small, large = (min(one.wall_s for one in found[count, size]) for size in sizes)
        return float(events / (large - small))

    alone = price(1, 0)
    each = [price(options.processes, number) for number in range(options.processes)]
    several = f"{options.processes} processes"
    section = f"{options.processes} processes beside one, {options.partitions} partitions, all families"
    return [
        Row(section, "CPU of one process", alone, "ns/event"),
        *(Row(section, f"CPU of process {number} of {len(each)}", ns, "ns/event") for number, ns in enumerate(each)),
        Row(section, f"CPU of {several}, of that of one", sum(each) / alone, "x"),
        Row(section, f"speed-up by {several}, a core each", alone / max(each), "x", Asked(f">= {options.bar}")),
        Row(section, "CPU of the broker, with one process", broker(1), "ns/event"),
        Row(section, f"CPU of the broker, with {several}", broker(options.processes), "ns/event"),
        Row(section, "by the clock here: one process, broker beside it", rate(1), "events/s"),
        Row(section, f"by the clock here: {several} and broker on {len(cores)}", rate(options.processes), "events/s"),
        Row(
            section,
            "topics whose numbers differ",
            sum(contents[1, n] != contents[counts[1], n] for n in sizes),
            "",
            bars.RIGHT,
        ),
    ]


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print; 1 when numbers differ or a run fails."""
    parser = argparse.ArgumentParser(prog="make bench-scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=6_000_000, help="of the larger topic (default: 6,000,000)")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of each run; the cheapest counts")
    parser.add_argument("--bar", type=float, default=1.7, help="for the speed-up")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    options = parser.parse_args(given)
    cores = sorted(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    try:
        with laboratory.running(cores[0], cores[-1]) as lab:
            rows = compare(lab, options, list(reversed(cores)))
    except ServerUnavailable as missing:
        say(str(missing))
        return 3
    except RunFailed as failure:
        say(str(failure))
        return 1
    print(text(rows))
    print(f"\nload average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {len(cores)} cores")
    if options.json:
        write_json(options.json, rows, {"load_before": load, "options": {n: str(v) for n, v in vars(options).items()}})
    return 0 if rows[-1].met else 1


if __name__ == "__main__":
    sys.exit(main())
