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
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.bench import bars, families, laboratory, measures, verdict
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.processes import RunFailed
from deploy.bench.scrape import scrapes
from deploy.bench.steady import Load, steady
from deploy.bench.stream import Stream
from deploy.bench.table import NOTHING, Row, text, write_json
from flows.audit import recompute
from tests.services import ServerUnavailable

PARTS = ("catch-up", "stages", "users", "paced", "idle", "scrape", "families")
SLOW = ("families",)
"""Parts that `--quick` leaves out unless they are asked for."""
IDLE_RATE = 100.0  # events/s
SERIES = (1_000, 5_000)
HALF_LOAD = 0.55  # of the maximum: up to there freshness is asked for
SHOWN = 20  # wrong numbers that are listed


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The options; `--quick` changes the defaults of the others."""
    quick = "--quick" in (sys.argv[1:] if given is None else given)
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="smaller sizes: under 3 minutes")
    add("--events", type=int, default=1_000_000 if quick else 1_500_000, help="of the larger topic (%(default)s)")
    add("--smaller", type=int, help="events of the smaller topic (default: a third of --events)")
    add("--users", type=int, default=100_000, help="known users (%(default)s)")
    add(
        "--more-users",
        type=int,
        nargs="*",
        default=[] if quick else [1_000_000, 5_000_000],
        help="other numbers of users to measure CPU, memory and checkpoints with (%(default)s)",
    )
    add(
        "--users-minutes",
        type=float,
        default=8.0,
        help="no further number of users is begun after so long (%(default)s)",
    )
    add(
        "--family-users",
        type=int,
        nargs=2,
        metavar=("FEW", "MANY"),
        default=[10_000, 100_000] if quick else [100_000, 1_000_000],
        help="numbers of users between which the state of a family is measured (%(default)s)",
    )
    add("--repeats", type=int, default=1 if quick else 3, help="runs of each size; the cheapest counts (%(default)s)")
    add("--rate", type=float, default=500.0, help="events per second of simulated time, in catch-up (%(default)s)")
    add(
        "--paced-share",
        type=float,
        nargs="*",
        default=[0.5] if quick else [0.1, 0.5, 0.8],
        help="steady loads, as shares of the maximum (%(default)s)",
    )
    add("--paced-rate", type=float, help="one steady load in events/s instead")
    add("--paced-seconds", type=float, default=8.0 if quick else 60.0, help="of each steady load (%(default)s)")
    add("--kill-seconds", type=float, default=8.0 if quick else 20.0, help="of load after a SIGKILL (%(default)s)")
    add("--idle-seconds", type=float, default=10.0 if quick else 30.0, help="of being nearly idle (%(default)s)")
    add("--scrapes", type=int, default=50 if quick else 200, help="scrapes of /metrics of each size (%(default)s)")
    add(
        "--compared",
        type=int,
        default=20_000 if quick else 100_000,
        help="events compared with the reference (%(default)s)",
    )
    add("--seed", type=int, default=1)
    usual = [part for part in PARTS if not quick or part not in SLOW]
    add("--only", nargs="*", choices=PARTS, default=usual, help="parts to measure; the comparison is always made")
    add("--json", type=Path, metavar="FILE", help="write the results there as well")
    options = parser.parse_args(given)
    options.smaller = options.smaller or options.events // 3
    options.only = list(options.only)
    if not 0 < options.smaller < options.events:
        parser.error("--smaller must be less than --events")
    if not 0 < options.family_users[0] < options.family_users[1]:
        parser.error("--family-users: FEW must be less than MANY")
    if "paced" in options.only and "catch-up" not in options.only and options.paced_rate is None:
        parser.error("without catch-up the maximum is not known: give --paced-rate")
    return options


def measure(lab: Laboratory, options: argparse.Namespace) -> list[Row]:
    """Everything that was asked for."""
    stream = Stream(options.users, options.seed, options.rate)
    say("warming up: compiled loops are cached on disk")
    first = Topic(lab, stream)
    first.grow(2_000)
    lab.warm_up(first)
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
        rows += more_users(lab, options)
    if "paced" in options.only:
        for load in loads(options, base_ns):
            rows += steady(lab, stream, load)
    if "idle" in options.only:
        idle = Load(
            "nearly idle",
            IDLE_RATE,
            options.idle_seconds,
            warm_seconds=1.0,
            freshness=bars.IDLE_FRESHNESS,
            cpu=bars.IDLE_CPU,
        )
        rows += steady(lab, stream, idle)
    if "scrape" in options.only:
        for series in SERIES:
            rows += scrapes(lab, series, options.scrapes)
    if "families" in options.only:
        rows += families.costs(lab, options)
    return rows


def more_users(lab: Laboratory, options: argparse.Namespace) -> list[Row]:
    """The job with other numbers of users, as many of them as there is time for."""
    rows: list[Row] = []
    began = time.monotonic()
    for users in options.more_users:
        if rows and time.monotonic() - began > options.users_minutes * 60:
            say(f"{users:,} users are left out: the {options.users_minutes:g} minutes for users are over")
            rows.append(Row(f"{users:,} users", "left out: no time", float("nan")))
            continue
        introduced = max(0, users - options.smaller)
        repeats = 1 if users > measures.MANY else options.repeats + 2  # the difference that is asked for is small
        sizes = (options.smaller + introduced, options.events + introduced)
        run = measures.CatchUp(lab, Stream(users, options.seed, options.rate), *sizes, repeats)
        few = Stream(options.users, options.seed, options.rate)
        rows += measures.users(lab, run, measures.CatchUp(lab, few, options.smaller, options.events, repeats))
    return rows


def loads(options: argparse.Namespace, base_ns: float | None) -> list[Load]:
    """The steady loads, with a SIGKILL at the one nearest to half the maximum."""
    if options.paced_rate is not None:
        wanted = {"steady load": options.paced_rate}
        killed = "steady load"
    else:
        if base_ns is None or base_ns <= 0:
            raise RunFailed(
                "the two sizes of the topic differ by too little to tell what an event costs: "
                "give more --events or --repeats, or a --paced-rate"
            )
        names = {share: f"steady load, {share:.0%} of the maximum" for share in options.paced_share}
        wanted = {name: share * 1e9 / base_ns for share, name in names.items()}
        killed = names[min(names, key=lambda share: abs(share - 0.5))] if names else ""
    warm_seconds = min(5.0, max(1.0, options.paced_seconds / 4))
    return [
        Load(
            title,
            rate,
            options.paced_seconds,
            warm_seconds,
            options.kill_seconds if title == killed else 0.0,
            freshness=NOTHING if base_ns is not None and rate * base_ns > HALF_LOAD * 1e9 else bars.FRESHNESS,
        )
        for title, rate in wanted.items()
    ]


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
            rows += [
                Row("compared with the reference", "events", options.compared),
                Row("compared with the reference", "wrong numbers", len(wrong), "", bars.RIGHT),
            ]
            if "families" in options.only:
                found, further = families.verdict(families.differences(lab, options))
                rows += found
                wrong += further
    except ServerUnavailable as missing:
        say(str(missing))
        return 3
    except (RunFailed, TimeoutError) as failure:
        say(str(failure))
        return 1
    print(text(rows))
    took = time.monotonic() - began
    print(f"\n{took:.0f} s; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {len(cores)} cores")
    if options.json:
        about = {
            "measured": {
                "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
                "took_s": round(took),
                "cpu": _processor(),
                "cores": len(cores),
                "load_before": round(load, 1),
                "python": platform.python_version(),
                **{name: version(name) for name in ("bytewax", "confluent-kafka", "numba", "numpy")},
            },
            "options": {name: value for name, value in vars(options).items() if name != "json"},
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
