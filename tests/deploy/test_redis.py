"""The Redis that tests get is a real one of their own, and can be made to fail."""

from __future__ import annotations

import pytest
import redis

from tests.services import RedisServer


def test_a_killed_redis_comes_back_empty_on_the_same_port(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(redis_server.url)
    assert client.dbsize() == 0
    client.set("a", "1")
    before = client.info("server")["run_id"]
    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(redis_server.url, retry=None).ping()
    redis_server.restart()
    assert client.dbsize() == 0
    assert client.info("server")["run_id"] != before


def test_a_paused_redis_answers_once_it_is_resumed(redis_server: RedisServer) -> None:
    impatient = redis.Redis.from_url(redis_server.url, socket_timeout=0.2, retry=None)
    assert impatient.ping()
    redis_server.pause()
    with pytest.raises(redis.TimeoutError):
        impatient.ping()
    redis_server.resume()
    assert redis.Redis.from_url(redis_server.url).ping()
