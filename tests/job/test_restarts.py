"""Real processes, killed: whatever happens to the job, Redis ends with the same content."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.job.running import SECONDS, Deployment, cells_of, disagreements, end
from tests.services import KafkaBroker, RedisServer, wait_until

CONFIG = Config(
    lateness="30s",
    key_actions=["Bought"],
    sessions={"timeout": "5m"},
    churn_after="20m",
    funnels={
        "buy": {"window": "10m", "steps": ["Viewed", "Added", "Bought"]},
        "same": {"window": "10m", "hold": "context.device.type", "steps": ["Viewed", "Added", "Bought"]},
    },
    breakdowns={"platform": {"field": "context.device.type", "values": ["web", "ios"]}},
    dedup_horizon="5m",
    shards=4,
)
START = 1_774_742_400_000
EVENTS = 60_000
RUN_OF_ITS_OWN = ("_published_at", "_run")


def stream(
    seed: int, partitions: int, events: int = EVENTS, *, in_time_ms: int = 29_000, late_ms: int = 60_000
) -> list[Record]:
    """A product of 2,000 users, with disorder within and beyond the lateness, copies, and broken records.

    What is in time is `in_time_ms` old at most, what is late `late_ms` at least.
    """
    chance = random.Random(seed)
    offsets = dict.fromkeys(range(partitions), 0)
    sent: list[Record] = []

    def send(value: bytes, user: int, at_ms: int) -> None:
        partition = user % partitions
        sent.append(Record(value, partition, offsets[partition], at_ms))
        offsets[partition] += 1

    for number in range(events):
        user = int(2_000 * chance.random() ** 2)
        now = START + number * 60
        delay = chance.choice([0] * 6 + [chance.randint(0, in_time_ms)] * 3 + [chance.randint(late_ms, 600_000)])
        event = {
            "messageId": f"m{number}",
            "type": "track",
            "event": chance.choice(["Viewed", "Viewed", "Added", "Bought", "Left"]),
            "userId": f"u{user}",
            "timestamp": now - delay,
            "context": {"device": {"type": chance.choice(["web", "ios", "tv"])}},
        }
        value = json.dumps(event).encode()
        send(value, user, now)
        if chance.random() < 0.03:
            send(value, user, now)
        if chance.random() < 0.01:
            send(chance.choice([b"", b"{", b'"text"', b'{"type":"track"}', b"\xff\xfe", value[:-1]]), user, now)
    return sent


def deployment(tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, name: str, topic: str) -> Deployment:
    folder = tmp_path / name
    folder.mkdir()
    config = CONFIG.model_copy(update={"product": name})
    return Deployment(config, folder, kafka.bootstrap_servers, topic, redis_server.url)


def has_gone_on(job: Deployment, covered: int, run: subprocess.Popen[bytes]) -> bool:
    """Whether more records than `covered` are in the published numbers, or the run has ended."""
    return job.consumed() > covered or run.poll() is not None


@pytest.mark.parametrize("partitions", [1, 3])
def test_three_kills_end_in_the_same_redis_content_as_a_straight_run(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, partitions: int
) -> None:
    records = stream(partitions, partitions)
    topic = kafka.create_topic(partitions)
    straight = deployment(tmp_path, kafka, redis_server, "straight", topic)
    straight.produce(records)
    straight.finish()

    killed = deployment(tmp_path, kafka, redis_server, "killed", topic)
    kills = 0
    for kill in range(1, 4):
        run = killed.start("--until-end", "--checkpoint", "100ms", "--tick", "50ms", state="state")
        covered = killed.consumed()
        wait_until(partial(has_gone_on, killed, covered, run), f"kill {kill} has something to break", SECONDS)
        if run.poll() is None:
            kills += end(run, signal.SIGKILL) == -signal.SIGKILL
    assert kills > 0, "no run lived long enough to be killed"
    killed.finish()

    one, other = straight.live(), killed.live()
    for field in RUN_OF_ITS_OWN:
        del one[field], other[field]
    assert other == one
    assert killed.minutes() == straight.minutes()
    assert disagreements(recompute(records, CONFIG), cells_of(one)) == {}
    assert int(one["_consumed"]) == len(records)


def test_a_terminated_run_publishes_everything_it_has_read_and_the_next_one_goes_on(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    records = stream(5, 2)
    job = deployment(tmp_path, kafka, redis_server, "stopped", kafka.create_topic(2))
    half = len(records) // 2
    job.produce(records[:half])
    run = job.start()
    job.wait_until_consumed(half, run)
    assert end(run, signal.SIGTERM) == 0, job.log()
    assert job.consumed() == half
    job.produce(records[half:])
    run = job.start()
    job.wait_until_consumed(len(records), run)
    assert end(run, signal.SIGINT) == 0, job.log()
    live = job.live()
    account = {name: int(text) for name, text in live.items() if name.startswith("accounting.") and "{" not in name}
    rejected = sum(count for name, count in account.items() if name.startswith("accounting.rejected."))
    assert account["accounting.consumed"] == len(records)
    assert account["accounting.consumed"] == (
        account["accounting.accepted"] + rejected + account["accounting.duplicate"] + account["accounting.excluded"]
    )


def test_a_newer_run_of_a_product_takes_over_and_the_older_one_ends_with_exit_code_3(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    job = deployment(tmp_path, kafka, redis_server, "fenced", kafka.create_topic())
    records = stream(9, 1)[:1_000]
    job.produce(records)
    older = job.start(state="older")
    job.wait_until_consumed(len(records), older)
    newer = job.start(state="newer")
    assert older.wait(SECONDS) == 3, job.log()
    assert "newer" in job.log()
    job.wait_until_consumed(len(records), newer)
    assert end(newer, signal.SIGTERM) == 0
