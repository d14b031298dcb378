"""A Kafka as production has it: three brokers, a controller of their own, and a network before each that may break.

Brokers copy to each other, and the tests speak to them, directly. Only the listener that the job is told of lies
behind a proxy, one for each broker.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local import DEADLINE_SECONDS, free_port, wait_until
from tests.faults.proxy import Proxy
from tests.services import KAFKA_SCRIPT, KafkaBroker, KafkaServer

CONTROLLER = 100
BROKERS = (1, 2, 3)
SETTINGS = {
    "auto.create.topics.enable": "false",  # nothing comes back by itself that a test has deleted
    "auto.leader.rebalance.enable": "false",  # leaders move when a test moves them
    "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    "message.max.bytes": str(12 << 20),
}
KAFKAS_OWN = {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000"}
"""How long a broker may be silent until others lead its partitions; deploy/kafka/kafka makes it 2 s."""

PATIENT = {"broker.session.timeout.ms": "60000"}
"""So that a follower that hangs is out of sync (after 30 s) before it is taken for dead."""


class State(NamedTuple):
    """Who keeps a partition."""

    leader: int  # -1: nobody
    in_sync: tuple[int, ...]


class Node(KafkaServer):
    """One node of a cluster, not yet started."""

    def __init__(self, node: int, data: Path, member: str, settings: Mapping[str, str]) -> None:
        self.node = node
        self.pid = 0  # until it answers
        self.data = data
        self.options = ("--member", f"{node}:{member}", *_set(settings))
        KafkaBroker.__init__(self, f"127.0.0.1:{free_port()}")


class Broker(Node):
    """A node that keeps topics, with a listener CLIENT that is told to come through a proxy."""

    def __init__(self, node: int, data: Path, member: str, settings: Mapping[str, str]) -> None:
        inner = free_port()
        self.proxy = Proxy(inner)
        self.rack = f"rack{node}"
        super().__init__(node, data, member, {**settings, "broker.rack": self.rack})
        told = f"PLAINTEXT://{self.bootstrap_servers},CLIENT://127.0.0.1:{self.proxy.port}"
        self.options += ("--listener", f"CLIENT:PLAINTEXT:{inner}", *_set({"advertised.listeners": told}))


class KafkaCluster(KafkaBroker):
    """Three brokers that tests may injure one by one; `mend` makes all good again."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        settings = SETTINGS | dict(settings or {})
        port = free_port()
        member = f"{_script('new-cluster')}:{CONTROLLER}@127.0.0.1:{port}"
        self._folder = folder
        self.controller = Node(CONTROLLER, folder / "controller", member, settings)
        self.controller.bootstrap_servers = f"127.0.0.1:{port}"
        self.brokers = {node: Broker(node, folder / f"broker-{node}", member, settings) for node in BROKERS}
        super().__init__(",".join(broker.bootstrap_servers for broker in self.brokers.values()))
        self.client_servers = ",".join(f"127.0.0.1:{broker.proxy.port}" for broker in self.brokers.values())

    def start(self) -> None:
        """Start all nodes at once and return when every broker counts all of them among the living."""
        nodes = [self.controller, *self.brokers.values()]
        for node in nodes:
            node.begin()
        for node in nodes:
            node.await_answer()
        self.wait_until_whole()

    def stop(self) -> None:
        """End all nodes, whatever state they are in; what they keep is lost."""
        for node in (*self.brokers.values(), self.controller):
            if node.pid and node.process.poll() is None:
                node.kill()
            node.process.terminate()  # one that has not come as far as to answer ends with its starter
            node.process.wait(DEADLINE_SECONDS)
        for broker in self.brokers.values():
            broker.proxy.close()

    def mend(self) -> None:
        """Let every broker go on, start those that are gone, clear the network, and wait until all is in sync."""
        for broker in self.brokers.values():
            broker.proxy.weather("fine")
            with contextlib.suppress(ProcessLookupError):
                broker.resume()
            if broker.process.poll() is not None:
                broker.begin()
                broker.await_answer()
        self.wait_until_whole()

    def admin(self) -> AdminClient:
        """The administrator's way in."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": "0"})

    def states(self, topic: str) -> dict[int, State]:
        """Partition -> who keeps it; empty when the topic does not exist."""
        found = self.admin().list_topics(topic, timeout=DEADLINE_SECONDS).topics[topic].partitions
        return {number: State(one.leader, tuple(sorted(one.isrs))) for number, one in sorted(found.items())}

    def wait_until_whole(self) -> None:
        """Until all brokers live and every partition of every topic is led, with all of its replicas in sync."""

        def whole() -> bool:
            with contextlib.suppress(KafkaException):
                found = self.admin().list_topics(timeout=5)
                partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
                return len(found.brokers) == len(BROKERS) and all(
                    one.leader >= 0 and len(one.isrs) == len(one.replicas) for one in partitions
                )
            return False

        wait_until(whole, "all partitions of the cluster to be in sync", 2 * DEADLINE_SECONDS, pause=0.2)

    def wait_for(self, topic: str, in_sync: Sequence[int]) -> None:
        """Until no others than `in_sync` keep partitions of the topic, and one of them leads each."""

        def moved() -> bool:
            with contextlib.suppress(KafkaException):
                states = self.states(topic).values()
                return all(one.leader in in_sync and set(one.in_sync) <= set(in_sync) for one in states)
            return False

        wait_until(moved, f"{topic} to be kept by {in_sync} alone", pause=0.1)

    def reassign(self, topic: str, replicas: Sequence[Sequence[int]]) -> None:
        """Have each partition kept by the nodes of its place in `replicas`, and wait until it is."""
        wanted = [
            {"topic": topic, "partition": number, "replicas": list(nodes)} for number, nodes in enumerate(replicas)
        ]
        with tempfile.NamedTemporaryFile("w", dir=self._folder, suffix=".json") as plan:
            json.dump({"version": 1, "partitions": wanted}, plan)
            plan.flush()
            _script(
                "reassign",
                "--bootstrap-server",
                self.bootstrap_servers,
                "--reassignment-json-file",
                plan.name,
                "--execute",
            )

        def moved() -> bool:
            return [set(state.in_sync) for state in self.states(topic).values()] == [set(nodes) for nodes in replicas]

        wait_until(moved, f"the new replicas of {topic}", pause=0.2)

    def elect(self, topic: str, kind: str = "PREFERRED") -> None:
        """Have the leaders of all partitions elected: the PREFERRED ones, or any (UNCLEAN)."""
        for partition in self.states(topic):
            where = ["--topic", topic, "--partition", str(partition)]
            _script("elect", "--bootstrap-server", self.bootstrap_servers, "--election-type", kind, *where)


@contextlib.contextmanager
def running_cluster(settings: Mapping[str, str] | None = None) -> Iterator[KafkaCluster]:
    """A cluster of one's own for as long as the block lasts; its jars are in the cache (`install_kafka`)."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-cluster-") as folder:
        cluster = KafkaCluster(Path(folder), settings)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def _set(settings: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))


def _script(*arguments: str) -> str:
    command = [sys.executable, str(KAFKA_SCRIPT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS).stdout.strip()
