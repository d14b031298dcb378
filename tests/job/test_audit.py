"""`tidegauge audit` on a real Kafka and a real Redis: right numbers are found right, and each wrong one is named."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from flows.audit import Record
from tests.job.running import SECONDS, Deployment, end, replay, write_config
from tests.job.test_restarts import CONFIG, deployment, stream
from tests.services import ROOT, KafkaBroker, RedisServer

EVENTS = 6_000
PARTITIONS = 3


def audit(job: Deployment, *options: str, kafka: bool = True) -> tuple[int, str, str]:
    """Exit code, what was printed, and the log."""
    file = write_config(job.folder / "audit.yaml", job.config)
    environment = os.environ | {"TIDEGAUGE_TOPIC": job.topic, "REDIS_URL": job.redis_url}
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": job.bootstrap_servers} if kafka else {}
    done = subprocess.run(
        [sys.executable, "-m", "flows.app", "audit", "--config", str(file), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def live_key(job: Deployment) -> str:
    return f"tidegauge:v1:{{{job.config.product}}}:live"


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(redis_server.url, decode_responses=True)


@pytest.fixture
def job(tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer) -> Deployment:
    return deployment(tmp_path, kafka, redis_server, "audited", kafka.create_topic(PARTITIONS))


def sent(seed: int = 1) -> list[Record]:
    """Disorder, late events, copies and broken records."""
    return stream(seed, PARTITIONS, EVENTS)


def test_a_run_that_was_killed_and_went_on_is_right_and_stays_so_while_more_comes(job: Deployment) -> None:
    records = sent()
    half = len(records) // 2
    job.produce(records[:half])
    run = job.start("--checkpoint", "100ms", "--tick", "50ms")
    job.wait_until_consumed(half, run)
    assert end(run, signal.SIGKILL) == -signal.SIGKILL
    job.produce(records[half:])
    job.finish()
    job.produce(sent(2)[:500])  # behind the cut
    code, said, log = audit(job)
    assert code == 0, said + log
    told = re.fullmatch(r"all ([\d,]+) published numbers equal the truth\n", said)
    assert told is not None, said
    live, minutes = job.live(), job.minutes()
    assert int(live["accounting.late"]) > 100
    assert int(live["accounting.duplicate"]) > 100
    fields = [name for name in live if name.partition("{")[0] in ("_watermark", "_consumed") or name[0] != "_"]
    assert int(told[1].replace(",", "")) == len(fields) + sum(map(len, [*minutes.values(), *job.days().values()]))
    assert f"reading {len(records):,} records again" in log


def test_numbers_of_several_processes_are_right(job: Deployment) -> None:
    job.produce(sent(3))
    job.finish("--processes", "2")
    code, said, log = audit(job)
    assert (code, log.count("WARNING")) == (0, 0), said + log


def test_each_number_that_was_changed_is_named_with_what_it_should_be(job: Deployment, client: redis.Redis) -> None:
    job.produce(sent(4))
    job.finish()
    live = job.live()
    client.hincrby(live_key(job), "events.1h", 7)
    client.hdel(live_key(job), "users.alive")
    client.hset(live_key(job), "users.loved", 3)
    client.hincrby(live_key(job), "accounting.late{partition=1}", -1)
    minute, day = max(job.minutes()), max(job.days())
    client.hset(f"tidegauge:v1:{{audited}}:minute:{minute}", "events", 10**6)
    client.hset(f"tidegauge:v1:{{audited}}:day:{day}", "events", 10**6)
    events = int(live["events.1h"])
    code, said, log = audit(job)
    assert code == 1, said + log
    lines = [re.split(r" {2,}", line) for line in said.splitlines()]
    assert lines[0] == ["cell", "published", "recomputed", "difference"]
    rows = {row[0]: row[1:] for row in lines[1:-1]}
    late = int(live["accounting.late{partition=1}"])
    assert rows.pop(f"minute:{minute} events")[0::3] == ["1000000", "differs"]
    assert rows.pop(f"day:{day} events")[0::3] == ["1000000", "differs"]
    assert rows == {
        "events.1h": [str(events + 7), str(events), "+7", "differs"],
        "users.alive": ["absent", live["users.alive"], "differs"],
        "users.loved": ["3", "absent", "differs"],
        "accounting.late{partition=1}": [str(late - 1), str(late), "-1", "differs"],
    }
    assert re.fullmatch(r"6 of [\d,]+ published numbers differ from the truth", said.splitlines()[-1])


def test_what_retention_has_deleted_is_named_and_nothing_is_compared(job: Deployment) -> None:
    job.produce(sent(5))
    job.finish()
    admin = AdminClient({"bootstrap.servers": job.bootstrap_servers})
    for deleted in admin.delete_records([TopicPartition(job.topic, 1, 10)]).values():
        deleted.result(SECONDS)
    code, said, log = audit(job)
    assert (code, said) == (6, "")
    assert f"partition 1 of topic {job.topic} begins at offset 10 now, and the numbers count from offset 0" in log


def test_another_topic_is_not_taken_for_the_one_that_was_counted(job: Deployment, kafka: KafkaBroker) -> None:
    job.produce(sent(6))
    job.finish()
    for partitions, problem in ((1, "partition 2, which topic"), (PARTITIONS, "ends before offset 0")):
        code, said, log = audit(job, "--topic", kafka.create_topic(partitions))
        assert (code, said) == (6, "")
        assert problem in log
        assert "it is not the one that was counted" in log


def write(folder: Path, records: Sequence[Record]) -> list[str]:
    """A file for each partition; records that would be several lines, or none, have to be left out before."""
    files = []
    for partition in range(PARTITIONS):
        file = folder / f"events-{partition}.ndjson"
        file.write_bytes(b"".join(r.value + b"\n" for r in records if r.partition == partition and r.value))
        files.append(str(file))
    return files


def test_files_of_the_topic_do_as_well(job: Deployment, client: redis.Redis) -> None:
    records = [record for record in sent(7) if record.value and b"\n" not in record.value]
    job.produce(records)
    job.finish()
    files = write(job.folder, records)
    code, said, log = audit(job, "--events", *files, kafka=False)
    assert code == 0, said + log
    client.hincrby(live_key(job), "users.known", 1)
    assert audit(job, "--events", *files, kafka=False)[:2][0] == 1


def test_a_replay_of_a_file_is_audited_without_any_server(tmp_path: Path, job: Deployment) -> None:
    (file, *_) = write(job.folder, [record for record in sent(8) if record.value and b"\n" not in record.value])
    config = write_config(tmp_path / "config.yaml", job.config)
    printed = replay(Path(file), config)
    published = tmp_path / "numbers.json"
    published.write_text(json.dumps(printed))
    code, said, log = audit(job, "--events", file, "--published", str(published), kafka=False)
    assert code == 0, said + log
    printed["cells"]["users.known"] += 1
    published.write_text(json.dumps(printed))
    code, said, _ = audit(job, "--events", file, "--published", str(published), kafka=False)
    assert code == 1
    assert said.splitlines()[1].split() == [
        "users.known",
        str(printed["cells"]["users.known"]),
        str(printed["cells"]["users.known"] - 1),
        "+1",
        "differs",
    ]


def test_without_a_publish_there_is_no_verdict(job: Deployment) -> None:
    code, said, log = audit(job)
    assert (code, said) == (6, "")
    assert "nothing is published for product audited" in log


def test_more_records_than_memory_is_meant_for_are_refused_before_they_are_read(job: Deployment) -> None:
    job.produce(sent(9))
    job.finish()
    code, said, log = audit(job, "--max-records", "100")
    assert (code, said) == (6, "")
    assert re.search(r"the numbers count [\d,]+ records, for which \d+ MiB of memory are needed", log)


@pytest.mark.parametrize(
    ("options", "kafka", "problem"),
    [
        (["--published", "numbers.json"], True, "--published goes with --events"),
        (["--redis-url", "off"], True, "which Redis?"),
        ([], False, "no Kafka brokers are given"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_asked(
    tmp_path: Path, options: list[str], kafka: bool, problem: str
) -> None:
    nowhere = Deployment(CONFIG, tmp_path, "127.0.0.1:1", "events", "redis://127.0.0.1:1/0")
    code, said, log = audit(nowhere, *options, kafka=kafka)
    assert (code, said) == (2, "")
    assert problem in log
