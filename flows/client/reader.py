"""For services: a product's live numbers from Redis, typed, with their age. Needs nothing of Tidegauge but this file.

    numbers = LiveNumbers(os.environ["REDIS_URL"], "shop")
    now = numbers.read()
    if now.state == "live":
        print(now.count("active_users.5m"), now.ratio("bounce_rate.1h"))

Every `read` is of one publish: numbers of two moments are never mixed. The age of a publish is taken from the time that
the hash has left to live, which one clock measures, that of Redis; so the clocks of reader and writer may differ.

`REDIS_URL` names one server, the Sentinels of a service, or nodes of a Redis Cluster; `Address` says how. Numbers are
read from the primary. After any failure it is looked for anew, so a failover costs a reader no restart.

Copy the file into your service or import it. The contract it keeps to is schemas/redis.v1.md.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.crc import key_slot
from redis.retry import Retry

LIVE_MS: Final = 600_000
"""The live hash goes away so long after its last publish."""

STALE_AFTER_SECONDS: Final = 10.0
"""A publish every half second is usual; twenty missed ones mean that something is wrong."""

BEHIND_AFTER_SECONDS: Final = 60.0

SOCKET_SECONDS: Final = 2.0
"""How long one answer may take."""

LOOK_AGAIN_SECONDS: Final = 5.0
"""While numbers are old or absent, the primary is looked for so often, over a new connection."""

State = Literal["live", "behind", "stale", "absent"]
"""absent: nothing is published, or no event has been seen yet. stale: nothing new has come for a while. behind: what
comes is of an earlier time, since the job catches up. live: what it says holds now."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one publish said, as read at one moment."""

    product: str
    fields: Mapping[str, str]
    """All fields that were asked for, as Redis has them."""
    age_seconds: float | None
    """How long ago they were published; None: nothing is published."""
    stale_after_seconds: float = STALE_AFTER_SECONDS
    top: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    """The top lists that were asked for, by list and window: value -> count, the largest first, ties by value."""

    @property
    def state(self) -> State:
        """Whether the numbers can be believed to be those of now."""
        if self.age_seconds is None:
            return "absent"
        if self.age_seconds > self.stale_after_seconds:
            return "stale"
        behind = self.behind_seconds
        if behind is None:
            return "absent"
        return "behind" if behind > BEHIND_AFTER_SECONDS else "live"

    def count(self, cell: str) -> int:
        """A counted number: users, sessions, money in minor units. 0 means none.

        Raises KeyError, with names that are near, for a cell that this product does not publish, and ValueError for
        one that is no whole number.
        """
        try:
            return int(self.fields[cell])
        except KeyError:
            near = get_close_matches(cell, self.fields, 3)
            hint = f"; there are {', '.join(near)}" if near else ""
            raise KeyError(f"{self.product} publishes no {cell}{hint}") from None

    def ratio(self, cell: str) -> float | None:
        """A derived number; None where it is undefined (no session has closed, so there is no bounce rate)."""
        text = self.fields.get(cell)
        return None if text is None else float(text)

    def is_partial(self, cell: str) -> bool:
        """Whether a cell's window reaches back to before what it counts began: it is true, and less than the whole.

        So it is for as long as the window, once a definition has been added or changed.
        """
        return cell in self.partial

    @property
    def partial(self) -> frozenset[str]:
        """All cells that are partial."""
        return frozenset(json.loads(self.fields.get("_partial", "[]")))

    @property
    def as_of(self) -> datetime | None:
        """The stream clock: counts and active users stand here. None before the first event."""
        return self._time("_as_of")

    @property
    def watermark(self) -> datetime | None:
        """Sessions, funnels, lifecycle and subscriptions stand here. None before the first event."""
        return self._time("_watermark")

    @property
    def published_at(self) -> datetime | None:
        """When they were published, by the writer's clock."""
        return self._time("_published_at")

    @property
    def behind_seconds(self) -> float | None:
        """How far the stream clock lay behind the clock of the writer when it published; None: not known."""
        as_of, published_at = self.as_of, self.published_at
        return None if as_of is None or published_at is None else (published_at - as_of).total_seconds()

    def _time(self, field: str) -> datetime | None:
        text = self.fields.get(field)
        return None if text is None else datetime.fromtimestamp(int(text) / 1000, UTC)


Place = tuple[str, int]
"""Host and port of a server."""

