"""`make bench-peers`: Tidegauge beside what a user would pick instead, on the same topics, each in its own environment.

Real Kafka and Redis share one core, whatever is measured has another. ../PEERS.md says how each peer was tuned and what
the numbers mean. Exit codes: 0 measured, 1 Tidegauge itself failed or was wrong, 2 wrong options, 3 no Kafka or Redis.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from deploy.bench.measures import Slope, slope
from deploy.bench.peers import page, runs, task
from deploy.bench.peers.catalogue import PEERS
from deploy.bench.peers.peer import Peer
from deploy.bench.peers.result import CatchUp, Failed, Result, Steady, Verdict
from deploy.bench.peers.runs import Bench
from deploy.bench.peers.task import Faulty
from deploy.bench.processes import RunFailed
from deploy.bench.stream import Stream
from tests.services import ServerUnavailable

STORIES = {
    "late": {"disorder", "late"},
    "duplicates": {"disorder", "duplicates"},
    "broken": {"disorder", "broken"},
}
WARM_UP = 2_000  # events of a topic that is read before any that is measured: what is cached on disk is cached then
STORY_RATE = 5.0  # events per second of simulated time, so that a small topic fills an hour
PARTS = ("catch-up", "steady", "stories", "killed")
Topics = dict[str, tuple[str, task.Truth]]
Found = TypeVar("Found")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The options; `--quick` changes the defaults of the others."""
    quick = "--quick" in (sys.argv[1:] if given is None else given)
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="bench-peers", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a smoke test: small topics, one story")
    add("--peers", nargs="*", choices=names, default=names, help="which of them (all)")
    add("--only", nargs="*", choices=PARTS, default=PARTS, help="what of each (everything)")
    add("--share", type=float, default=0.1 if quick else 1.0, help="of each peer's topic sizes (%(default)s)")
    add("--users", type=int, default=1_000 if quick else 10_000, help="in the topics to catch up with (%(default)s)")
    add("--repeats", type=int, default=1, help="runs of each size; the cheapest counts (%(default)s)")
    add("--rate", type=float, default=500.0 if quick else 2_000.0, help="events/s of the steady load (%(default)s)")
    add("--seconds", type=float, default=12.0 if quick else 30.0, help="of the steady load (%(default)s)")
    add("--events", type=int, default=2_000 if quick else 20_000, help="of a story (%(default)s)")
    add("--stories", nargs="*", choices=STORIES, default=["late"] if quick else list(STORIES))
    add("--seed", type=int, default=1)
    add("--resume", action="store_true", help="take peers that the --json file of an ended run has from there")
    add("--json", type=Path, metavar="FILE", help="write the results there")
    add("--page", type=Path, metavar="FILE", help="write the table into this page, between its markers")
    return parser.parse_args(given)


def say(text: str) -> None:
    """One line of progress."""
    print(f"bench-peers: {text}", file=sys.stderr, flush=True)


def attempt(what: str, peer: Peer, part: Callable[[], Found]) -> Found | Failed:
    """What `part` finds, or how it failed: a peer that cannot is a result."""
    began = time.monotonic()
    try:
        found = part()
    except (RunFailed, TimeoutError) as failure:
        say(f"{peer.title}, {what}: {failure}")
        return Failed(str(failure).strip().splitlines()[-1][:300] if str(failure).strip() else "no reason was given")
    say(f"{peer.title}, {what}: {time.monotonic() - began:.0f} s")
    return found


def catch_up(bench: Bench, peer: Peer, options: argparse.Namespace) -> CatchUp:
    """The price of one more event, between two sizes of a topic."""
    stream = Stream(options.users, options.seed)
    bench.to_end(peer, bench.topic(stream, WARM_UP))
    small, large = (max(int(size * options.share), options.users + 1_000) for size in peer.sizes)
    large = max(large, 2 * small)
    topic = bench.topic(stream, small)
    costs = {}
    for size in (small, large):
        if size == large:
            bench.grow(topic, stream, small, large)
        costs[size] = [bench.to_end(peer, topic)[0] for _ in range(options.repeats)]
    price: Slope = slope(costs[small], costs[large], large - small)
    return CatchUp(small, large, price.cpu_ns, price.wall_ns, min(cost.peak_bytes for cost in costs[large]))


