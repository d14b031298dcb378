"""`tidegauge top` reads Redis alone, and says when there is nothing, or nothing new, to read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis
from redis.typing import EncodableT
from rich.console import Console

from flows.app import main
from flows.config.model import Config
from flows.terminal.view import View
from flows.terminal.watch import Reader, Screen, products
from flows.web.layout import layout
from tests.services import DEADLINE_SECONDS, RedisServer

FIELDS: dict[EncodableT, str] = {
    "active_users.5m": "1234",
    "sessions.open": "7",
    "bounce_rate.5m": "0.25",
    "accounting.consumed": "0",
}


@pytest.fixture(autouse=True)
def _no_connections_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("REDIS_URL", "TIDEGAUGE_", "KAFKA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as connection:
        yield connection


def publish(
    client: redis.Redis, product: str = "shop", fields: Mapping[EncodableT, str] = FIELDS, *, ago_ms: int = -600_000
) -> None:
    """Numbers from ten minutes ahead, which are live however long it takes until they are read; or so old."""
    now_ms = round(time.time() * 1000) - ago_ms
    client.hset(
        f"tidegauge:v1:{{{product}}}:live", mapping={"_published_at": str(now_ms), "_as_of": str(now_ms), **fields}
    )


def top(*arguments: str, redis_server: RedisServer | None = None) -> int:
    return main(["top", *arguments, *(["--redis", redis_server.url] if redis_server else [])])


def test_once_prints_one_line_and_ends_with_0(
    redis_server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client)
    assert top("--once", "--product", "shop", redis_server=redis_server) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "active users 5m 1,234 | open sessions 7" in line


def test_json_prints_every_number_as_a_number(
    redis_server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client)
    assert top("--json", "--product", "shop", redis_server=redis_server) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["product"], told["state"]) == ("shop", "live")
    assert told["cells"].items() >= {"active_users.5m": 1234, "bounce_rate.5m": 0.25}.items()


def test_the_only_product_need_not_be_named(
    redis_server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client, "garden")
    client.set("tidegauge:v1:{shop}:fence", "1")
    assert products(redis_server.url) == ["garden"]
    assert top("--json", redis_server=redis_server) == 0
    assert json.loads(capsys.readouterr().out)["product"] == "garden"


def test_among_several_products_one_must_be_chosen(
    redis_server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client, "garden")
    publish(client, "shop")
    assert top("--once", redis_server=redis_server) == 2
    assert "--product garden or shop" in capsys.readouterr().err


def test_the_product_and_redis_can_come_from_the_file(
    redis_server: RedisServer, client: redis.Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client, "garden")
    publish(client, "shop")
    config = tmp_path / "tidegauge.yaml"
    config.write_text(f"version: 1\nproduct: garden\nconnections: {{redis: '{redis_server.url}'}}\n")
    assert top("--json", "--config", str(config)) == 0
    assert json.loads(capsys.readouterr().out)["product"] == "garden"


def test_stale_numbers_end_with_1_and_say_so(
    redis_server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client, ago_ms=60_000)
    assert top("--once", "--product", "shop", redis_server=redis_server) == 1
    assert re.match(r"STALE: last published \d+", capsys.readouterr().out)


def test_a_product_that_is_not_published_ends_with_1_and_says_so(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert top("--once", "--product", "shop", redis_server=redis_server) == 1
    assert capsys.readouterr().out == "NO DATA: nothing is published for product shop\n"


def test_a_redis_that_is_down_ends_with_1_and_one_sentence(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    redis_server.kill()
    assert top("--once", "--product", "shop", redis_server=redis_server) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tidegauge top: Redis at 127.0.0.1:{redis_server.port} cannot be reached")


def test_what_redis_holds_cannot_write_to_the_terminal(
    redis_server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client, fields=FIELDS | {"active_users.1h": "1234"})
    client.hset("tidegauge:v1:{shop}:live", "active_users.5m{platform=\x1b[2Jgone}", "1")
    client.hset("tidegauge:v1:{shop}:live", "active_users.5m{platform=\u202egnisrever}", "1")
    client.hset("tidegauge:v1:{shop}:live", "odd", "\x1b]0;title\x07")
    client.hset("tidegauge:v1:{\x1b[2J}:live", "_published_at", "1")
    assert top("--once", redis_server=redis_server) == 0
    with Screen(View(layout(Config()))) as screen:  # the page, as on a terminal
        screen.console = Console(force_terminal=True, width=150)
        screen.plain = False
        screen.show(Reader(redis_server.url, "shop").read())
    shown = capsys.readouterr().out
    assert "1,234" in shown
    assert [part for part in ("[2J", "gnisrever", "]0;title") if part in shown] == []


def test_without_any_redis_it_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert top("--once", "--product", "shop") == 2
    assert "REDIS_URL" in capsys.readouterr().err


def test_a_file_with_mistakes_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tidegauge.yaml"
    config.write_text("produkt: shop\n")
    assert top("--once", "--config", str(config)) == 2
    assert "produkt" in capsys.readouterr().err


def test_it_goes_on_until_ctrl_c_and_outlives_an_outage_of_redis(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    publish(client, ago_ms=-600_000)  # so that a slow start does not make it stale
    command = [sys.executable, "-m", "flows.app", "top", "--plain", "--product", "shop"]
    environment = os.environ | {"REDIS_URL": redis_server.url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "1,234" in process.stdout.readline()
            redis_server.kill()
            redis_server.restart()
            line = process.stdout.readline()
            while "NO DATA" not in line:  # Redis came back empty
                line = process.stdout.readline()
            publish(client, ago_ms=-600_000)
            while "1,234" not in line:
                line = process.stdout.readline()
        finally:
            process.send_signal(2)
        assert process.wait(DEADLINE_SECONDS) == 0


def test_the_rate_is_that_of_records_between_two_publishes(redis_server: RedisServer, client: redis.Redis) -> None:
    reader = Reader(redis_server.url, "shop")
    publish(client, fields=FIELDS | {"accounting.consumed": "1000", "_published_at": "1000000"})
    assert reader.read().events_per_second is None
    publish(client, fields=FIELDS | {"accounting.consumed": "1500", "_published_at": "1002500"})
    assert reader.read().events_per_second == 200
    publish(client, fields=FIELDS | {"accounting.consumed": "7", "_published_at": "1005000"})  # another run began
    assert reader.read().events_per_second is None
