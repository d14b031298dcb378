"""Redis servers that stand in for each other: a primary with a replica and its Sentinels, a cluster, a name that moves.

All of them are processes of their own on loopback. A group heals itself before a test gets it (`whole`): whoever was
killed is started again and follows whoever is primary by then, so one group serves all tests of a session.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from deploy.local import free_port, tied, wait_until
from tests.services import RedisServer, redis_program

SERVICE = "numbers"
PASSWORD = "of-the-numbers"  # of servers on loopback that live for a minute
SENTINEL_PASSWORD = "of-the-sentinels"


def asked(server: RedisServer, *command: Any, password: str | None = None, asking: bool = False) -> Any:
    """The answer of one server to one command; `asking` lets a node answer for a slot that is on its way to it."""
    at: Any = {"password": password, "decode_responses": True, "socket_timeout": 2.0, "retry": Retry(NoBackoff(), 0)}
    with redis.Redis(port=server.port, single_connection_client=True, **at) as client:
        if asking:
            client.execute_command("ASKING")
        return client.execute_command(*command)


def role(server: RedisServer, password: str | None = None) -> str:
    """`master`, `slave`, or nothing while it is not to be had."""
    try:
        return str(asked(server, "INFO", "replication", password=password)["role"])
    except redis.RedisError:
        return ""


def link_up(server: RedisServer, password: str | None = None) -> bool:
    """Whether a replica has everything that its primary has."""
    try:
        return bool(asked(server, "INFO", "replication", password=password).get("master_link_status") == "up")
    except redis.RedisError:
        return False


class Name:
    """A host name, as it were: a port of its own that leads new connections to one server; open ones stay."""

    def __init__(self, server: RedisServer) -> None:
        self._target = server.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """As REDIS_URL has it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def leads_to(self, server: RedisServer) -> None:
        """Have it lead elsewhere from now on."""
        self._target = server.port

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nobody gets there any more."""
        self._listener.close()


class Sentinel:
    """One Sentinel of the service, which asks for a password of its own."""

    def __init__(self, program: str, folder: Path, port: int, primary: RedisServer) -> None:
        self.port = port
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        with (folder / "sentinel.log").open("ab") as log:
            self.process = subprocess.Popen(
                tied([program, str(config), "--sentinel"]), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def client(self) -> redis.Redis:
        """A connection to it."""
        at: Any = {"password": SENTINEL_PASSWORD, "decode_responses": True, "socket_timeout": 2.0}
        return redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0), **at)

    def knows(self) -> dict[str, Any]:
        """What it says of the service; nothing while it does not answer."""
        try:
            with self.client() as client:
                found: dict[str, Any] = client.sentinel_masters()[SERVICE]
                return found
        except redis.RedisError:
            return {}

    def order_failover(self) -> None:
        """What an operator does before a restart of the primary, which stays alive."""
        with self.client() as client:
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        self.process.send_signal(number)


class PasswordServer(RedisServer):
    """A server that asks for a password from when it answers, for its start is waited for without one."""

    def start(self) -> None:
        """As any server's."""
        super().start()
        asked(self, "CONFIG", "SET", "masterauth", PASSWORD)
        asked(self, "CONFIG", "SET", "requirepass", PASSWORD)


