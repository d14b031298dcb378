"""What services are given to read the numbers with, on what the real publisher writes to a real Redis."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import pytest
import redis

from flows.client.reader import LIVE_MS, LiveNumbers, Numbers
from flows.publish.redis.layout import LIVE_SECONDS
from tests.publish.test_redis import Run, T, running, snapshot
from tests.services import ROOT, RedisServer, wait_until
from tests.test_architecture import imports

PUBLISHED_MS = T + 200
SECURITY = ROOT / "deploy" / "SECURITY.md"


@pytest.fixture
def run(redis_server: RedisServer) -> Iterator[Run]:
    with running(redis_server, wall=lambda: PUBLISHED_MS / 1000) as started:
        yield started


@pytest.fixture
def numbers(redis_server: RedisServer) -> Iterator[LiveNumbers]:
    with LiveNumbers(redis_server.url, "shop") as reading:
        yield reading


def grown_old(server: RedisServer, seconds: float) -> None:
    """Make the last publish so old, as Redis counts."""
    with redis.Redis(port=server.port) as client:
        assert client.pexpire("tidegauge:v1:{shop}:live", round(LIVE_MS - seconds * 1000))


def test_numbers_come_with_their_times(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"active_users.5m": 42, "bounce_rate.1h": 0.25}))
    now = numbers.read()
    assert (now.state, now.count("active_users.5m"), now.ratio("bounce_rate.1h")) == ("live", 42, 0.25)
    assert now.as_of == datetime.fromtimestamp(T / 1000, UTC)
    assert now.watermark == datetime.fromtimestamp((T - 10_000) / 1000, UTC)
    assert now.published_at == datetime.fromtimestamp(PUBLISHED_MS / 1000, UTC)
    assert now.behind_seconds == 0.2
    assert now.age_seconds is not None
    assert now.age_seconds < 10


def test_zero_is_a_number_and_an_undefined_ratio_is_none(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"sessions.closed.1h": 0}))
    now = numbers.read()
    assert now.count("sessions.closed.1h") == 0
    assert now.ratio("bounce_rate.1h") is None


def test_a_count_that_is_not_published_is_a_mistake_and_says_what_there_is(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"active_users.5m": 42, "active_users.1h": 43}))
    with pytest.raises(KeyError, match=r"shop publishes no active_user\.5m; there are active_users\.5m"):
        numbers.read().count("active_user.5m")


def test_a_ratio_is_no_count(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"bounce_rate.1h": 0.25}))
    with pytest.raises(ValueError, match=r"0\.25"):
        numbers.read().count("bounce_rate.1h")


def test_only_what_is_asked_for_is_read_and_the_times(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"a": 1, "b": 2}))
    now = numbers.read("a", "undefined")
    assert set(now.fields) == {"a", "_as_of", "_watermark", "_published_at", "_partial"}
    assert (now.count("a"), now.ratio("undefined"), now.state) == (1, None, "live")


def test_without_a_publish_there_are_no_numbers(numbers: LiveNumbers) -> None:
    now = numbers.read()
    assert (now.state, now.age_seconds, now.as_of, dict(now.fields)) == ("absent", None, None, {})
    assert numbers.read("active_users.5m").state == "absent"


def test_before_the_first_event_there_are_no_times(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"active_users.5m": 0}, as_of_ms=None))
    now = numbers.read()
    assert (now.state, now.as_of, now.watermark, now.behind_seconds) == ("absent", None, None, None)


def test_numbers_grow_stale_by_the_clock_of_redis_alone(
    run: Run, numbers: LiveNumbers, redis_server: RedisServer
) -> None:
    run.publish(snapshot())  # the writer's clock stands in 2023
    assert numbers.read().state == "live"
    grown_old(redis_server, 11)
    now = numbers.read()
    assert now.state == "stale"
    assert now.age_seconds is not None
    assert 11 <= now.age_seconds < 60
    with LiveNumbers(redis_server.url, "shop", stale_after_seconds=120) as patient:
        assert patient.read().state == "live"


def test_while_the_job_catches_up_numbers_are_behind(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot(as_of_ms=PUBLISHED_MS - 61_000))
    now = numbers.read()
    assert (now.state, now.behind_seconds) == ("behind", 61.0)


def test_a_hash_that_was_copied_is_as_old_as_it_says(numbers: LiveNumbers, redis_server: RedisServer) -> None:
    with redis.Redis(port=redis_server.port) as client:
        client.hset("tidegauge:v1:{shop}:live", mapping={"a": 1, "_published_at": PUBLISHED_MS})
    assert numbers.read().state == "stale"


def test_the_age_is_counted_from_what_the_publisher_gives_the_hash_to_live() -> None:
    assert LIVE_MS == 1000 * LIVE_SECONDS


def test_the_first_change_is_what_is_there_and_others_follow_each_publish(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"a": 1}))
    changes = numbers.changes("a", at_least_every_seconds=60)
    assert next(changes).count("a") == 1
    for value in (2, 3):
        publishing = threading.Thread(target=run.publish, args=[snapshot({"a": value})])
        publishing.start()
        assert next(changes).count("a") == value
        publishing.join()


def test_publishes_that_came_meanwhile_are_seen_as_one(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"a": 0}))
    changes = numbers.changes("a", at_least_every_seconds=0.5)
    assert next(changes).count("a") == 0
    for value in range(1, 21):
        run.publish(snapshot({"a": value}))
    assert [now.count("a") for now in islice(changes, 2)] == [20, 20]  # the second one for want of any news


def test_a_reader_hears_of_silence(run: Run, numbers: LiveNumbers, redis_server: RedisServer) -> None:
    run.publish(snapshot({"a": 1}))
    changes = numbers.changes("a", at_least_every_seconds=0.1)
    assert next(changes).state == "live"
    grown_old(redis_server, 11)
    wait_until(lambda: next(changes).state == "stale", "a stale reading")


def test_readings_are_never_of_two_publishes(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot({"a": 0, "b": 0}))
    enough = threading.Event()

    def publish() -> None:
        for value in itertools.takewhile(lambda value: not enough.is_set(), itertools.count(1)):
            run.publish(snapshot({"a": value, "b": value}))

    publishing = threading.Thread(target=publish)
    publishing.start()
    seen = set()

    def look() -> bool:
        now = numbers.read()
        seen.add((now.count("a"), now.count("b")))
        return len(seen) >= 50

    try:
        wait_until(look, "50 publishes", pause=0)
    finally:
        enough.set()
        publishing.join()
    assert [pair for pair in seen if pair[0] != pair[1]] == []


def test_redis_that_goes_away_is_told(run: Run, numbers: LiveNumbers, redis_server: RedisServer) -> None:
    run.publish(snapshot({"a": 1}))
    changes = numbers.changes("a", at_least_every_seconds=0.1)
    assert next(changes).count("a") == 1
    redis_server.kill()
    with pytest.raises(redis.RedisError):
        wait_until(lambda: next(changes) is None, "an error")
    with pytest.raises(redis.RedisError):
        numbers.read()
    redis_server.start()
    assert next(numbers.changes()).state == "absent"


def test_a_closed_day_is_found_by_its_date(run: Run, numbers: LiveNumbers) -> None:
    run.publish(snapshot(days={"2023-11-13": {"events": 12, "retention.d1.cohort": 3}}))
    found = numbers.days([date(2023, 11, 12), date(2023, 11, 13)])
    assert found == [None, {"events": 12, "retention.d1.cohort": 3}]
    assert numbers.day(date(2023, 11, 13)) == found[1]
    assert numbers.days([]) == []


def test_a_closed_minute_is_found_by_its_time(run: Run, numbers: LiveNumbers) -> None:
    start = datetime.fromtimestamp(T / 1000, UTC)
    run.publish(snapshot(as_of_ms=T + 120_000, minutes={T: {"events": 12, "funnel.checkout.entered": 3}}))
    assert numbers.minute(start) == {"events": 12, "funnel.checkout.entered": 3}
    assert numbers.minute(start.astimezone(timezone(timedelta(hours=9)))) == numbers.minute(start)
    assert numbers.minute(start + timedelta(minutes=1)) is None
    both = numbers.minutes([start + timedelta(minutes=1), start])
    assert both == [None, {"events": 12, "funnel.checkout.entered": 3}]
    assert numbers.minutes([]) == []
    with pytest.raises(ValueError, match="offset"):
        numbers.minute(start.replace(tzinfo=None))


def test_the_user_for_readers_of_the_security_page_can_read_and_nothing_else(
    run: Run, redis_server: RedisServer
) -> None:
    rights = re.findall(r"(?m)^ACL SETUSER tidegauge-reader (.+)$", SECURITY.read_text())[0]
    rights = rights.replace("<password>", "secret")
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        if int(client.info("server")["redis_version"].split(".")[0]) < 7:
            rights = rights.replace("%R~", "~")
        client.execute_command("ACL", "SETUSER", "service", *rights.split())
    run.publish(snapshot({"a": 1}, minutes={T - 60_000: {"events": 1}}))
    url = redis_server.url.replace("redis://", "redis://service:secret@")
    with LiveNumbers(url, "shop") as numbers, LiveNumbers(url, "other") as other:
        assert next(numbers.changes()).count("a") == 1
        assert numbers.read("a").count("a") == 1
        assert numbers.minute(datetime.fromtimestamp(T / 1000 - 60, UTC)) == {"events": 1}
        with pytest.raises(redis.exceptions.NoPermissionError):
            other.read()
        with pytest.raises(redis.exceptions.NoPermissionError):
            numbers._found().hset("tidegauge:v1:{shop}:live", "a", "2")


def test_the_file_works_alone(tmp_path: Path, run: Run, redis_server: RedisServer) -> None:
    assert {name.split(".")[0] for name in imports("flows.client.reader")} & {"flows", "schemas"} == set()
    shutil.copy(ROOT / "flows" / "client" / "reader.py", tmp_path / "tidegauge_reader.py")
    run.publish(snapshot({"a": 7}))
    program = (
        "import sys, tidegauge_reader as reader\n"
        f"print(reader.LiveNumbers({redis_server.url!r}, 'shop').read().count('a'))\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'flows']\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("7\n", 0), done.stderr


def test_numbers_cannot_be_changed() -> None:
    fields: Mapping[str, str] = {"a": "1", "_as_of": "1000", "_published_at": "1000"}
    now = Numbers("shop", fields, 0.1)
    with pytest.raises(AttributeError):
        now.age_seconds = 3  # type: ignore[misc] # which is what must fail
    assert replace(now, age_seconds=11.0).state == "stale"


def test_a_number_says_whether_it_reaches_back_all_the_way(run: Run, numbers: LiveNumbers) -> None:
    run.publish(replace(snapshot({"users.new.24h": 1, "users.new.1m": 1}), partial=["users.new.24h"]))
    now = numbers.read("users.new.24h", "users.new.1m")
    assert (now.is_partial("users.new.24h"), now.is_partial("users.new.1m")) == (True, False)
    run.publish(snapshot({"users.new.24h": 1}))
    assert numbers.read("users.new.24h").partial == frozenset()
