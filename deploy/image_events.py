"""Compiles the loops for an image: warms them up, and prints events of the simulated shop for a replay, one a line.

A run warms up with one event and a checkpoint that is read back, whose arrays are read-only; tables that grow take
other ways through some loops, and arrays that can be written are another type to the compiler.
"""

from __future__ import annotations

import sys
import time
from itertools import islice

from flows.config.file import load
from flows.demo.simulator import Simulator
from flows.run.warm_up import warm_up

RECORDS = 30_000


def main(config: str) -> None:
    """Warm up by the config, and write the events to the standard output."""
    loaded = load(config, environment={}).config
    warm_up(loaded)
    simulator = Simulator(loaded, start_ms=round(time.time() * 1000))
    for record in islice(simulator.records(), RECORDS):
        if record.event is not None and record.value is not None:
            sys.stdout.buffer.write(record.value + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