SENTINEL: Final = "sentinel_"
"""Begins the options of an address that are for the Sentinels alone."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask for the primary of a product, from a URL.

    * `redis://[user:password@]host[:port][/database]`: this server, or whichever one the name leads to;
    * `unix:///path`: this server's socket;
    * `redis+sentinel://[user:password@]host[:port],host[:port]/service[/database]`: the primary of `service`, by its
      Sentinels, to whom `?sentinel_username=` and `?sentinel_password=` log in;
    * `redis+cluster://[user:password@]host[:port],host[:port]`: the node of a cluster that holds the product.

    `rediss` instead of `redis` means TLS, to Sentinels as well. Other options are those of redis-py.
    """

    kind: Literal["server", "sentinel", "cluster"]
    places: Sequence[Place]
    """Whom to ask: the server itself, Sentinels, nodes."""
    options: Mapping[str, Any] = field(repr=False)
    """Of connections to the primary, as redis-py's ConnectionPool takes them; without host and port."""
    asking_options: Mapping[str, Any] = field(repr=False)
    """Of connections to `places`."""
    service: str = ""

    @staticmethod
    def parse(url: str) -> Address:
        """The address; ValueError, which may quote its password, when it is none."""
        hosts = re.sub(r"^[^:]*://|[/?#].*", "", url)
        parts = urlsplit(url.replace(hosts, "host", 1) if "," in hosts else url)  # which takes one host
        scheme, _, kind = parts.scheme.partition("+")
        if not kind:
            options = parse_url(url)
            database = "" if scheme == "unix" else parts.path.strip("/")
            if not options.get("path" if scheme == "unix" else "host") or parts.port == 0 or parts.fragment:
                raise ValueError("the address names no host")
            if not (database or "0").isdecimal():
                raise ValueError("the address ends with /database")
            place = (options.pop("path", "") if scheme == "unix" else options.pop("host"), options.pop("port", 6379))
            return Address("server", (place,), options, options)
        if scheme not in ("redis", "rediss") or kind not in ("sentinel", "cluster") or parts.fragment:
            raise ValueError("an address is redis://, redis+sentinel://, redis+cluster://, or unix://")
        account, at, hosts = hosts.rpartition("@")
        named = [urlsplit(f"//{host}") for host in hosts.split(",")]
        if not all(host.hostname and host.port != 0 and not host.username for host in named):
            raise ValueError("the address names no host")
        places = tuple((str(host.hostname), host.port or (26379 if kind == "sentinel" else 6379)) for host in named)
        service, _, database = (
            parts.path.strip("/").partition("/") if kind == "sentinel" else ("", "", parts.path.strip("/"))
        )
        if (kind == "sentinel" and not service) or not (database or "0").isdecimal():
            raise ValueError("the address ends with /service or /service/database")
        if kind == "cluster" and database not in ("", "0"):
            raise ValueError("a cluster has only the database 0")
        query = parse_qsl(parts.query, keep_blank_values=True)
        for_all = urlencode([(name, value) for name, value in query if not name.startswith(SENTINEL)])
        plain = f"{scheme}://{account}{at}host/{database}?{for_all}"
        options = parse_url(plain)
        del options["host"]
        asking = dict(options)
        if kind == "sentinel":
            asking = {name: value for name, value in options.items() if name not in ("username", "password", "db")}
            asking |= {name.removeprefix(SENTINEL): value for name, value in query if name.startswith(SENTINEL)}
        return Address(cast(Literal["sentinel", "cluster"], kind), places, options, asking, service)

    def client(self, place: Place, *, asking: bool = False, **options: Any) -> redis.Redis:
        """A client of the primary at `place` or, `asking`, of whoever knows it; it connects with its first command."""
        at: dict[str, Any] = {"host": place[0], "port": place[1]}
        if issubclass(self.options.get("connection_class", redis.Connection), redis.UnixDomainSocketConnection):
            at = {"path": place[0]}
        chosen = {**(self.asking_options if asking else self.options), **options, **at}
        return redis.Redis.from_pool(redis.ConnectionPool(decode_responses=True, legacy_responses=False, **chosen))

    def ask(self, client: redis.Redis, key: str) -> tuple[int, list[Place]]:
        """What one Sentinel or node says of the server of `key`: how new its knowledge is, and the primary with, in a
        cluster, its replicas behind it. RedisError when it does not answer, or knows of none.
        """
        command = "SENTINEL MASTERS" if self.kind == "sentinel" else "CLUSTER SLOTS"
        said: Any = client.execute_command(command)
        if self.kind == "sentinel":
            state = said.get(self.service)
            if state is None:
                raise redis.ResponseError(f"no service {self.service}")
            if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
                raise redis.ConnectionError(f"the primary of {self.service} is down")
            return int(state["config-epoch"]), [(str(state["ip"]), int(state["port"]))]
        slot, asked = key_slot(key.encode()), client.connection_pool.connection_kwargs["host"]
        for first, last, *nodes in said:
            if int(first) <= slot <= int(last):
                return 0, [(str(node[0] or asked), int(node[1])) for node in nodes]  # no host: that which was asked
        raise redis.exceptions.ClusterDownError("no node holds the slot of the product")


