"""One product measured by several real processes: the numbers of one, whatever happens to any of them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.job.running import SECONDS, Deployment, cells_of, disagreements, end
from tests.job.test_restarts import CONFIG, RUN_OF_ITS_OWN, deployment, stream
from tests.services import KafkaBroker, RedisServer, free_port, wait_until

EVENTS = 8_000
OFTEN = ("--checkpoint", "250ms", "--tick", "250ms")


def children(job: Deployment) -> list[int]:
    """The processes that were started last."""
    told = re.findall(r"started \d+ processes: ([\d, ]+)", job.log())
    return [int(pid) for pid in told[-1].split(",")] if told else []


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def all_gone(pids: Sequence[int]) -> bool:
    return all(map(gone, pids))


def has_others_than(pids: Sequence[int], job: Deployment) -> bool:
    """Whether the job has begun processes anew."""
    return children(job) != pids


def content(job: Deployment) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """All that a product has in Redis, but for what tells of the run itself."""
    live = job.live()
    for field in RUN_OF_ITS_OWN:
        del live[field]
    return live, job.minutes()


def named(event: str, first: int, count: int, partition: int) -> list[Record]:
    """So many events of now, by users of their own, for one partition."""
    now = round(time.time() * 1000)
    return [
        Record(
            json.dumps(
                {"messageId": f"m{n}", "type": "track", "event": event, "userId": f"u{n}", "timestamp": now}
            ).encode(),
            partition,
            0,
        )
        for n in range(first, first + count)
    ]


def views(count: int, partitions: int, first: int = 0) -> list[Record]:
    """So many views of now, by users of their own, dealt out to the partitions."""
    return [named("Viewed", n, 1, n % partitions)[0] for n in range(first, first + count)]


def test_one_two_and_three_processes_give_identical_cells(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    records = stream(11, 3, EVENTS)
    topic = kafka.create_topic(3)
    found = {}
    for processes in (1, 2, 3):
        job = deployment(tmp_path, kafka, redis_server, f"by{processes}", topic)
        if processes == 1:
            job.produce(records)
        job.finish("--processes", str(processes))
        found[processes] = content(job)
    assert found[2] == found[1]
    assert found[3] == found[1]
    assert disagreements(recompute(records, CONFIG), cells_of(found[1][0])) == {}


def test_kills_of_any_process_and_restarts_with_other_numbers_of_them_change_no_number(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    # While all that was sent is read, the clock goes on with the time: here for two minutes, before anything in time
    # could become late, and before the clock could pass the last event.
    records = stream(12, 3, EVENTS, in_time_ms=5_000, late_ms=300_000)
    job = deployment(tmp_path, kafka, redis_server, "rescaled", kafka.create_topic(3))
    job.config = config = job.config.model_copy(update={"lateness": 120_000})
    chance = random.Random(12)
    sent = 0
    for processes in (2, 3, 1):
        more = records[sent : sent + EVENTS // 8]
        job.produce(more)
        sent += len(more)
        run = job.start("--processes", str(processes), *OFTEN)
        job.wait_until_consumed(sent, run)
        if processes > 1:
            before = children(job)
            os.kill(chance.choice(before), signal.SIGKILL)
            wait_until(partial(has_others_than, before, job), "a restart", SECONDS)
            more = records[sent : sent + EVENTS // 16]
            job.produce(more)
            sent += len(more)
            job.wait_until_consumed(sent, run)
        mine = children(job) if processes > 1 else []
        assert end(run, signal.SIGKILL) == -signal.SIGKILL  # the supervisor itself, or the one process
        wait_until(partial(all_gone, mine), "the end of orphans", SECONDS)
    job.produce(records[sent:])
    job.finish("--processes", "2")
    live, _ = content(job)
    assert disagreements(recompute(records, config), cells_of(live)) == {}
    assert int(live["_consumed"]) == len(records)


def test_several_processes_stop_and_go_on_in_good_order_and_one_page_tells_of_all(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    topic = kafka.create_topic(2)
    job = deployment(tmp_path, kafka, redis_server, "live", topic)
    job.produce([*views(1_000, 2), Record(b"broken", 0, 500), Record(b"broken", 1, 500)])
    port = free_port()
    run = job.start("--processes", "3", "--metrics-address", f"127.0.0.1:{port}")  # the third has no partition
    job.wait_until_consumed(1_002, run)

    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def has_any(*lines: str) -> bool:
        shown = page()
        return any(line in shown for line in lines)

    for partition in (0, 1):
        lag = f'tidegauge_consumer_lag_messages{{partition="{partition}",topic="{topic}"}} 0'
        lag_other_order = f'tidegauge_consumer_lag_messages{{topic="{topic}",partition="{partition}"}} 0'
        wait_until(partial(has_any, lag, lag_other_order), lag, SECONDS)
    wait_until(lambda: "tidegauge_caught_up 1" in page(), "the news that all has been read", SECONDS)
    for process in range(3):
        assert f'tidegauge_process_resident_bytes{{process="{process}"}}' in page()
        assert f'tidegauge_process_cpu_seconds_total{{process="{process}"}}' in page()
    assert 'tidegauge_events_rejected_total{reason="not_json"} 2' in page()
    pids = children(job)
    assert end(run, signal.SIGTERM) == 0, job.log()
    assert all(map(gone, pids))
    assert "killing" not in job.log()
    job.produce(views(500, 2, 1_000))
    run = job.start("--processes", "2")
    job.wait_until_consumed(1_502, run)
    assert end(run, signal.SIGINT) == 0, job.log()
    assert int(job.live()["accounting.rejected.not_json"]) == 2
    assert int(job.live()["active_users.1h"]) == 1_500


def by_hand(job: Deployment, addresses: Sequence[str], *options: str) -> list[subprocess.Popen[bytes]]:
    """The processes as one would start them on several hosts that share the state folder."""
    return [
        job.start("--process-id", str(number), "--addresses", ",".join(addresses), *options)
        for number in range(len(addresses))
    ]


def test_processes_of_several_hosts_end_together_when_one_is_stopped(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "hosts", kafka.create_topic(2))
    job.produce(views(400, 2))
    runs = by_hand(job, [f"127.0.0.1:{free_port()}" for _ in range(2)])
    job.wait_until_consumed(400, runs[0])
    assert end(runs[1], signal.SIGTERM) == 0, job.log()
    assert runs[0].wait(SECONDS) == 0, job.log()
    assert job.consumed() == 400


def test_a_process_that_waits_for_the_others_can_be_stopped(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "lonely", kafka.create_topic(2))
    addresses = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    run = job.start("--process-id", "0", "--addresses", addresses)
    wait_until(lambda: "preparing the metric loops" in job.log(), "the start", SECONDS)
    assert end(run, signal.SIGTERM) == 0, job.log()


def test_a_process_with_other_definitions_ends_the_cluster_and_says_why(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "mixed", kafka.create_topic(2))
    addresses = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    runs = [job.start("--process-id", "0", "--addresses", addresses)]
    wait_until(lambda: "preparing the metric loops" in job.log(), "the start", SECONDS)
    job.config = job.config.model_copy(update={"lateness": 99_000})
    runs.append(job.start("--process-id", "1", "--addresses", addresses))
    assert [run.wait(SECONDS) for run in runs] == [1, 1]
    assert "was started with other definitions than process" in job.log()


def test_a_newer_run_takes_over_from_all_processes_of_an_older_one(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "fenced", kafka.create_topic(2))
    job.produce(views(100, 2))
    older = job.start("--processes", "2", state="older")
    job.wait_until_consumed(100, older)
    mine = children(job)
    newer = job.start(state="newer")
    assert older.wait(SECONDS) == 3, job.log()
    assert all(map(gone, mine))
    job.wait_until_consumed(100, newer)
    assert end(newer, signal.SIGTERM) == 0


@pytest.mark.parametrize("process", [0, 1])
def test_a_process_that_stood_still_makes_no_event_late(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, process: int
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "stalled", kafka.create_topic(2))
    job.config = Config(product="stalled", lateness="2s", shards=4)
    job.produce(views(100, 2))
    run = job.start("--processes", "2")
    job.wait_until_consumed(100, run)
    stopped = children(job)[process]
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    sent = 100
    while time.monotonic() - began < 5:  # more than the lateness; the other process goes on reading
        job.produce(views(10, 2, sent))
        sent += 10
    os.kill(stopped, signal.SIGCONT)
    job.wait_until_consumed(sent, run)
    assert end(run, signal.SIGTERM) == 0, job.log()
    live = job.live()
    assert int(live["accounting.consumed"]) == sent
    assert int(live["accounting.late"]) == 0


def test_a_grown_topic_starts_all_processes_again_with_the_new_partitions(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "grown", kafka.create_topic(2))
    job.produce(views(100, 2))
    run = job.start("--processes", "2")
    job.wait_until_consumed(100, run)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_partitions([NewPartitions(job.topic, 3)])[job.topic].result(SECONDS)
    grown = [Record(record.value, 2, number) for number, record in enumerate(views(50, 2, 100))]

    def ready() -> bool:
        return len(admin.list_topics(job.topic, timeout=10).topics[job.topic].partitions) == 3

    wait_until(ready, "the third partition", SECONDS)
    job.produce(grown)
    job.wait_until_consumed(150, run)
    assert end(run, signal.SIGTERM) == 0, job.log()
    assert "reading on" in job.log() or "start again with the new partitions" in job.log()