class SentinelGroup:
    """A primary and a replica with a password, and three Sentinels with another one."""

    def __init__(self, folder: Path) -> None:
        program = redis_program()
        self.servers: list[RedisServer] = []
        self.sentinels: list[Sentinel] = []
        self._stack = contextlib.ExitStack()
        for name in ("one", "two"):
            (folder / name).mkdir()
            self.servers.append(PasswordServer(program, folder / name, "--repl-diskless-sync-delay", "0"))
            self._stack.callback(self.servers[-1].stop)
        primary, replica = self.servers
        asked(replica, "REPLICAOF", "127.0.0.1", primary.port, password=PASSWORD)
        wait_until(lambda: link_up(replica, PASSWORD), "the replica")
        for number in range(3):
            place = folder / f"sentinel-{number}"
            place.mkdir()
            self.sentinels.append(Sentinel(program, place, free_port(), primary))
            self._stack.callback(self._end, self.sentinels[-1])
        self.whole()

    @staticmethod
    def _end(sentinel: Sentinel) -> None:
        sentinel.signal(signal.SIGCONT)
        sentinel.process.terminate()
        sentinel.process.wait(30)

    @property
    def url(self) -> str:
        """As REDIS_URL has it."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0?sentinel_password={SENTINEL_PASSWORD}"

    def primary(self) -> RedisServer:
        """Whom the Sentinels call primary."""
        known = {sentinel.knows().get("port") for sentinel in self.sentinels}
        return next(server for server in self.servers if {server.port} == known)

    def whole(self) -> None:
        """Everybody is alive and knows the others; the replica has all that the primary has."""
        for server in self.servers:
            if server.process.poll() is not None:
                server.start()

        def agreed() -> bool:
            known = [sentinel.knows() for sentinel in self.sentinels]
            if not all(one and one["num-other-sentinels"] == 2 and one["num-slaves"] == 1 for one in known):
                return False
            if any(one["is_sdown"] for one in known) or len({one["port"] for one in known}) > 1:
                return False
            (other,) = [server for server in self.servers if server is not self.primary()]
            return role(self.primary(), PASSWORD) == "master" and link_up(other, PASSWORD)

        wait_until(agreed, "a whole group of Sentinels")
        asked(self.primary(), "FLUSHALL", password=PASSWORD)

    def other(self) -> RedisServer:
        """The replica."""
        primary = self.primary()
        return next(server for server in self.servers if server is not primary)

    def close(self) -> None:
        """End everybody."""
        self._stack.close()


class ClusterGroup:
    """Three primaries with a third of the slots each, and a replica of each."""

    def __init__(self, folder: Path) -> None:
        program = redis_program()
        self._stack = contextlib.ExitStack()
        self.servers: list[RedisServer] = []
        for number in range(6):
            place = folder / f"node-{number}"
            place.mkdir()
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "700"]
            options += ["--repl-diskless-sync-delay", "0", "--cluster-port", str(free_port())]
            self.servers.append(RedisServer(program, place, *options))
            self._stack.callback(self.servers[-1].stop)
        for number in range(3):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            asked(self.servers[number], "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            asked(self.servers[number], "CLUSTER", "ADDSLOTS", *range(first, last + 1))
        for server in self.servers[1:]:
            bus = server.options[-1]
            asked(self.servers[0], "CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        wait_until(lambda: all(self._known(server) == 6 for server in self.servers), "the nodes to know each other")
        for number in range(3):
            asked(self.servers[3 + number], "CLUSTER", "REPLICATE", self.id(self.servers[number]))
        self.whole()

    @staticmethod
    def _known(server: RedisServer) -> int:
        return len(asked(server, "CLUSTER NODES"))

    @staticmethod
    def id(server: RedisServer) -> str:
        """The name of a node within the cluster."""
        return str(asked(server, "CLUSTER", "MYID"))

    @property
    def url(self) -> str:
        """As REDIS_URL has it; two of the six are named."""
        return f"redis+cluster://127.0.0.1:{self.servers[0].port},127.0.0.1:{self.servers[4].port}"

    def owner(self, product: str = "shop", *, of: RedisServer | None = None) -> RedisServer:
        """The node that holds a product, by what one node, else any, says."""
        slot = key_slot(f"{{{product}}}".encode())
        for server in [of] if of else self.servers:
            with contextlib.suppress(redis.RedisError):
                for first, last, node, *_ in asked(server, "CLUSTER SLOTS"):
                    if int(first) <= slot <= int(last):
                        return next(one for one in self.servers if one.port == int(node[1]))
        raise LookupError(product)

    def replica_of(self, primary: RedisServer) -> RedisServer:
        """A node that follows another one."""
        at = str(primary.port)
        return next(one for one in self.servers if str(asked(one, "INFO", "replication").get("master_port")) == at)

    def whole(self) -> None:
        """Everybody is alive, all slots are held, and each replica has what its primary has."""
        for server in self.servers:
            if server.process.poll() is not None:
                server.start()

        def agreed() -> bool:
            try:
                infos = [asked(server, "CLUSTER INFO") for server in self.servers]
                roles = [asked(server, "INFO", "replication") for server in self.servers]
                owners = {self.owner(of=server).port for server in self.servers}
            except (redis.RedisError, LookupError):
                return False
            return (
                all(info["cluster_state"] == "ok" and info["cluster_slots_ok"] == "16384" for info in infos)
                and sum(one["role"] == "master" for one in roles) == 3
                and all(one.get("master_link_status", "up") == "up" for one in roles)
                and len(owners) == 1
            )

        wait_until(agreed, "a whole cluster")
        for server in self.servers:
            with contextlib.suppress(redis.exceptions.ReadOnlyError):
                asked(server, "FLUSHALL")

    def close(self) -> None:
        """End everybody."""
        self._stack.close()


@contextlib.contextmanager
def pair(folder: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica, without anybody who would let them change places."""
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            options = ["--repl-diskless-sync-delay", "0"]
            servers.append(RedisServer(redis_program(), folder / name, *options))
            stack.callback(servers[-1].stop)
        primary, replica = servers
        asked(replica, "REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: link_up(replica), "the replica")
        yield primary, replica
