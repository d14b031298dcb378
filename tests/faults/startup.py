"""How long a run takes from its start to its first publish, out of a checkpoint of many users.

python -m tests.faults.startup --users 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer

from flows.config.file import load
from tests import services
from tests.faults.faults import wait_for_start
from tests.faults.load import START
from tests.faults.stage import History, running_stage
from tests.services import ROOT, wait_until


def fill(servers: str, topic: str, users: int) -> None:
    """One event of each user, over an hour."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "compression.type": "lz4"})
    for user in range(users):
        ts = START + user * 3_600_000 // users
        event = {"messageId": f"m{user}", "type": "track", "event": "Product Viewed", "userId": f"u{user}"}
        value = json.dumps(event | {"timestamp": ts}).encode()
        while True:
            try:
                producer.produce(topic, value, timestamp=ts, partition=user % 2)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0


def cpu_seconds(pid: int) -> float:
    """What a process has used of a processor so far, on a machine that does much else besides."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print the seconds of three starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    options = parser.parse_args()
    services.install_kafka()
    with (
        tempfile.TemporaryDirectory(prefix="tidegauge-") as folder,
        running_stage(Path(folder)) as stage,
        History(stage, 1) as history,
    ):
        shop = load(ROOT / "deploy" / "examples" / "shop.yaml", environment={}).config
        history.config = shop.model_copy(update={"product": history.product})
        fill(stage.kafka.bootstrap_servers, history.topic, options.users)
        history.produced = options.users
        history.start("--checkpoint", "2s")
        wait_until(lambda: history.consumed() == options.users, "all users", 1200)
        history.stop()
        size = sum(file.stat().st_size for file in history.state.iterdir())
        for _ in range(3):
            began = time.monotonic()
            history.start("--checkpoint", "2s")
            wait_for_start(history)
            first = time.monotonic() - began
            spent = cpu_seconds(history.run.pid)
            history.stop()
            print(
                f"{options.users:,} users, {size / 1e6:.0f} MB of checkpoint: first publish after {first:.2f} s "
                f"({spent:.2f} s of CPU), ordered end in {history.stops[-1]:.2f} s, {history.memory_mb} MB of memory",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
