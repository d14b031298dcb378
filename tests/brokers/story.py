"""One topic on the cluster, a steady feed into it, the jobs that read it, and whether every number is right in the end.

A test feeds, injures the cluster, waits, and checks:

    with story.feed():
        story.flows()
        cluster.brokers[1].kill()
        story.flows()
        cluster.mend()
    story.check()

Conditions are waited for, never times: `flows` returns when every job has published further events.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from deploy.local import free_port, wait_until
from flows.audit import Record
from flows.audit.parse import parse
from flows.audit.records import Event, Rejection
from flows.config.model import Config
from tests.brokers.cluster import KafkaCluster
from tests.brokers.feed import Feed
from tests.job.published import read_back, wrong_numbers
from tests.job.running import SECONDS, Deployment

RATE = 150.0  # events a second: the reference takes its time for each
FURTHER = 200  # records that a job has to publish to be seen going on
CONFIG = Config(
    lateness="10s",
    key_actions=["Bought"],
    sessions={"timeout": "1m"},
    churn_after="2m",
    funnels={"buy": {"window": "2m", "steps": ["Viewed", "Added", "Bought"]}},
    breakdowns={"platform": {"field": "context.device.type", "values": ["web", "ios"]}},
    dedup_horizon="5m",
    shards=4,
)
LOG_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
SPREAD = ((1, 2, 3), (2, 3, 1), (3, 1, 2), (1, 3, 2), (2, 1, 3), (3, 2, 1))
"""Replicas of six partitions: every broker leads two of them."""
NOT_LED_BY_1 = ((2, 3, 1), (3, 1, 2))
OFTEN = ("--checkpoint", "500ms")


@dataclass
class Job(Deployment):
    """One product that reads the story's topic, and its newest run."""

    run: subprocess.Popen[bytes] | None = None
    options: Sequence[str] = ()
    program: Sequence[str] = ("tests.faults.launcher", "--recheck", "1", "--")

    @property
    def alive(self) -> bool:
        """Whether the newest run goes on."""
        return self.run is not None and self.run.poll() is None

    def begin(self, *options: str) -> None:
        """Start a new run, with the options of the one before if none are given."""
        self.options = options or self.options
        self.run = self.start(*self.options)

    def kill(self) -> None:
        """SIGKILL the run."""
        assert self.run is not None
        self.run.kill()
        self.run.wait(SECONDS)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP the run for so long."""
        assert self.run is not None
        self.run.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.run.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell the run to end; its exit code."""
        assert self.run is not None
        self.run.send_signal(number)
        return self.run.wait(SECONDS)

    def ended(self) -> int:
        """Wait until the run ends by itself; its exit code."""
        assert self.run is not None
        return self.run.wait(SECONDS)

    def accounting(self) -> Counter[str]:
        """`consumed`, `late` and the others of the live hash, over all partitions."""
        live = self.live().items()
        return Counter(
            {found[1]: int(text) for name, text in live if (found := re.fullmatch(r"accounting\.([\w.]+)", name))}
        )

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels, as /metrics has it now; 0 when it is not there."""
        address = self.environment["TIDEGAUGE_METRICS_ADDRESS"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"(?m)^{name}(?:\{{.*\}})? (\S+)$", page))


class Story:
    """One topic, its feed and its jobs. Use as a context manager: what still runs in the end is killed."""

    def __init__(
        self,
        cluster: KafkaCluster,
        redis_url: str,
        folder: Path,
        *,
        replicas: Sequence[Sequence[int]] = SPREAD,
        topic_config: Mapping[str, str] = LOG_APPEND_TIME,
        config: Config = CONFIG,
    ) -> None:
        self.cluster = cluster
        self.topic = cluster.create_topic(config=topic_config, replicas=replicas)
        self.jobs: dict[str, Job] = {}
        self.feeds: list[Feed] = []
        self._config = config
        self._redis_url = redis_url
        self._folder = folder

    def __enter__(self) -> Story:
        return self

    def __exit__(self, *_error: object) -> None:
        for feed in self.feeds:
            if not feed.stopped:
                feed.abandon()
        for job in self.jobs.values():
            if job.run is not None and job.alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(job.run.pid, signal.SIGCONT)
                job.kill()

    def job(self, name: str, *options: str, limits: Mapping[str, object] | None = None, **environment: str) -> Job:
        """A product of the story, started with `options`, which reads its topic through the proxies."""
        folder = self._folder / name
        folder.mkdir()
        config = self._config.model_copy(update={"product": f"{name}_{self.topic[-8:]}"})
        environment |= {"TIDEGAUGE_METRICS_ADDRESS": f"127.0.0.1:{free_port()}"}
        job = Job(config, folder, self.cluster.client_servers, self.topic, self._redis_url, environment, limits or {})
        self.jobs[name] = job
        job.begin(*options)
        return job

    @contextlib.contextmanager
    def feed(self, *, rate: float = RATE, broken: float = 0.002, codecs: tuple[str, ...] = ("none",)) -> Iterator[Feed]:
        """Events flow for as long as the block lasts; then all of them are stored."""
        seed = len(self.feeds)
        feed = Feed(self.cluster.bootstrap_servers, self.topic, rate=rate, broken=broken, codecs=codecs, seed=seed)
        self.feeds.append(feed)
        yield feed
        feed.stop()

    def flows(self, records: int = FURTHER) -> None:
        """Until every job has published `records` more than now; AssertionError with its log when one has ended."""
        wanted = {name: job.consumed() + records for name, job in self.jobs.items()}
        self._wait(wanted, f"{records} more records to be published")

    def records(self) -> list[Record]:
        """What the topic holds, in the order of its time, in which no partition is read ahead."""
        found = read_back(self.cluster.bootstrap_servers, self.topic)
        return sorted(found, key=lambda record: (record.timestamp_ms, record.partition, record.offset))

    def check(self, *, late: int | None = 0) -> None:
        """Once all jobs have counted what the topic holds: every number is the reference's, and nothing is missing.

        `late`: so many events are late, in every job; None: as many as may be, all jobs agreeing.
        """
        records = self.records()
        held = {(record.partition, record.offset) for record in records}
        lost = [one for feed in self.feeds for one in feed.stored if (one.partition, one.offset) not in held]
        assert not lost, f"{len(lost)} acknowledged records are not in the topic"
        self._wait({name: len(records) for name in self.jobs}, f"all {len(records)} records to be published")
        delay = max(stored.delay_seconds for feed in self.feeds for stored in feed.stored)
        self._wait_for_time(records)
        wrong = {name: self.wrong(job, records) for name, job in self.jobs.items()}
        told = [f"{name}: " + "\n".join(lines) for name, lines in wrong.items() if lines]
        assert not told, "\n".join([f"wrong, with events that were stored up to {delay:.1f} s late:", *told])
        counted = {name: job.accounting()["late"] for name, job in self.jobs.items()}
        assert len(set(counted.values())) == 1, f"the jobs disagree on how many events are late: {counted}"
        assert late is None or set(counted.values()) == {late}, f"late events: {counted}"

    def check_letters(self) -> None:
        """Every rejected record of the topic is in the dead letters, and nothing else."""
        refused = {
            (record.partition, record.offset)
            for record in self.records()
            if isinstance(parse(record, self._config), Rejection)
        }
        assert refused, "no record was rejected"
        told = [
            json.loads(record.value or b"") for record in read_back(self.cluster.bootstrap_servers, self.dead_topic)
        ]
        letters = {(letter["partition"], letter["offset"]) for letter in told}
        assert (refused - letters, letters - refused) == (set(), set())

    @property
    def dead_topic(self) -> str:
        """Where the jobs send what they reject."""
        return f"{self.topic}.dead"

    def wrong(self, job: Job, records: Sequence[Record]) -> list[str]:
        """What a job publishes otherwise than the reference of `records`, which it has counted."""
        with self.client() as client:
            key = f"tidegauge:v1:{{{job.config.product}}}"
            return wrong_numbers(
                client.hgetall(f"{key}:live"), lambda name: client.hgetall(f"{key}:minute:{name}"), records, job.config
            )

    def client(self) -> redis.Redis:
        """The test's own way to Redis."""
        return redis.Redis.from_url(self._redis_url, decode_responses=True, legacy_responses=False)

    def _wait_for_time(self, records: Sequence[Record]) -> None:
        """Until the stream clock of every job has reached the newest event: grace behind an outage is over."""
        events = (parse(record, self._config) for record in records)
        newest_ms = max(event.reading for event in events if isinstance(event, Event))

        def reached() -> bool:
            return all(int(job.live().get("_as_of", 0)) >= newest_ms for job in self.jobs.values())

        logs = "\n".join(f"{name}: {job.log()[-1500:]}" for name, job in self.jobs.items())
        wait_until(reached, f"the time of the newest event\n{logs}", SECONDS, pause=0.1)

    def _wait(self, wanted: Mapping[str, int], awaited: str) -> None:
        def there() -> bool:
            for name, job in self.jobs.items():
                assert job.alive, f"{name} has ended:\n{job.log()[-3000:]}"
            return all(self.jobs[name].consumed() >= count for name, count in wanted.items())

        logs = "\n".join(f"{name}: {job.log()[-1500:]}" for name, job in self.jobs.items())
        wait_until(there, f"{awaited}\n{logs}", SECONDS, pause=0.1)
