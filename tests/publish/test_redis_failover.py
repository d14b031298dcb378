"""Publisher, reader and `top` when another server becomes primary: real servers, real Sentinels, a real cluster."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from deploy.local import wait_until
from flows.app import main
from flows.audit import recompute
from flows.client.reader import LiveNumbers
from flows.publish.redis.sink import FencedOut
from tests.job.running import Deployment, cells_of, disagreements, end
from tests.job.test_restarts import CONFIG, stream
from tests.lacking import need
from tests.publish.test_redis import Run, T, running, snapshot
from tests.publish.test_redis_top import listed
from tests.redis_groups import (
    PASSWORD,
    ClusterGroup,
    Name,
    SentinelGroup,
    asked,
    pair,
    role,
)
from tests.services import KafkaBroker, RedisServer, redis_program

LIVE = "tidegauge:v1:{shop}:live"
FENCE = "tidegauge:v1:{shop}:fence"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    need("Redis", redis_program)
    with pair(tmp_path) as both:
        yield both


class Load:
    """A run that publishes without end; each snapshot has its number in two cells, and may close a minute."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.number = 0
        self.minutes: dict[int, Mapping[str, int]] = {}
        self.closes_minutes = True
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go)

    def _go(self) -> None:
        for number in count(1):
            if self._end.wait(0.02):
                return
            start = T + number * 60_000
            minutes = {start: {"events": number}} if self.closes_minutes else {}
            cells = {"a": number, "b": number}
            self.run.publisher.publish(snapshot(cells, number=number, as_of_ms=start + 60_000, minutes=minutes))
            self.minutes |= minutes
            self.number = number

    def __enter__(self) -> Load:
        self._thread.start()
        wait_until(lambda: self.run.publishes > 2, "publishes")
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def reaches(self, server: Callable[[], RedisServer], password: str | None = None, *, asking: bool = False) -> float:
        """Wait until a server holds numbers younger than this call; for how many seconds that took."""
        number, began_s = self.number, time.monotonic()

        def there() -> bool:
            self.run.publisher.check()
            try:
                return int(asked(server(), "HGET", LIVE, "a", password=password, asking=asking) or 0) > number
            except (redis.RedisError, LookupError, StopIteration):
                return False

        wait_until(there, "newer numbers at the new primary")
        return time.monotonic() - began_s

    def all_at(self, server: RedisServer, password: str | None = None) -> None:
        """In the end a server holds all of the last snapshot, and every minute that closed, by this run's token."""
        self.__exit__()
        wait_until(lambda: self.run.publisher._newest is None, "the last publish")
        self.run.publisher.check()
        there = asked(server, "HGETALL", LIVE, password=password)
        assert {name: value for name, value in there.items() if name[0] != "_"} == {
            "a": str(self.number),
            "b": str(self.number),
        }
        assert there["_run"] == asked(server, "GET", FENCE, password=password) == str(self.run.publisher.token)
        keys = self.run.publisher.keys
        for start, fields in self.minutes.items():
            assert asked(server, "HGETALL", keys.minute(start), password=password) == {
                name: str(value) for name, value in fields.items()
            }


@contextmanager
def loaded(url: str) -> Iterator[Load]:
    """As the job publishes: its own timeouts."""
    with running(url, socket_seconds=1.0) as run, Load(run) as load:
        yield load


def same(old: RedisServer, new: RedisServer, password: str | None = None) -> None:
    """In the end the old primary is a replica of the new one, and holds nothing else."""

    def follows() -> bool:
        try:
            told = [asked(one, "INFO", "replication", password=password) for one in (old, new)]
        except redis.RedisError:  # Sentinels end all connections to a server that they make a replica
            return False
        if (told[0]["role"], told[0].get("master_link_status")) != ("slave", "up"):
            return False
        return bool(told[0]["slave_repl_offset"] == told[1]["master_repl_offset"])

    wait_until(follows, "the old primary as a replica")
    assert content(old, password) == content(new, password)


def unwritten(old: RedisServer, password: str | None = None) -> bool:
    """Since its start nobody has run a script here, though at first it took itself for the primary."""
    return "cmdstat_evalsha" not in asked(old, "INFO", "commandstats", password=password)


