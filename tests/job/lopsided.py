"""How old numbers are that two processes publish of a lopsided topic: a promise of time, so no part of `make test`.

`make bench-scale` asks for it, on a machine that does nothing else.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from confluent_kafka import Producer

from flows.config.model import Config
from tests.job.running import SECONDS, end
from tests.job.test_cluster import named
from tests.job.test_restarts import deployment
from tests.services import KafkaBroker, RedisServer


def test_on_a_lopsided_topic_numbers_stay_less_than_two_seconds_old(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    """Nearly all records are in partition 0; how long until one of partition 1, and one of 0, is in Redis?"""
    job = deployment(tmp_path, kafka, redis_server, "lopsided", kafka.create_topic(2))
    job.config = Config(product="lopsided", key_actions=["Bought", "Sold"])
    job.produce(named("Bought", 0, 1, 0) + named("Sold", 1, 1, 1))
    run = job.start("--processes", "2", "--checkpoint", "1s")
    job.wait_until_consumed(2, run)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5})
    sent_at: dict[str, list[float]] = {"bought": [], "sold": []}
    seen_at: dict[str, list[float]] = {"bought": [], "sold": []}
    began = time.monotonic()
    number = 2

    def look() -> None:
        live = job.live()
        now = time.monotonic()
        for name, times in seen_at.items():
            times += [now] * (int(live.get(f"events.{name}.1h", 0)) - 1 - len(times))

    while (now := time.monotonic()) - began < 15:
        burst = (
            named("Viewed", number, 200, 0) + named("Bought", number + 200, 1, 0) + named("Sold", number + 201, 1, 1)
        )
        number += 202
        for record in burst:
            producer.produce(job.topic, record.value, partition=record.partition)
        producer.poll(0)
        for times in sent_at.values():
            times.append(now)
        while time.monotonic() < now + 0.1:
            look()
            time.sleep(0.02)
    assert producer.flush(60) == 0
    expected = len(sent_at["sold"])
    deadline = time.monotonic() + SECONDS
    while min(map(len, seen_at.values())) < expected and time.monotonic() < deadline:
        look()
    assert end(run, signal.SIGTERM) == 0, job.log()
    for name, times in seen_at.items():
        ages = sorted(seen - sent for seen, sent in zip(times, sent_at[name], strict=True))
        assert ages[len(ages) * 9 // 10] < 2.0, (name, ages)
