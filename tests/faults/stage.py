"""One broker, one Redis and the network between them and the job; and the history of one product on it.

The test itself speaks to the servers directly. Only the job goes through the proxies, as a user that may do no more
than the contract asks for. What is right is what the reference says of the records that the topic really holds, read
back from the broker.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from confluent_kafka import KafkaError, KafkaException, Producer
from redis import Redis, RedisError

from flows.audit import Record
from flows.audit.parse import parse
from flows.audit.records import Rejection
from flows.run.warm_up import warm_up
from tests.brokers.cluster import KafkaCluster, running_cluster
from tests.faults.load import CONFIG, Load, Sent
from tests.faults.proxy import Proxy
from tests.job.published import read_back, wrong_numbers
from tests.job.running import write_config
from tests.services import ROOT, KafkaServer, RedisServer, free_port, redis_program, tied, wait_until

SECONDS = 300.0
"""Deadline of everything that is waited for; a busy machine is no failure."""
STOP_SECONDS = 5.0  # what an ordered end may take; on a machine that does something else besides, four times as much
FAST_STEPS = 50
"""Of the load while a fault lasts; then it trickles, for the reference takes its time for each record."""
MEMORY_MB = 600  # of one run, at any time: its floor is some 250 MB of libraries and compiled loops
PASSWORD = "of-a-test"
MEBIBYTE = 1 << 20
HUGE = {"message.max.bytes": 12 * MEBIBYTE}
TOPIC_CONFIG = {"max.message.bytes": str(12 * MEBIBYTE)}


class ProxiedKafka(KafkaServer):
    """A broker with a second listener, which tells clients to come through a proxy."""

    proxy: Proxy

    def __init__(self, data: Path) -> None:
        self.inner = free_port()
        self.proxy = Proxy(self.inner)
        super().__init__(data)

    def start(self) -> None:
        """As KafkaServer, with the addresses that clients are told."""
        self.options = (
            "--listener",
            f"PROXIED:PLAINTEXT:{self.inner}",
            "--set",
            f"advertised.listeners=PLAINTEXT://{self.bootstrap_servers},PROXIED://127.0.0.1:{self.proxy.port}",
            "--set",
            f"message.max.bytes={12 * MEBIBYTE}",
        )
        super().start()

    @property
    def client_servers(self) -> str:
        """What the job is told."""
        return f"127.0.0.1:{self.proxy.port}"


@dataclass
class Stage:
    """The servers that all histories share; `kafka` is one broker, or three of them for the faults of such."""

    kafka: ProxiedKafka | KafkaCluster
    redis: RedisServer
    redis_proxy: Proxy
    folder: Path
    clock: Path | None = None  # see clock.c

    @property
    def broker(self) -> ProxiedKafka:
        """The one broker."""
        assert isinstance(self.kafka, ProxiedKafka)
        return self.kafka

    @property
    def cluster(self) -> KafkaCluster:
        """The three brokers."""
        assert isinstance(self.kafka, KafkaCluster)
        return self.kafka

    def client(self) -> Redis:
        """The test's own way to Redis."""
        return Redis.from_url(self.redis.url, decode_responses=True, legacy_responses=False)


@contextlib.contextmanager
def running_stage(folder: Path, *, three_brokers: bool = False) -> Iterator[Stage]:
    """Everything up, and everything down in the end."""
    warm_up(CONFIG)  # here, so that no history waits for a compiler
    with contextlib.ExitStack() as stack:
        kafka: ProxiedKafka | KafkaCluster
        if three_brokers:
            kafka = stack.enter_context(running_cluster())
        else:
            kafka = ProxiedKafka(folder / "kafka")
            stack.callback(kafka.stop)
            stack.callback(kafka.proxy.close)
        users = folder / "users.acl"
        users.write_text(f"user default on nopass ~* &* +@all\n{acl_of_the_job()}\n")
        server = RedisServer(redis_program(), folder, "--aclfile", str(users))
        stack.callback(server.stop)
        proxy = Proxy(server.port)
        stack.callback(proxy.close)
        yield Stage(kafka, server, proxy, folder, compiled_clock(folder))