def content(server: RedisServer, password: str | None) -> dict[str, str]:
    """All keys of a server, also of a replica in a cluster, which sends elsewhere whoever does not say READONLY."""
    with redis.Redis(port=server.port, password=password, decode_responses=True) as client:
        client.execute_command("READONLY") if asked(server, "INFO", "cluster", password=password)[
            "cluster_enabled"
        ] else 0
        keys = sorted(client.keys("*"))
        return {str(key): str(client.get(key) if key == FENCE else client.hgetall(key)) for key in keys}


def said(name: str, seconds: float) -> None:
    print(f"{name}: newer numbers at the new primary after {seconds:.2f} s", file=sys.__stdout__, flush=True)


# --------------------------------------------------------------------------------------------------- a name


@pytest.mark.parametrize("way", ["REPLICAOF", "FAILOVER TO"])
def test_a_name_that_leads_to_the_new_primary_is_followed(servers: tuple[RedisServer, RedisServer], way: str) -> None:
    """Open connections still lead to the old primary, which answers READONLY for ever."""
    first, second = servers
    name = Name(first)
    with loaded(name.url) as load, LiveNumbers(name.url, "shop") as numbers:
        assert numbers.read("a").state != "absent"
        if way == "REPLICAOF":
            asked(second, "REPLICAOF", "NO", "ONE")
            asked(first, "REPLICAOF", "127.0.0.1", second.port)
        else:
            asked(first, "FAILOVER", "TO", "127.0.0.1", second.port)
            wait_until(lambda: role(second) == "master", "the failover")
        name.leads_to(second)
        said(way, load.reaches(lambda: second))
        load.all_at(second)
        same(first, second)
        assert numbers.read("a").count("a") == load.number
    name.close()


def test_a_replica_that_lost_the_last_publishes_is_written_whole(servers: tuple[RedisServer, RedisServer]) -> None:
    first, second = servers
    name = Name(first)
    with loaded(name.url) as load:
        wait_until(lambda: asked(second, "HGET", LIVE, "a") is not None, "the replica to have something")
        asked(second, "REPLICAOF", "NO", "ONE")  # from here on it lacks everything
        load.reaches(lambda: first)
        name.leads_to(second)
        first.kill()
        load.reaches(lambda: second)
        load.all_at(second)
    name.close()


@pytest.mark.parametrize("quicker", ["older", "newer"])
def test_a_replica_that_lost_the_newest_token_lets_the_older_run_write_until_the_newer_does(
    servers: tuple[RedisServer, RedisServer], quicker: str
) -> None:
    first, second = servers
    name = Name(first)
    with running(name.url) as older, running(name.url, product="other"):
        older.publish(snapshot({"a": 1}))
        wait_until(lambda: asked(second, "HGET", LIVE, "a") == "1", "the replica")
        asked(second, "REPLICAOF", "NO", "ONE")
        with running(name.url) as newer:
            newer.publish(snapshot({"a": 2}))
            first.kill()
            name.leads_to(second)
            assert asked(second, "GET", FENCE) == str(older.publisher.token)
            if quicker == "older":
                older.publish(snapshot({"a": 3}))  # nothing there tells it that it is old
            newer.publish(snapshot({"a": 4}))
            there = asked(second, "HGETALL", LIVE)
            assert (there["a"], there["_run"]) == ("4", str(newer.publisher.token))
            with pytest.raises(FencedOut):
                older.publish(snapshot({"a": 5}))
            assert asked(second, "HGETALL", LIVE) == there
    name.close()


def test_a_connection_that_was_killed_is_made_anew(redis_server: RedisServer) -> None:
    with loaded(redis_server.url) as load:
        for _ in range(3):
            asked(redis_server, "CLIENT", "KILL", "TYPE", "normal")
            load.reaches(lambda: redis_server)
        load.all_at(redis_server)


