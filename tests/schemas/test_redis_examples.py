"""The examples of the Redis contract, each run as the page has it, on numbers that the real publisher wrote."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests.lacking import program
from tests.publish.test_redis import Run, running, snapshot
from tests.services import ROOT, RedisServer, wait_until
from tests.test_docs import BLOCKS, Block, command_lines

CONTRACT = ROOT / "schemas" / "redis.v1.md"
AS_OF_MS = 1_795_370_790_000  # 2026-11-22T18:06:30Z
MINUTE_MS = 1_795_370_700_000  # 18:05
NODE_CLIENT = "redis@5.9.0"  # the newest that runs on Debian 12's Node.js
SECONDS = 180.0


def example(name: str) -> str:
    """The block of the page that is the file `name`."""
    (found,) = (block for block in BLOCKS if block.page == CONTRACT and block.name == name)
    return found.text


def shell_lines() -> list[list[str]]:
    """All commands that the page types into a shell."""
    blocks: list[Block] = [block for block in BLOCKS if block.page == CONTRACT and block.language == "sh"]
    return [words for block in blocks for words in command_lines(block)]


@pytest.fixture
def run(redis_server: RedisServer) -> Iterator[Run]:
    with running(redis_server) as started:
        cells = {"active_users.5m": 42, "bounce_rate_provisional": 0.5, "bounce_rate.1h": 0.25}
        closed = snapshot(
            cells, as_of_ms=AS_OF_MS, minutes={MINUTE_MS: {"events": 12}}, days={"2026-11-22": {"events": 34}}
        )
        started.publish(replace(closed, top={"pages": {"5m": {"/": 7}}}))
        yield started


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """A folder with the client that the page's JavaScript imports, fetched once."""
    program("node")
    npm = program("npm")
    cache = Path(os.environ.get("TIDEGAUGE_CACHE") or Path.home() / ".cache" / "tidegauge")
    folder = cache / "npm" / NODE_CLIENT
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", NODE_CLIENT]
        done = subprocess.run(install, capture_output=True, text=True, check=False, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "complete").touch()
    return folder


def said(command: Sequence[str], server: RedisServer, cwd: Path = ROOT) -> str:
    """What a program prints that ends by itself."""
    environment = os.environ | {"REDIS_URL": server.url}
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Watching:
    """A program that does not end by itself: what it has printed so far."""

    def __init__(self, command: Sequence[str], server: RedisServer, output: Path, cwd: Path = ROOT) -> None:
        self._output = output
        with output.open("wb") as file:
            environment = os.environ | {"REDIS_URL": server.url}
            self._process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=file, stderr=subprocess.STDOUT)

    def wait_for(self, text: str) -> None:
        def there() -> bool:
            assert self._process.poll() is None, self._output.read_text()
            return text in self._output.read_text()

        wait_until(there, f"{text!r} in {self._output.read_text()!r}", SECONDS)

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def current(client: redis.Redis) -> None:
    """Make the numbers current for as long as a slow machine may need to start a program."""
    assert client.pexpire("tidegauge:v1:{shop}:live", 900_000)


def with_port(words: Sequence[str], server: RedisServer) -> list[str]:
    return ["redis-cli", "-p", str(server.port), *words[1:]]


def test_every_shell_example_reads_what_it_says(run: Run, redis_server: RedisServer) -> None:
    told = {shlex.join(words): said(with_port(words, redis_server), redis_server) for words in shell_lines()[:-1]}
    assert told == {
        "redis-cli ZRANGE 'tidegauge:v1:{shop}:top:pages:5m' 0 -1 REV WITHSCORES": "/\n7\n",
        "redis-cli HGET 'tidegauge:v1:{shop}:live' active_users.5m": "42\n",
        "redis-cli HMGET 'tidegauge:v1:{shop}:live' active_users.5m bounce_rate_provisional _as_of": (
            f"42\n0.5\n{AS_OF_MS}\n"
        ),
        "redis-cli HGETALL 'tidegauge:v1:{shop}:minute:2026-11-22T18:05Z'": "events\n12\n",
        "redis-cli HGETALL 'tidegauge:v1:{shop}:day:2026-11-22'": "events\n34\n",
        "redis-cli TTL 'tidegauge:v1:{shop}:live'": told["redis-cli TTL 'tidegauge:v1:{shop}:live'"],
    }
    assert 500 < int(told["redis-cli TTL 'tidegauge:v1:{shop}:live'"]) <= 600