def acl_of_the_job() -> str:
    """The user of SECURITY.md, for all products of the test."""
    page = (ROOT / "deploy" / "SECURITY.md").read_text(encoding="utf-8")
    found = re.search(r"(?m)^ACL SETUSER (tidegauge on .*)$", page)
    assert found is not None
    return "user " + found[1].replace("<password>", PASSWORD).replace("{shop}", "*")


def compiled_clock(folder: Path) -> Path | None:
    """The library made of clock.c; None: there is no C compiler, and the launcher does for Python what it can."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return library


class History:
    """One product from its first event to the last check. Use as a context manager."""

    def __init__(self, stage: Stage, seed: int, *, partitions: int = 2, mutation: str | None = None) -> None:
        self.stage = stage
        self.seed = seed
        self.chance = Random(seed)
        self.partitions = partitions
        self.mutation = mutation
        self.product = f"h{seed}x{time.monotonic_ns() % 1_000_000_000}"
        self.config = CONFIG.model_copy(update={"product": self.product})
        self.folder = stage.folder / self.product
        self.state = self.folder / "state"
        self.topic = stage.kafka.create_topic(partitions, TOPIC_CONFIG)
        self.load = Load(seed, partitions)
        self.produced = 0
        self.lost: dict[int, range] = {}  # offsets that were deleted before anybody read them
        self.runs: list[subprocess.Popen[bytes]] = []
        self.metrics_port = free_port()
        self.wrong: list[str] = []
        self.stops: list[float] = []  # seconds that ordered ends took
        self.memory_mb = 0
        self._records: dict[int, list[Record]] = defaultdict(list)
        self._vanished: list[Record] = []  # that were in the topic
        self._tokens: list[int] = []
        self._tokens_before: dict[int, str] = {}  # process id of a run -> what its folder held when it began
        self._over = threading.Event()
        self.connect()

    def __enter__(self) -> History:
        self.folder.mkdir()
        self.watch = threading.Thread(target=self._watch, name="watch", daemon=True)
        self.watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        for run in self.runs:
            if run.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    run.kill()
                    run.send_signal(signal.SIGCONT)
                run.wait(SECONDS)
        self._over.set()
        self.watch.join()
        self._producer.close()

    # Runs

    @property
    def run(self) -> subprocess.Popen[bytes]:
        """The newest run."""
        return self.runs[-1]

    def start(
        self,
        *options: str,
        at: str | None = None,
        state: Path | None = None,
        environment: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A new `tidegauge run`; `at`: as the launcher's. Its log goes to `<folder>/log`."""
        file = write_config(self.folder / "config.yaml", self.config)
        self.place = state or self.state
        token_before = self.token()
        self.metrics_port = free_port()
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.stage.kafka.client_servers,
            "TIDEGAUGE_TOPIC": self.topic,
            "REDIS_URL": f"redis://tidegauge:{PASSWORD}@127.0.0.1:{self.stage.redis_proxy.port}/0",
            "TIDEGAUGE_METRICS_ADDRESS": f"127.0.0.1:{self.metrics_port}",
            "TIDEGAUGE_STATE": str(self.place),
        }
        ours = ["--recheck", "1"]
        ours += ["--at", at] if at else []
        ours += ["--mutate", self.mutation] if self.mutation else []
        theirs = ["run", "--config", str(file), "--tick", "100ms", "--checkpoint", "400ms", *options]
        with (self.folder / "log").open("ab") as log:
            run = subprocess.Popen(
                tied([sys.executable, "-m", "tests.faults.launcher", *ours, "--", *theirs]),
                cwd=ROOT,
                env=os.environ | settings | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=before,
            )
        self.runs.append(run)
        self._tokens_before[run.pid] = token_before
        return run

    def begin_anew(self) -> None:
        """From now on with an empty state folder: what Kafka does not hold any more is not counted."""
        self.state = self.folder / f"state-{len(self.runs)}"
        self.lost = {partition: range(offsets.stop) for partition, offsets in self.lost.items()}

    def count_anew(self) -> None:
        """What `records` has returned is no more: from now on an empty state folder, and whatever the topic holds."""
        self._vanished += itertools.chain.from_iterable(self._records.values())
        self._records.clear()
        self.begin_anew()
        self.lost = {}
        self.connect()
        self.produced = len(self.records())

    def forget(self, run: subprocess.Popen[bytes]) -> None:
        """A run that was refused has never been the newest."""
        self.runs.remove(run)

    def token(self) -> str:
        """The fencing token of the newest run, as its state folder has it."""
        with contextlib.suppress(FileNotFoundError):
            return (self.place / "token").read_text().strip()
        return ""

    def log(self) -> str:
        """All that the runs have said."""
        return (self.folder / "log").read_text(errors="replace")

    def ended(self, run: subprocess.Popen[bytes], *codes: int) -> int:
        """Wait for the end of a run; another exit code than these is wrong."""
        try:
            code = run.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.wrong.append(f"a run does not end, {codes} was expected")
            run.kill()
            return run.wait(SECONDS)
        if code not in codes:
            self.wrong.append(f"a run ended with {code}, not {codes}: {self.log()[-1500:]}")
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End the newest run in order; returns the seconds it took."""
        began = time.monotonic()
        self.run.send_signal(number)
        self.ended(self.run, 0)
        self.stops.append(time.monotonic() - began)
        return self.stops[-1]

    # Traffic

    @contextlib.contextmanager
    def traffic(self) -> Iterator[None]:
        """Events flow for as long as the block lasts."""
        over = threading.Event()
        failure: list[BaseException] = []

        def pump() -> None:
            try:
                for step in itertools.count():
                    self.send_step()
                    if over.wait(0.03 if step < FAST_STEPS else 0.5):
                        return
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=pump, name="pump", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if failure:
            raise failure[0]

    def connect(self) -> None:
        """A producer of its own, which knows of nothing that was sent before."""
        self._producer = Producer(
            {
                "bootstrap.servers": self.stage.kafka.bootstrap_servers,
                "enable.idempotence": True,  # a broker that is killed gets every record once, and in order
                "linger.ms": 2,
                "delivery.timeout.ms": 120_000,
                "log_level": "2",
                **HUGE,
            }
        )

    def send_step(self) -> None:
        """Send the records of one moment and wait until all of them are stored."""
        refused: list[KafkaError] = []

        def told(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                refused.append(error)

        def send(record: Sent) -> None:
            place, time_ms = record.partition, record.timestamp_ms
            self._producer.produce(self.topic, record.value, partition=place, timestamp=time_ms, on_delivery=told)

        sent = self.load.step()
        for record in sent:
            try:
                send(record)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                    raise
                self._meet_the_new_partition()
                send(record)
        assert self._producer.flush(SECONDS) == 0, "the load could not be sent"
        assert not refused, refused[0]
        self.produced += len(sent)

    def _meet_the_new_partition(self) -> None:
        def met() -> bool:
            self._producer.poll(0)
            found = self._producer.list_topics(self.topic, timeout=10).topics[self.topic]
            return len(found.partitions) == self.partitions

        wait_until(met, "the producer to know all partitions", SECONDS)

    def burst(self, steps: int = 15) -> None:
        """So many moments of traffic."""
        for _ in range(steps):
            self.send_step()

    # What is published

    def live(self) -> dict[str, str]:
        """The live hash, empty where Redis does not answer."""
        with self.stage.client() as client, contextlib.suppress(RedisError):
            found: dict[str, str] = client.hgetall(f"tidegauge:v1:{{{self.product}}}:live")
            return found
        return {}

    def consumed(self) -> int:
        """Records that the published numbers cover."""
        with self.stage.client() as client, contextlib.suppress(RedisError):
            return int(str(client.hget(f"tidegauge:v1:{{{self.product}}}:live", "_consumed") or 0))
        return 0

    def newest_has_published(self, live: dict[str, str]) -> bool:
        """Whether it is the newest run whose numbers are there."""
        token = self.token()
        return token not in ("", self._tokens_before[self.run.pid]) and live.get("_run") == token

    def wait_for_all(self) -> None:
        """Until the newest run's published numbers cover all that was sent; TimeoutError when they never do."""
        lost = sum(map(len, self.lost.values()))

        def there() -> bool:
            if (code := self.run.poll()) is not None:
                raise TimeoutError(f"the run has ended with {code}:\n{self.log()[-2500:]}")
            live = self.live()
            return self.newest_has_published(live) and int(live["_consumed"]) >= self.produced - lost

        wait_until(there, f"all {self.produced} records in the published numbers\n{self.log()[-2500:]}", SECONDS)

    def ready(self) -> bool | None:
        """What /readyz says; None: nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False
        except OSError:
            return None

    def _watch(self) -> None:
        """Note every change of the run whose numbers are there, and how much memory the newest run takes."""
        client = self.stage.client()
        while not self._over.wait(0.01):
            with contextlib.suppress(RedisError, TypeError, ValueError):
                token = int(str(client.hget(f"tidegauge:v1:{{{self.product}}}:live", "_run")))
                if not self._tokens or self._tokens[-1] != token:
                    self._tokens.append(token)
            if self.runs:
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{self.run.pid}/status").read_text()
                    if resident := re.search(r"VmRSS:\s+(\d+)", status):  # an ended run has none
                        self.memory_mb = max(self.memory_mb, int(resident[1]) // 1024)
        client.close()

    # What is right

    def check(self) -> None:
        """Everything published equals the reference of the records in the topic; what does not goes to `wrong`."""
        live = self.live()
        records = self.records()
        if int(live.get("_consumed", 0)) != len(records):
            self.wrong.append(f"{live.get('_consumed')} of {len(records)} records are counted")
            return
        with self.stage.client() as client:
            minute = f"tidegauge:v1:{{{self.product}}}:minute:"
            self.wrong += wrong_numbers(live, lambda name: client.hgetall(minute + name), records, self.config)

    def check_in_the_end(self) -> None:
        """What is looked at once: dead letters, the order of runs, memory."""
        counted = {(record.partition, record.offset) for record in self.records()}
        refused = {
            (record.partition, record.offset)
            for records in (*self._records.values(), self._vanished)
            for record in records
            if isinstance(parse(record, self.config), Rejection)
        }
        letters = set()
        for record in read_back(self.stage.kafka.bootstrap_servers, f"{self.topic}.dead"):
            letter = json.loads(record.value or b"")
            letters.add((letter["partition"], letter["offset"]))
        missing, unfounded = (refused & counted) - letters, letters - refused
        if missing or unfounded:
            self.wrong.append(f"{len(missing)} dead letters are missing, {len(unfounded)} too many")
        if self._tokens != sorted(self._tokens):
            self.wrong.append(f"a run that had been replaced published: {self._tokens}")
        if self.memory_mb > MEMORY_MB:
            self.wrong.append(f"a run took {self.memory_mb} MB")

    def records(self) -> list[Record]:
        """What the topic holds, in an order in which no partition is read ahead."""
        after = {partition: records[-1].offset + 1 for partition, records in self._records.items() if records}
        for record in read_back(self.stage.kafka.bootstrap_servers, self.topic, after):
            self._records[record.partition].append(record)
        everything = [
            record
            for partition, records in self._records.items()
            for record in records
            if record.offset not in self.lost.get(partition, ())
        ]
        return sorted(everything, key=lambda record: (record.timestamp_ms, record.partition, record.offset))


def signals(run: subprocess.Popen[bytes], numbers: Sequence[signal.Signals]) -> None:
    """Send each of them."""
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            run.send_signal(number)