def test_too_few_replicas_change_no_number_and_are_waited_for(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with running(redis_server) as run:
        run.publish(snapshot({"a": 1}))
        before = asked(redis_server, "HGETALL", LIVE)
        asked(redis_server, "CONFIG", "SET", "min-replicas-to-write", "1")
        run.publisher.publish(snapshot({"a": 2}, minutes={T: {"events": 1}}))
        wait_until(lambda: run.failures >= 2, "two failures")
        assert asked(redis_server, "HGETALL", LIVE) == before
        assert any("refuses writes while its replicas" in message for message in caplog.messages)
        asked(redis_server, "CONFIG", "SET", "min-replicas-to-write", "0")
        wait_until(lambda: asked(redis_server, "HGET", LIVE, "a") == "2", "the numbers")


def test_a_server_that_loads_its_data_is_waited_for(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running(redis_server) as run:
        run.publish(snapshot({"a": 1}))
        asked(redis_server, "MSET", *(text for n in range(3000) for text in (f"filler-{n}", "x" * 1000)))
        asked(redis_server, "SAVE")
        redis_server.kill()
        redis_server.options = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        redis_server.start()
        run.publisher.publish(snapshot({"a": 2}))
        wait_until(lambda: run.publisher._newest is None, "the publish")
        assert asked(redis_server, "HGET", LIVE, "a") == "2"
        assert any("is still loading its data" in message for message in caplog.messages)


# ------------------------------------------------------------------------------------------------- Sentinels


def test_a_killed_primary_is_followed_by_its_sentinels(
    sentinels: SentinelGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = sentinels.primary(), sentinels.other()
    with loaded(sentinels.url) as load, LiveNumbers(sentinels.url, "shop", patience_seconds=30) as numbers:
        changes = numbers.changes("a", at_least_every_seconds=60)
        before = next(changes).count("a")
        old.kill()
        wait_until(lambda: role(new, PASSWORD) == "master", "the failover")
        said("Sentinel, SIGKILL", load.reaches(lambda: new, PASSWORD))
        wait_until(lambda: next(changes).count("a") > before, "the reader to follow")
        old.start()
        load.all_at(new, PASSWORD)
        same(old, new, PASSWORD)
        assert unwritten(old, PASSWORD)
        assert numbers.read().count("a") == load.number
        assert top(sentinels.url, capsys)["a"] == load.number


def top(url: str, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What `tidegauge top` prints; its only product is found, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", url)
        capsys.readouterr()
        main(["top", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["product"] == "shop"
    cells: dict[str, int] = told["cells"]
    return cells


def test_a_failover_that_was_ordered_leaves_the_old_primary_alive_and_unwritten(sentinels: SentinelGroup) -> None:
    old, new = sentinels.primary(), sentinels.other()
    with loaded(sentinels.url) as load:
        sentinels.sentinels[1].order_failover()
        wait_until(lambda: role(new, PASSWORD) == "master", "the failover")
        said("Sentinel, ordered", load.reaches(lambda: new, PASSWORD))
        asked(old, "REPLICAOF", "127.0.0.1", new.port, password=PASSWORD)  # as Sentinels do some ten seconds later
        load.all_at(new, PASSWORD)
        same(old, new, PASSWORD)


def test_a_sentinel_that_slept_through_the_failover_is_not_believed(sentinels: SentinelGroup) -> None:
    """The first of the address is frozen, the failover passes, and what it then says first is old."""
    sleeper = sentinels.sentinels[0]
    old, new = sentinels.primary(), sentinels.other()
    sleeper.signal(signal.SIGSTOP)
    try:
        with loaded(sentinels.url) as load:
            old.kill()
            wait_until(lambda: role(new, PASSWORD) == "master", "the failover")
            said("Sentinel, SIGKILL, one of three frozen", load.reaches(lambda: new, PASSWORD))
            old.start()
            sleeper.signal(signal.SIGCONT)
            load.reaches(lambda: new, PASSWORD)
            load.all_at(new, PASSWORD)
    finally:
        sleeper.signal(signal.SIGCONT)


# --------------------------------------------------------------------------------------------------- cluster


def test_a_killed_owner_of_the_slot_is_followed_by_the_cluster(
    cluster: ClusterGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    old = cluster.owner()
    new = cluster.replica_of(old)
    with loaded(cluster.url) as load, LiveNumbers(cluster.url, "shop", patience_seconds=30) as numbers:
        changes = numbers.changes("a", at_least_every_seconds=60)
        before = next(changes).count("a")
        old.kill()
        wait_until(lambda: role(new) == "master", "the failover")
        said("Cluster, SIGKILL", load.reaches(lambda: new))
        wait_until(lambda: next(changes).count("a") > before, "the reader to follow")
        old.start()
        load.all_at(new)
        same(old, new)
        assert unwritten(old)
        assert numbers.read().count("a") == load.number
        assert top(cluster.url, capsys)["a"] == load.number


def test_a_slot_that_moves_under_load_is_followed(cluster: ClusterGroup, caplog: pytest.LogCaptureFixture) -> None:
    source = cluster.owner()
    target = next(one for one in cluster.servers if role(one) == "master" and one is not source)
    slot = key_slot(b"{shop}")
    with loaded(cluster.url) as load, LiveNumbers(cluster.url, "shop", patience_seconds=30) as numbers:
        assert numbers.read("a").count("a") > 0
        wait_until(lambda: len(load.minutes) > 20, "some minutes to move")
        load.closes_minutes = False  # Redis writes no new key of a slot on its way together with one that is there
        load.reaches(lambda: source)
        asked(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id(source))
        asked(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id(target))
        while keys := asked(source, "CLUSTER", "GETKEYSINSLOT", slot, 5):
            asked(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
        load.reaches(lambda: target, asking=True)  # by ASK: the slot is still the source's
        load.closes_minutes = True  # TRYAGAIN
        wait_until(lambda: "moves the keys of product shop" in caplog.text, "words")
        for server in (target, source):
            asked(server, "CLUSTER", "SETSLOT", slot, "NODE", cluster.id(target))
        said("Cluster, a slot on its way", load.reaches(lambda: target))
        load.all_at(target)
        assert numbers.read("a").count("a") == load.number


def test_a_cluster_is_entered_by_any_node(cluster: ClusterGroup) -> None:
    for server in cluster.servers:
        with running(f"redis+cluster://127.0.0.1:{server.port}") as run:
            run.publish(snapshot({"a": server.port}))
        assert asked(cluster.owner(), "HGET", LIVE, "a") == str(server.port)


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_top_lists_survive_the_end_of_their_server(kind: str, request: pytest.FixtureRequest) -> None:
    group = request.getfixturevalue("sentinels" if kind == "sentinel" else "cluster")
    with running(group.url) as run, LiveNumbers(group.url, "shop", patience_seconds=60) as numbers:
        run.publish(listed({"/a": 3, "/b": 1}))
        assert numbers.top("pages", "5m") == {"/a": 3, "/b": 1}
        (group.primary() if kind == "sentinel" else group.owner()).kill()
        run.publish(listed({"/c": 9}, 2))
        now = numbers.read("events.5m", top=[("pages", "5m")])
        assert (now.count("events.5m"), now.top) == (2, {("pages", "5m"): {"/c": 9}})


# ------------------------------------------------------------------------------------------------ the whole job


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_a_run_whose_redis_fails_over_ends_with_the_numbers_of_the_reference(
    kind: str, request: pytest.FixtureRequest, kafka: KafkaBroker, tmp_path: Path
) -> None:
    group = request.getfixturevalue("sentinels" if kind == "sentinel" else "cluster")
    config = CONFIG.model_copy(update={"product": "shop"})
    records = stream(1, 1, 6_000)
    job = Deployment(config, tmp_path, kafka.bootstrap_servers, kafka.create_topic(1), group.url)
    with LiveNumbers(group.url, "shop", patience_seconds=60) as numbers:
        run = job.start()
        try:
            job.produce(records[:3_000])
            wait_until(lambda: covered(numbers, run) == 3_000, "the first half")
            token = numbers.read().fields["_run"]
            (group.primary() if kind == "sentinel" else group.owner()).kill()
            job.produce(records[3_000:])
            wait_until(lambda: covered(numbers, run) == len(records), "all numbers")
            now = numbers.read()
        finally:
            assert end(run, signal.SIGTERM) == 0, job.log()
    assert disagreements(recompute(records, config, int(now.fields["_as_of"])), cells_of(now.fields)) == {}
    assert now.fields["_run"] == token


def covered(numbers: LiveNumbers, run: subprocess.Popen[bytes]) -> int:
    assert run.poll() is None
    return int(numbers.read("_consumed").fields.get("_consumed", 0))