def test_the_shell_hears_of_each_publish(run: Run, redis_server: RedisServer, tmp_path: Path) -> None:
    words = shell_lines()[-1]
    with Watching(with_port(words, redis_server), redis_server, tmp_path / "heard") as watching:
        watching.wait_for("subscribe")
        run.publish(snapshot({"active_users.5m": 43}))
        with redis.Redis(port=redis_server.port, decode_responses=True) as client:
            published_at = client.hget("tidegauge:v1:{shop}:live", "_published_at")
        watching.wait_for(f"message\ntidegauge:v1:{{shop}}:changes\n{published_at}\n")


def test_the_python_example_tells_current_and_old_numbers_apart(run: Run, redis_server: RedisServer) -> None:
    command = [sys.executable, "-c", example("read.py")]
    with redis.Redis(port=redis_server.port) as client:
        current(client)
        live = "tidegauge:v1:{shop}:live"
        client.hset(live, "_as_of", 1_700_000_000_000)
        assert said(command, redis_server) == "as of 2023-11-14 22:13:20+00:00\n"
        client.hset(live, "_as_of", client.hget(live, "_published_at") or b"")
        assert said(command, redis_server) == "active now: 42\nbounce rate: 25.0%\n"
        client.hdel(live, "bounce_rate.1h")
        assert said(command, redis_server) == "active now: 42\nbounce rate: no session closed\n"
        client.pexpire(live, 580_000)
        assert said(command, redis_server) == "no current numbers\n"
        client.delete(live)
        assert said(command, redis_server) == "no current numbers\n"


def test_the_python_example_is_told_of_changes(run: Run, redis_server: RedisServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", example("watch.py")]
    with Watching(command, redis_server, tmp_path / "heard") as watching:
        watching.wait_for(" 42\n")
        run.publish(snapshot({"active_users.5m": 43}))
        watching.wait_for(" 43\n")


def script(name: str, folder: Path) -> list[str]:
    """A JavaScript example as a file beside the client that it imports."""
    file = folder / name
    file.write_text(example(name))
    return ["node", str(file)]


def test_the_javascript_example_tells_current_and_old_numbers_apart(
    run: Run, redis_server: RedisServer, node_modules: Path
) -> None:
    command = script("read.mjs", node_modules)
    with redis.Redis(port=redis_server.port) as client:
        current(client)
        assert said(command, redis_server) == "active now: 42\nbounce rate: 0.25\n"
        client.hdel("tidegauge:v1:{shop}:live", "bounce_rate.1h")
        assert said(command, redis_server) == "active now: 42\nbounce rate: no session closed\n"
        client.pexpire("tidegauge:v1:{shop}:live", 580_000)
        assert said(command, redis_server) == "no current numbers\n"
        client.delete("tidegauge:v1:{shop}:live")
        assert said(command, redis_server) == "no current numbers\n"


def test_the_javascript_example_is_told_of_changes(
    run: Run, redis_server: RedisServer, node_modules: Path, tmp_path: Path
) -> None:
    with Watching(script("watch.mjs", node_modules), redis_server, tmp_path / "heard") as watching:
        watching.wait_for("42\n")
        run.publish(snapshot({"active_users.5m": 43}))
        watching.wait_for("43\n")


def test_every_example_of_the_page_is_run_here() -> None:
    named = {block.name for block in BLOCKS if block.page == CONTRACT and block.name}
    assert named == {"read.py", "read.mjs", "watch.py", "watch.mjs"}
    assert len(shell_lines()) == 7
