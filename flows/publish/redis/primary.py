"""The server that a product is written to: found anew for each new connection, and left after any failure.

A server that is primary no more may go on answering: READONLY, MOVED, NOREPLICAS, or nothing at all, on a connection
that stays open. Only a new connection, made after asking anew where to, ends any of these; so every failure ends the
connection, and no list of errors has to be complete. Where to is answered by the name of the address, or by its
`Witnesses`. Sentinels are asked twice a second even while all is well: a failover that somebody has ordered leaves the
old primary writable for some seconds.

A cluster's redirections (MOVED, ASK) are followed at once, for such a command has not been carried out. Nothing else is
repeated here. redis-py's own cluster client repeats, sleeps and asks node after node inside a command, for longer than
a publish may take; and it needs the right to COMMAND.
"""

from __future__ import annotations

import time
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flows.client.reader import Address, Place
from flows.publish.redis.witnesses import Witnesses

ASK_EVERY_SECONDS: Final = 0.5
"""How soon a failover is noticed that leaves the old primary alive."""

REDIRECTIONS: Final = 4
"""More of them for one command are a cluster that does not know its own mind; a later attempt may do better."""

ASKING_SECONDS: Final = 0.5
"""How long a Sentinel or node may take to say where the primary is."""


class Primary:
    """One connection to the primary that holds `key`. Made with the first command; each command is tried once."""

    def __init__(self, address: Address, key: str, socket_seconds: float) -> None:
        self.address = address
        self.finds = 0
        """Grows whenever another server is found, or the same one over a new connection."""
        self._options: dict[str, Any] = {
            "protocol": 2,  # no HELLO, which a minimal ACL need not allow
            "retry": Retry(NoBackoff(), 0),
        }
        asking_seconds = min(socket_seconds, ASKING_SECONDS)
        self._witnesses = Witnesses(address, key, **self._options, **_timeouts(asking_seconds))
        self._options |= _timeouts(socket_seconds)
        self._place: Place | None = None
        self._client: redis.Redis | None = None
        self._ask_again_s = 0.0

    @property
    def where(self) -> str:
        """Host and port or the socket's path of the server; before one is found, whom to ask for it."""
        places = self.address.places if self._place is None else [self._place]
        named = ",".join(name if name.startswith("/") else f"{name}:{port}" for name, port in places)
        if self._place is not None or self.address.kind == "server":
            return named
        return f"{named} ({'a cluster' if self.address.kind == 'cluster' else f'Sentinels of {self.address.service}'})"

    def run(self, *command: Any) -> Any:
        """The answer of the primary to a command, which it gets once.

        After redis.RedisError the next command goes over a new connection, to wherever the primary is then.
        """
        try:
            return self._run(command)
        except redis.exceptions.NoScriptError:
            raise  # no failure: the server waits for the script's text
        except (redis.RedisError, OSError):
            self.leave()
            raise

    def _run(self, command: tuple[Any, ...]) -> Any:
        for _ in range(REDIRECTIONS):
            client = self._found()
            try:
                return client.execute_command(*command)
            except redis.exceptions.AskError as elsewhere:  # MovedError is one, too
                if self.address.kind != "cluster":
                    raise
                assert self._place is not None
                place = (elsewhere.host or self._place[0], int(elsewhere.port))
                if not isinstance(elsewhere, redis.exceptions.MovedError):
                    return self._run_asking(place, command)
                self._go(place)
        raise redis.exceptions.ClusterError("MOVED again and again")

    def _run_asking(self, place: Place, command: tuple[Any, ...]) -> Any:
        """Carry out one command at the node that a slot is being moved to."""
        with self.address.client(place, **self._options) as client, client.pipeline(transaction=False) as both:
            both.execute_command("ASKING")
            both.execute_command(*command)
            return both.execute()[1]

    def _found(self) -> redis.Redis:
        if self._client is not None and time.monotonic() < self._ask_again_s:
            return self._client
        if self.address.kind == "server":
            place = self.address.places[0]
        else:
            try:
                place = self._witnesses.primary()
            except redis.RedisError:
                if self._client is None:
                    raise
                place = self._place or self.address.places[0]  # as long as it answers, nobody else has to
        always = self.address.kind == "sentinel"
        self._ask_again_s = time.monotonic() + ASK_EVERY_SECONDS if always else float("inf")
        return self._client if self._client is not None and place == self._place else self._go(place)

    def _go(self, place: Place) -> redis.Redis:
        self.leave()
        self.finds += 1
        self._place = place
        self._client = self.address.client(place, **self._options)
        return self._client

    def leave(self) -> None:
        """End the connection; the next command finds the primary anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def give_time(self, seconds: float) -> None:
        """Let answers take so long, from the next connection on, which is then a new one."""
        if self._options["socket_timeout"] < seconds:
            self._options["socket_timeout"] = seconds
            self.leave()

    def close(self) -> None:
        """Give all connections back."""
        self.leave()
        self._witnesses.close()


def _timeouts(seconds: float) -> dict[str, float]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}