def steady(bench: Bench, peer: Peer, options: argparse.Namespace, caught_up: CatchUp | Failed | None) -> Steady:
    """Freshness and memory at the same load for all, or half of what a peer can when that is less."""
    rate = options.rate
    if isinstance(caught_up, CatchUp) and caught_up.wall_ns > 0:
        rate = min(rate, 0.5e9 / caught_up.wall_ns)
    found = bench.steady(peer, Stream(options.users, options.seed), rate, options.seconds)
    return Steady(rate, _seen(found.p50_ms), _seen(found.p99_ms), found.peak_bytes)


def _seen(age_ms: float) -> float | None:
    return age_ms if math.isfinite(age_ms) else None


def verdict(peer: Peer, fields: Mapping[str, str], right: task.Truth) -> Verdict:
    """How much of what a peer gives is wrong."""
    wrong = task.errors(fields, peer.cells, right)
    return Verdict(len(peer.cells), len(wrong), max((error.share for error in wrong), default=0.0))


def story(bench: Bench, peer: Peer, topic: str, right: task.Truth) -> Verdict:
    """A topic with one kind of fault, read to its end."""
    return verdict(peer, bench.to_end(peer, topic)[1], right)


def killed(bench: Bench, peer: Peer, options: argparse.Namespace, caught_up: CatchUp | Failed | None) -> Verdict:
    """SIGKILL in the middle of a steady load, and a start on what was saved."""
    rate = options.rate / 2
    if isinstance(caught_up, CatchUp) and caught_up.wall_ns > 0:
        rate = min(rate, 0.5e9 / caught_up.wall_ns)
    topic, fields = bench.killed(peer, Stream(options.users // 10, options.seed), rate, options.seconds)
    right = task.truth(task.records_of(bench.servers.bootstrap_servers, topic))
    return verdict(peer, fields, right)


def measure(bench: Bench, peer: Peer, topics: Topics, options: argparse.Namespace) -> Result:
    """Everything that was asked for of one peer."""
    try:
        versions = peer.install()
    except ServerUnavailable as missing:
        return Result(peer.name, peer.title, "", len(peer.cells), unavailable=str(missing).splitlines()[0])
    price, fresh = None, None
    if "catch-up" in options.only:
        price = attempt("catch-up", peer, lambda: catch_up(bench, peer, options))
    if "steady" in options.only:
        fresh = attempt("steady load", peer, lambda: steady(bench, peer, options, price))
    stories = {
        name: attempt(name, peer, partial(story, bench, peer, topic, right)) for name, (topic, right) in topics.items()
    }
    if "killed" in options.only and peer.ends_again:
        stories["killed"] = attempt("killed", peer, lambda: killed(bench, peer, options, price))
    return Result(peer.name, peer.title, versions, len(peer.cells), None, price, fresh, stories, peer.cannot)


def made_topics(bench: Bench, options: argparse.Namespace) -> Topics:
    """The stories' topics, and what is right for each."""
    topics = {}
    for name in options.stories if "stories" in options.only else ():
        of = Faulty(max(1, options.events // 20), options.seed + 1, STORY_RATE, faults=frozenset(STORIES[name]))
        topics[name] = (bench.topic(of, options.events), task.truth(of.records(options.events)))
    return topics


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = arguments(given)
    cores = sorted(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    began = time.monotonic()
    results: list[Result] = []
    about: dict[str, Any] = {
        "machine": {"cores": len(cores), "python": platform.python_version(), "load_before": round(load, 1)},
        "options": {
            name: value
            for name, value in vars(options).items()
            if name not in ("json", "page", "peers", "only", "resume")
        },
    }
    kept: dict[str, Result] = {}
    if options.resume and options.json and options.json.exists():
        earlier, measured_with = page.read_json(options.json)
        if measured_with != about["options"]:
            say(f"{options.json} was measured with other options: {measured_with}")
            return 2
        kept = {result.name: result for result in earlier}
    try:
        with runs.running(cores[0], cores[-1]) as bench:
            topics = made_topics(bench, options)
            for peer in (peer for peer in PEERS if peer.name in options.peers):
                if peer.name in kept:
                    results.append(kept[peer.name])
                else:
                    results.append(measure(bench, peer, topics, options))
                    if options.json:  # what is there is kept if the next one takes too long
                        page.write_json(options.json, results, about)
    except ServerUnavailable as missing:
        say(str(missing))
        return 3
    print(page.text(results))
    took = time.monotonic() - began
    print(f"\n{took:.0f} s; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {len(cores)} cores")
    if options.page:
        page.write_page(options.page, results, about["options"])
    return int(any(result.name == "tidegauge" and not result.is_right for result in results))


if __name__ == "__main__":
    sys.exit(main())
