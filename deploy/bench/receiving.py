"""What receiving costs in both ways (`connections.consumer_api`), beside a loop that reads records and discards them.

    python -m deploy.bench.receiving [--events 1000000] [--rounds 5]

A real Kafka holds the topic of the bench. In each round each way reads it once, in a process of its own and in turn:
the job's reader up to the arrays that it hands on, and nothing behind it. Printed is the CPU time of a whole process
per event, user and system, librdkafka's threads included, once it is connected: the median, and the range.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from typing import Any, Final

from deploy.bench import loops, stream
from deploy.bench.laboratory import RETENTION, say
from deploy.bench.stream import Stream
from flows.config.settings import Settings
from flows.source.log_identity import Place
from flows.source.reader import Reader
from tests.services import ROOT, install_kafka, running_kafka, tied

WAYS: Final = ("bare", "librdkafka", "public")
RUN_SECONDS: Final = 300.0
USERS: Final = 100_000


def cpu_seconds() -> float:
    """Of all threads of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def read(servers: str, topic: str, api: Any) -> tuple[int, float]:
    """Read the topic to its end; how many records it had, and CPU seconds since the reader knew the topic."""
    reader = Reader(Settings(servers, topic, consumer_api=api), "bench", pace=None, stopping=lambda: False)
    count = reader.find_topic()
    began = cpu_seconds()
    reader.add({number: Place(None) for number in range(count)}, start="earliest", to_end=True)
    records = 0
    while not all(map(reader.finished, range(count))):
        reader.poll()
        records += sum(raw.count for number in range(count) if (raw := reader.take(number, None)) is not None)
    spent = cpu_seconds() - began
    reader.close()
    return records, spent


def one(way: str, servers: str, topic: str) -> None:
    """What a process of its own does: print records and CPU seconds."""
    if way == "bare":
        began = cpu_seconds()
        records = loops.read(servers, topic, decodes=False)
        spent = cpu_seconds() - began
    else:
        read(servers, topic, way)  # compiles the loops, if need be, and reads the topic into Kafka's cache
        records, spent = read(servers, topic, way)
    print(records, spent)


def measured(way: str, servers: str, topic: str, events: int) -> float:
    """ns per event of one run."""
    command = tied([sys.executable, "-m", "deploy.bench.receiving", "--one", way, servers, topic])
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS, check=True)
    records, spent = done.stdout.split()
    if int(records) != events:
        raise RuntimeError(f"{way} read {records} of {events} records")
    return float(spent) / events * 1e9


def main() -> None:
    """Start Kafka, measure, and print a table."""
    parser = argparse.ArgumentParser(prog="receiving", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "SERVERS", "TOPIC"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(*options.one)
        return
    install_kafka()
    of = Stream(USERS, 1, 500.0)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with running_kafka() as kafka:
        topic = kafka.create_topic(of.partitions, RETENTION)
        stream.send(kafka.bootstrap_servers, topic, of, 0, options.events)
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}")
            for way in WAYS:
                found[way].append(measured(way, kafka.bootstrap_servers, topic, options.events))
    for way, runs in found.items():
        print(f"{way:<12}{statistics.median(runs):6.0f} ns/event ({min(runs):.0f} to {max(runs):.0f})")


if __name__ == "__main__":
    main()
