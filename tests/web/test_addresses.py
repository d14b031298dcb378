"""The live page reads where the job writes: by Sentinels, and from a cluster."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from flows.web.server import LivePage
from tests.lacking import need
from tests.publish.test_redis import T, running
from tests.redis_groups import ClusterGroup, SentinelGroup
from tests.services import redis_program
from tests.web.conftest import CONFIG, PUBLISHED_MS, publish


@pytest.mark.redis
@pytest.mark.parametrize("kind", [SentinelGroup, ClusterGroup], ids=["sentinels", "cluster"])
def test_the_page_has_the_numbers_and_the_minutes_of_any_address(
    kind: type[SentinelGroup] | type[ClusterGroup], tmp_path: Path
) -> None:
    need("Redis", redis_program)
    with closing(kind(tmp_path)) as group, running(group.url, wall=lambda: PUBLISHED_MS / 1000) as run:
        cells = publish(run, minutes={T - 120_000: {"active_users": 7}})
        with closing(LivePage(CONFIG, group.url, "127.0.0.1:0")) as served:
            served.start()
            host = served.url.removeprefix("http://").rstrip("/")
            with closing(HTTPConnection(host, timeout=30)) as connection:
                connection.request("GET", "/stream")
                stream = connection.getresponse()
                while stream.readline().strip() != b"event: numbers":
                    pass
                told = json.loads(stream.readline().removeprefix(b"data: "))
                assert told["state"] == "live"
                assert told["set"]["mrr"] == str(cells["mrr"])
                while stream.readline().strip() != b"event: minutes":
                    pass
                stream.readline()
                with closing(HTTPConnection(host, timeout=30)) as other:
                    other.request("GET", "/minutes/active_users")
                    assert json.load(other.getresponse())["today"][-1] == 7
                stream.close()