ALWAYS: Final = ("_as_of", "_watermark", "_published_at", "_partial")
"""What every reading has beside the cells asked for."""

Answer = TypeVar("Answer")


class LiveNumbers:
    """Reads one product's numbers; every verb raises redis.RedisError when Redis does not answer.

    `url` is as `Address` has it, else ValueError. With `stale_after_seconds` a reader says what is too old for
    it; `patience_seconds` is how long a verb goes on looking for a primary that answers: give it what a failover takes.
    """

    def __init__(
        self,
        url: str,
        product: str,
        *,
        stale_after_seconds: float = STALE_AFTER_SECONDS,
        patience_seconds: float = 5.0,
    ) -> None:
        self.product = product
        self._stale_after_seconds = stale_after_seconds
        self._patience_seconds = patience_seconds
        self._address = Address.parse(url)
        self._primary: redis.Redis | None = None
        self._looked_s = float("-inf")
        self._learnt: list[Place] = []  # nodes that hold the product, for when those of the address are gone
        self._key = f"tidegauge:v1:{{{product}}}"

    def read(self, *cells: str, top: Sequence[tuple[str, str]] = ()) -> Numbers:
        """All numbers of the newest publish or, with `cells`, just those and the times; and the `top` lists, each named
        by list and window, of the same publish.
        """
        now = self._insist(lambda primary: self._read(primary, cells, top))
        if now.state in ("stale", "absent") and time.monotonic() > self._looked_s + LOOK_AGAIN_SECONDS:
            self._leave()  # it may be a server that is primary no more, and that nobody has told so
            now = self._insist(lambda primary: self._read(primary, cells, top))
        return now

    def top(self, name: str, window: str) -> dict[str, int]:
        """A top list, such as `top("pages", "5m")`: value -> count, the largest first, ties by value.

        Empty where nothing was counted in the window, or the product has no such list. Values are what events say:
        treat them as input of strangers.
        """
        return dict(self.read("_as_of", top=[(name, window)]).top[name, window])

    def _read(self, primary: redis.Redis, cells: Sequence[str], top: Sequence[tuple[str, str]]) -> Numbers:
        live = f"{self._key}:live"
        with primary.pipeline(transaction=True) as both:
            if cells:
                both.hmget(live, [*cells, *ALWAYS])
            else:
                both.hgetall(live)
            both.pttl(live)
            for name, window in top:
                both.zrange(f"{self._key}:top:{name}:{window}", 0, -1, withscores=True)
            found, left_ms, *lists = both.execute()
        if cells:
            found = {name: text for name, text in zip([*cells, *ALWAYS], found, strict=True) if text is not None}
        age_seconds = self._age_seconds(found, left_ms)
        ranked = {which: _ranked(pairs) for which, pairs in zip(top, lists, strict=True)}
        return Numbers(self.product, found, age_seconds, self._stale_after_seconds, ranked)

    def _insist(self, verb: Callable[[redis.Redis], Answer]) -> Answer:
        """Do `verb` with the primary; whenever that fails look for it anew, as long as patience lasts."""
        until_s = time.monotonic() + self._patience_seconds
        while True:
            try:
                return verb(self._found())
            except (redis.exceptions.NoPermissionError, redis.AuthenticationError):
                raise  # looking elsewhere does not help
            except (redis.RedisError, OSError) as error:
                self._leave()
                if time.monotonic() > until_s:
                    if isinstance(error, redis.RedisError):
                        raise
                    raise redis.ConnectionError(str(error)) from error
            time.sleep(0.1)

    def _found(self) -> redis.Redis:
        """A client of the primary; redis.RedisError when none is known."""
        if self._primary is None:
            options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
            options |= {"socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS}
            self._primary = self._address.client(self._place(options), **options)
            self._looked_s = time.monotonic()
        return self._primary

    def _place(self, options: Mapping[str, Any]) -> Place:
        if self._address.kind == "server":
            return self._address.places[0]
        wrong: redis.RedisError = redis.ConnectionError("nobody was asked")
        for place in (*self._address.places, *self._learnt):
            try:
                with self._address.client(place, asking=True, **options) as asked:
                    primary, *self._learnt = self._address.ask(asked, self._key)[1]
                    return primary
            except redis.RedisError as error:
                wrong = error
        raise wrong

    def _leave(self) -> None:
        if self._primary is not None:
            self._primary.close()
            self._primary = None

    @staticmethod
    def _age_seconds(found: Mapping[str, str], left_ms: int) -> float | None:
        if left_ms >= 0:
            return (LIVE_MS - left_ms) / 1000
        # A hash that never goes away was not left so by a publish (a copy, say): then the clocks have to do.
        at = found.get("_published_at")
        return None if at is None else max(0.0, time.time() - int(at) / 1000)

    def changes(
        self,
        *cells: str,
        top: Sequence[tuple[str, str]] = (),
        at_least_every_seconds: float = STALE_AFTER_SECONDS,
    ) -> Iterator[Numbers]:
        """The numbers of now, and then again after each publish, without end.

        Publishes that come while the last numbers are being used are skipped, never queued: what is given is the
        newest. When none comes for `at_least_every_seconds` the numbers are read all the same, so that a reader
        learns from their `state` that they have grown old.
        """
        while True:
            channel = self._insist(self._subscribe)
            try:
                yield self.read(*cells, top=top)
                while self._primary is channel.of and channel.wait(at_least_every_seconds):
                    yield self.read(*cells, top=top)
            finally:
                channel.close()

    def _subscribe(self, primary: redis.Redis) -> _Channel:
        return _Channel(primary, f"{self._key}:changes")

    def minute(self, start: datetime) -> dict[str, int] | None:
        """The final numbers of the closed minute that began at `start`.

        None: it has not closed, is older than the history, or had no event in it. Raises ValueError for a time without
        an offset.
        """
        return self.minutes([start])[0]

    def minutes(self, starts: Sequence[datetime]) -> list[dict[str, int] | None]:
        """What `minute` says of each of `starts`, in one round trip."""
        if any(start.tzinfo is None for start in starts):
            raise ValueError("a time needs its offset, such as datetime(..., tzinfo=UTC)")
        return self._closed([f"minute:{start.astimezone(UTC):%Y-%m-%dT%H:%M}Z" for start in starts])

    def day(self, date: date) -> dict[str, int] | None:
        """The final numbers of a closed day of the product's time zone.

        None: it has not closed, is older than 400 days, or had no event in it. Numbers that have to wait for a later
        day (`retention.d7.returned`) are there when that is over.
        """
        return self.days([date])[0]

    def days(self, dates: Sequence[date]) -> list[dict[str, int] | None]:
        """What `day` says of each of `dates`, in one round trip."""
        return self._closed([f"day:{date.isoformat()}" for date in dates])

    def _closed(self, periods: Sequence[str]) -> list[dict[str, int] | None]:
        keys = [f"{self._key}:{period}" for period in periods]

        def read(primary: redis.Redis) -> list[dict[str, str]]:
            with primary.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hgetall(key)
                return cast(list[dict[str, str]], pipe.execute())

        found = self._insist(read) if keys else []
        return [{name: int(text) for name, text in period.items()} or None for period in found]

    def close(self) -> None:
        """Give the connections back."""
        self._leave()

    def __enter__(self) -> LiveNumbers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _ranked(pairs: Sequence[tuple[str, float]]) -> dict[str, int]:
    """A top list in its order, from the members of its set and their scores."""
    return {value: int(count) for value, count in sorted(pairs, key=lambda pair: (-pair[1], pair[0]))}


class _Channel:
    """A subscription at one server."""

    def __init__(self, primary: redis.Redis, name: str) -> None:
        self.of = primary
        self._channel = primary.pubsub(ignore_subscribe_messages=True)
        self._channel.subscribe(name)

    def wait(self, seconds: float) -> bool:
        """Until messages have come, and for so long at most; False when the connection has broken."""
        until_s = time.monotonic() + seconds
        try:
            while (left := until_s - time.monotonic()) > 0:
                if self._channel.get_message(timeout=left) is not None:
                    break
            while self._channel.get_message(timeout=0) is not None:
                pass
        except (redis.RedisError, OSError):
            return False
        return True

    def close(self) -> None:
        """End the subscription."""
        self._channel.close()
