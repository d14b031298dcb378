"""Top lists in Redis, on every server there is: written with the numbers of the same publish, and read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import redis

from flows.client.reader import LiveNumbers
from flows.messages.snapshot import Snapshot
from flows.publish.redis.client import connect
from flows.publish.redis.published import with_lists
from tests.publish.test_redis import SECURITY, any_server, reader, running, snapshot
from tests.services import RedisServer

__all__ = ["any_server"]

KEY = "tidegauge:v1:{shop}:top:pages:5m"
HOSTILE = ('"></script><script>alert(1)</script>', "/a\r\nSET fence 9\r\n", "\0", "{{7*7}}", "/ü/😀", "-inf", "")


def listed(counts: Mapping[str, int], number: int = 1) -> Snapshot:
    """A snapshot with one list over one window."""
    cells: dict[str, int | float] = {"events.5m": number, "top.pages.other.5m": 0}
    return replace(snapshot(cells), top={"pages": {"5m": counts}})


def pairs(client: redis.Redis) -> list[tuple[str, int]]:
    """The list, the largest first."""
    found: Any = client.zrange(KEY, 0, -1, desc=True, withscores=True)
    return [(value, int(score)) for value, score in found]


def test_a_list_is_what_was_published_last(any_server: RedisServer) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(listed({"/a": 3, "/b": 1}))
        assert pairs(client) == [("/a", 3), ("/b", 1)]
        assert 0 < client.ttl(KEY) <= 600
        run.publish(listed({"/c": 9, "/b": 1}, 2))
        assert pairs(client) == [("/c", 9), ("/b", 1)]
        client.expire(KEY, 5)
        run.publish(listed({"/c": 9, "/b": 1}, 3))
        assert client.ttl(KEY) > 500
        run.publish(listed({}, 4))
        assert client.exists(KEY) == 0


@pytest.mark.parametrize("harm", ["gone", "changed", "no list"])
def test_a_list_that_is_not_as_it_was_left_is_written_again(any_server: RedisServer, harm: str) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(listed({"/a": 3}))
        if harm == "changed":
            client.zadd(KEY, {"/forged": 100})
        else:
            client.delete(KEY)
        if harm == "no list":
            client.set(KEY, "text")
        run.publish(listed({"/a": 3}, 2))
        assert pairs(client) == [("/a", 3)]
        assert client.hget("tidegauge:v1:{shop}:live", "events.5m") == "2"


def test_hostile_values_are_members_and_nothing_else(any_server: RedisServer) -> None:
    counts = {value: number for number, value in enumerate(HOSTILE[:-1], 1)}
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(listed(counts))
        assert dict(pairs(client)) == counts
        assert sorted(client.keys("*")) == [
            f"tidegauge:v1:{{shop}}:{name}" for name in ("fence", "live", "top:pages:5m")
        ]


def test_a_reader_and_the_audit_see_lists_of_one_publish(any_server: RedisServer) -> None:
    url = f"redis://127.0.0.1:{any_server.port}/0"
    with running(any_server) as run, LiveNumbers(url, "shop") as numbers:
        assert numbers.top("pages", "5m") == {}
        run.publish(listed({"/b": 1, "/a": 1, "/c": 5}))
        assert list(numbers.top("pages", "5m").items()) == [("/c", 5), ("/a", 1), ("/b", 1)]
        now = numbers.read("events.5m", top=[("pages", "5m"), ("none", "1h")])
        assert (now.count("events.5m"), now.top) == (
            1,
            {("pages", "5m"): {"/c": 5, "/a": 1, "/b": 1}, ("none", "1h"): {}},
        )
        primary = connect(url, "tidegauge:v1:{shop}:live", 2.0)
        fields, top = with_lists(primary, "shop")
        primary.close()
        assert (fields["events.5m"], top) == ("1", {"pages": {"5m": {"/a": 1, "/b": 1, "/c": 5}}})


def test_the_documented_rights_are_enough_for_lists_and_for_no_more(any_server: RedisServer) -> None:
    with closing(reader(any_server)) as client:
        for user in ("tidegauge", "tidegauge-reader"):
            (line,) = re.findall(rf"^ACL SETUSER {user} (.+)$", SECURITY.read_text(), re.MULTILINE)
            if int(str(client.info("server")["redis_version"]).split(".")[0]) < 7:
                line = line.replace("%R~", "~")
            client.execute_command("ACL", "SETUSER", user, "reset", *line.replace("<password>", "s3cret").split())
    address = f"s3cret@127.0.0.1:{any_server.port}/0"
    with (
        running(f"redis://tidegauge:{address}") as run,
        LiveNumbers(f"redis://tidegauge-reader:{address}", "shop") as one,
    ):
        run.publish(listed({"/a": 1}))
        run.publish(listed({"/a": 2}, 2))
        assert one.top("pages", "5m") == {"/a": 2}
        with redis.Redis.from_url(f"redis://tidegauge-reader:{address}") as thief, pytest.raises(redis.RedisError):
            thief.zadd(KEY, {"/forged": 1})


def test_without_the_right_to_write_lists_no_number_changes(any_server: RedisServer) -> None:
    with running(any_server) as run, closing(reader(any_server)) as client:
        run.publish(listed({"/a": 1}))
        client.execute_command("ACL", "SETUSER", "default", "-zadd")
        run.publisher.publish(listed({"/a": 2}, 2))
        with pytest.raises(redis.RedisError):
            client.execute_command("ZADD", KEY, 1, "/a")
        client.execute_command("ACL", "SETUSER", "default", "+zadd")
        run.publish(listed({"/a": 3}, 3))
        assert pairs(client) == [("/a", 3)]
