"""`tidegauge` as it is, but for one thing: at a named point the process kills or freezes itself, or the code is wrong.

    python -m tests.faults.launcher [--at POINT:COUNT:SIGNAL] [--mutate NAME] [--recheck SECONDS] -- run --config ...

A point is a function of the production code, before or behind its COUNT-th call. Nothing in the product knows of it:
the function is wrapped here, in this process, before the command begins.
"""

from __future__ import annotations

import argparse
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from tests.faults.wrong import MUTATIONS

Side = Literal["before", "after"]
POINTS: Final[dict[str, tuple[str, str, Side, int]]] = {
    # A batch goes to 4 shards, so three calls of four lie in the middle of one.
    "in the middle of a batch": ("flows.measure.shard", "Shard.receive", "after", 40),
    "between shards of a tick": ("flows.measure.shard", "Shard.tick", "after", 40),
    "before a publish": ("flows.publish.redis.sink", "RedisPublisher._send", "before", 12),
    "after a publish": ("flows.publish.redis.sink", "RedisPublisher._send", "after", 12),
    # Of one shard's file: some or all are written, and the engine has not stored their names.
    "during a checkpoint": ("flows.checkpoint.files", "StateFiles.write", "after", 24),
    "before a file of a checkpoint is forgotten": ("flows.checkpoint.files", "StateFiles.forget", "before", 4),
    "after a file of a checkpoint is forgotten": ("flows.checkpoint.files", "StateFiles.forget", "after", 4),
    "while starting from a checkpoint": ("flows.measure.shard", "Shard.thaw", "after", 4),
    "before a dead letter": ("flows.publish.dead_letters.topic", "KafkaLetters.write", "before", 3),
    "after a dead letter": ("flows.publish.dead_letters.topic", "KafkaLetters.write", "after", 3),
    "before dead letters are settled": ("flows.publish.dead_letters.topic", "KafkaLetters.settle", "before", 20),
    "while stopping": ("flows.run.job", "Outputs.close", "before", 1),
}
"""Name -> module, function, on which side of its call, and the latest call that is soon reached."""


def arm(point: str, count: int, number: signal.Signals) -> None:
    """Have this process send itself the signal at the `count`-th time it passes the point."""
    module, path, side, _ = POINTS[point]
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, name)
    left = [count]
    warm = [False]  # made-up events of the warm-up pass the same functions

    def strike() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)

    @wraps(original)
    def passing(*args: Any, **options: Any) -> Any:
        if warm[0] and side == "before":
            strike()
        result = original(*args, **options)
        if warm[0] and side == "after":
            strike()
        return result

    setattr(owner, name, passing)
    job = import_module("flows.run.job").Job
    flow = job._flow

    def begin(self: Any, *args: Any, **options: Any) -> Any:
        warm[0] = True
        return flow(self, *args, **options)

    job._flow = begin


def step_clock_of_python(file: str) -> None:
    """Without a C compiler: what this process reads of the system clock in Python, plus the seconds in `file`."""
    now, now_ns = time.time, time.time_ns

    def offset() -> int:
        return int(struct.unpack("=q", Path(file).read_bytes())[0])

    time.time = lambda: now() + offset()
    time.time_ns = lambda: now_ns() + offset() * 1_000_000_000


def main() -> int:
    """Arm, and run the command; its exit code."""
    ours, theirs = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", metavar="POINT:COUNT:SIGNAL")
    parser.add_argument("--mutate", choices=MUTATIONS)
    parser.add_argument("--recheck", type=float, help="look for new partitions so often, in seconds")
    options = parser.parse_args(ours)
    if options.recheck:
        source = import_module("flows.source.kafka").KafkaSource
        source.__init__.__kwdefaults__["recheck_ms"] = int(options.recheck * 1000)
    if (file := os.environ.get("CLOCK_OFFSET_FILE")) and "LD_PRELOAD" not in os.environ:
        step_clock_of_python(file)
    if options.mutate:
        MUTATIONS[options.mutate]()
    if options.at:
        point, count, name = options.at.split(":")
        arm(point, int(count), signal.Signals[name])
    from flows.app import main as tidegauge

    return tidegauge(theirs)


if __name__ == "__main__":
    sys.exit(main())
