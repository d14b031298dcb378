"""`make bench`: how fast Tidegauge is beside a loop that reads the topic and throws it away, and whether it is right.

Real Kafka and Redis share one core, whatever is measured has another. README.md beside this file says what each number
means. Exit codes: 0 measured and right, 1 a wrong number or a failed run, 2 wrong options, 3 no Kafka or Redis here.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.bench import laboratory, measures, verdict
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.processes import RunFailed
from deploy.bench.stream import Stream
from deploy.bench.table import Row, text, write_json
from tests.reference import recompute
from tests.services import ServerUnavailable

PARTS = ("catch-up", "stages", "users", "paced")
SHOWN = 20  # wrong numbers that are listed


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The options; `--quick` changes the defaults of the others."""
    quick = "--quick" in (sys.argv[1:] if given is None else given)
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="smaller sizes: under 2 minutes")
    add("--events", type=int, default=1_000_000 if quick else 1_500_000, help="of the larger topic (%(default)s)")
    add("--smaller", type=int, help="events of the smaller topic (default: a third of --events)")
    add("--users", type=int, default=100_000, help="known users (%(default)s)")
    add(
        "--more-users",
        type=int,
        nargs="*",
        default=[] if quick else [1_000_000],
        help="other numbers of users to measure CPU, memory and checkpoints with (%(default)s)",
    )
    add("--repeats", type=int, default=1 if quick else 3, help="runs of each size; the cheapest counts (%(default)s)")
    add("--rate", type=float, default=500.0, help="events per second of simulated time, in catch-up (%(default)s)")
    add(
        "--paced-share",
        type=float,
        nargs="*",
        default=[0.5],
        help="steady loads, as shares of the maximum (%(default)s)",
    )
    add("--paced-rate", type=float, help="one steady load in events/s instead")
    add("--paced-seconds", type=float, default=8.0 if quick else 20.0, help="of steady load (%(default)s)")
    add(
        "--compared",
        type=int,
        default=20_000 if quick else 100_000,
        help="events compared with the reference (%(default)s)",
    )
    add("--seed", type=int, default=1)
    add("--only", nargs="*", choices=PARTS, default=PARTS, help="parts to measure; the comparison is always made")
    add("--json", type=Path, metavar="FILE", help="write the results there as well")
    options = parser.parse_args(given)
    options.smaller = options.smaller or options.events // 3
    if not 0 < options.smaller < options.events:
        parser.error("--smaller must be less than --events")
    if "paced" in options.only and "catch-up" not in options.only and options.paced_rate is None:
        parser.error("without catch-up the maximum is not known: give --paced-rate")
    return options


def measure(lab: Laboratory, options: argparse.Namespace) -> list[Row]:
    """Everything that was asked for."""
    stream = Stream(options.users, options.seed, options.rate)
    say("warming up: compiled loops are cached on disk")
    first = Topic(lab, stream)
    first.grow(2_000)
    lab.catch_up(first)
    rows: list[Row] = []
    base_ns = None
    run = measures.CatchUp(lab, stream, options.smaller, options.events, options.repeats)
    if "catch-up" in options.only:
        rows += measures.catch_up(run)
        rows += measures.memory(run)
        base_ns = run.slope("job").cpu_ns
    if "stages" in options.only:
        run.topic.grow(options.events)
        rows += measures.stages(lab, run.topic)
    if "users" in options.only:
        for users in options.more_users:
            larger = Stream(users, options.seed, options.rate)
            introduced = max(0, users - options.smaller)
            sizes = (options.smaller + introduced, options.events + introduced)
            rows += measures.users(lab, measures.CatchUp(lab, larger, *sizes, max(1, options.repeats - 1)), base_ns)
    if "paced" in options.only:
        rates = (
            [options.paced_rate]
            if options.paced_rate
            else [share * 1e9 / (base_ns or 1) for share in options.paced_share]
        )
        for rate in rates:
            rows += measures.paced(
                lab, stream, rate, options.paced_seconds / 4, options.paced_seconds, options.paced_seconds
            )
    return rows


def mistakes(lab: Laboratory, options: argparse.Namespace) -> list[str]:
    """What is wrong in Redis after a topic of the same kind, by the slow reference."""
    say(f"comparing {options.compared:,} events with the reference")
    stream = Stream(max(1, options.compared // 20), options.seed + 1, options.rate / 5)
    topic = Topic(lab, stream)
    topic.grow(options.compared)
    lab.catch_up(topic)
    expected = recompute(stream.records(options.compared), lab.config)
    return verdict.mistakes(expected, lab.live(), lab.minutes())


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, compare."""
    options = arguments(given)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        say("there is only one core: Kafka, Redis and the job share it, so times by the clock mean nothing")
    began = time.monotonic()
    load = os.getloadavg()[0]
    try:
        with laboratory.running(cores[0], cores[-1]) as lab:
            rows = measure(lab, options)
            wrong = mistakes(lab, options)
    except ServerUnavailable as missing:
        say(str(missing))
        return 3
    except (RunFailed, TimeoutError) as failure:
        say(str(failure))
        return 1
    rows += [
        Row("compared with the reference", "events", options.compared),
        Row("compared with the reference", "wrong numbers", len(wrong), "", "<= 0"),
    ]
    print(text(rows))
    took = time.monotonic() - began
    print(f"\n{took:.0f} s; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {len(cores)} cores")
    if options.json:
        about = {
            "machine": {"cpu": _processor(), "python": platform.python_version(), "load_before": load},
            "options": {name: str(value) for name, value in vars(options).items()},
            "wrong": wrong,
        }
        write_json(options.json, rows, about)
    for line in wrong[:SHOWN]:
        print(f"WRONG {line}")
    if len(wrong) > SHOWN:
        print(f"WRONG and {len(wrong) - SHOWN} more")
    return 1 if wrong else 0


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
