"""What Redis does with the scripts of the sink, in memory: it can be away, lose a reply, be late, or forget everything.

A model is only as good as its likeness: `test_the_model_of_redis_does_what_redis_does` sends both the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, Literal

import msgspec
import redis

from flows.client.reader import Address
from flows.publish.redis import scripts as redis_scripts

FENCE: Final = "if stored and stored > tonumber(token) then"
"""The line of the script that refuses an older run; without it the model does, too, as if nothing had happened."""

Fate = Literal["done", "away", "reply lost", "late"]
"""Of one command: carried out and answered, not carried out, carried out but not answered, carried out later."""


@dataclass
class RedisModel:
    """The server. `now_ms` is its clock, by which keys expire."""

    now_ms: Callable[[], int]
    strings: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    lists: dict[str, dict[str, int]] = field(default_factory=dict)  # sorted sets: score by member
    expires: dict[str, int] = field(default_factory=dict)
    late: list[tuple[str, list[str], list[Any]]] = field(default_factory=list)  # commands on their way

    def forget(self) -> None:
        """FLUSHALL, or a restart without a disk."""
        self.strings.clear()
        self.hashes.clear()
        self.lists.clear()
        self.expires.clear()

    def deliver_late(self) -> None:
        """What was on its way arrives; nobody waits for the answer any more."""
        late, self.late = self.late, []
        for script, keys, arguments in late:
            self.run(script, keys, arguments)

    def read(self, key: str) -> dict[str, str]:
        """A hash, empty when it is not there (any more)."""
        self._expire()
        return dict(self.hashes.get(key, {}))

    def closed(self) -> dict[str, dict[str, str]]:
        """All hashes of minutes and days."""
        self._expire()
        return {key: dict(fields) for key, fields in self.hashes.items() if ":minute:" in key or ":day:" in key}

    def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Carry out one of the sink's two scripts."""
        self._expire()
        texts = [one if isinstance(one, bytes) else str(one) for one in arguments]
        if script == redis_scripts.TAKE:
            return self._take(keys, texts)
        assert script == redis_scripts.PUBLISH
        return self._publish(keys, texts, fenced=FENCE in script)

    def _expire(self) -> None:
        for key in [key for key, at in self.expires.items() if at <= self.now_ms()]:
            del self.expires[key]
            self.hashes.pop(key, None)
            self.lists.pop(key, None)

    def _take(self, keys: list[str], arguments: list[Any]) -> int:
        stored, token = arguments
        if self.strings.get(keys[0], "") != stored:
            return 0
        self.strings[keys[0]] = token
        return 1

    def _publish(self, keys: list[str], arguments: list[Any], *, fenced: bool) -> list[str]:
        fence, live, *others = keys
        token, at, before, count, seconds, _channel, *packed = arguments
        changed, vanished, histories, lists = (msgspec.msgpack.decode(part) for part in packed)
        periods, tops = others[: len(histories)], others[len(histories) :]
        stored = self.strings.get(fence)
        if fenced and stored is not None and int(stored) > int(token):
            return ["fenced", stored]
        there = self.hashes.get(live, {})
        as_written = (there.get("_run"), there.get("_published_at"), str(len(there))) == (token, before, count)
        as_listed = all(len(self.lists.get(key, {})) == members for key, (members, _) in zip(tops, lists, strict=True))
        if before == "":
            if there.get("_run") == token and int(there.get("_published_at", 0)) >= int(at):
                return ["overtaken", there["_published_at"]]
        elif not (as_written and as_listed):
            return ["differs"]
        self.strings[fence] = token
        for key, (_, pairs) in zip(tops, lists, strict=True):
            if pairs is not None:
                self.lists[key] = dict(zip(pairs[1::2], pairs[::2], strict=True))
            self.expires[key] = self.now_ms() + 1000 * int(seconds)
        for key, (ttl_ms, texts) in zip(periods, histories, strict=True):
            self.hashes.pop(key, None)
            self.expires.pop(key, None)
            if ttl_ms > 0:
                self.hashes[key] = _pairs(texts)
                self.expires[key] = self.now_ms() + ttl_ms
        fields = {} if before == "" else {name: value for name, value in there.items() if name not in vanished}
        self.hashes[live] = fields | _pairs(changed)
        self.expires[live] = self.now_ms() + 1000 * int(seconds)
        return ["ok", "told"]


def _pairs(texts: list[Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in zip(texts[::2], texts[1::2], strict=True)}


class ModelClient:
    """One run's connection to the model, in the place of `Primary`; `fate` decides over each command."""

    def __init__(self, server: RedisModel, fate: Callable[[], Fate]) -> None:
        self._server = server
        self._fate = fate
        self._known: set[str] = set()
        self.address = Address.parse("redis://model")
        self.where = "model"
        self.finds = 0

    def give_time(self, seconds: float) -> None:
        """Answers take no time."""

    def run(self, name: str, *arguments: Any) -> Any:
        """Carry out a command."""
        return getattr(self, name.lower())(*arguments)

    def get(self, key: str) -> str | None:
        """As GET."""
        if self._fate() == "away":
            raise redis.ConnectionError("away")
        return self._server.strings.get(key)

    def evalsha(self, digest: str, count: int, *rest: Any) -> Any:
        """As EVALSHA of a script that the server knows."""
        scripts = (redis_scripts.TAKE, redis_scripts.PUBLISH)
        script = {sha1(text.encode()).hexdigest(): text for text in scripts}[digest]
        keys, arguments = list(rest[:count]), list(rest[count:])
        fate = self._fate()
        if fate == "away":
            raise redis.ConnectionError("away")
        if fate == "late":
            self._server.late.append((script, keys, arguments))
            raise redis.TimeoutError("no answer in time")
        reply = self._server.run(script, keys, arguments)
        if fate == "reply lost":
            raise redis.ConnectionError("the connection was closed by the server")
        return reply

    def hincrby(self, key: str, field: str, by: int) -> None:
        """As HINCRBY; only a sink made wrong asks for it."""
        if self._fate() == "away":
            raise redis.ConnectionError("away")
        fields = self._server.hashes.setdefault(key, {})
        fields[field] = str(int(fields.get(field, 0)) + by)

    def hset(self, key: str, *pairs: Any) -> None:
        """As HSET; only a sink made wrong asks for it."""
        if self._fate() == "away":
            raise redis.ConnectionError("away")
        fields = self._server.hashes.setdefault(key, {})
        fields.update(_pairs(list(pairs)))

    def close(self) -> None:
        """Nothing is open."""
