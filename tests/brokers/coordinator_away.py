"""Reading waits for nothing that only lag tools need: the group's coordinator may be out of reach for ever.

That broker leads no partition of the events. Not part of the test suite, but of `make brokers`.
"""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from deploy.local import wait_until
from flows.source.lag_commits import COMMIT_SECONDS
from flows.source.ticks import STALL_MS
from tests.brokers.cluster import BROKERS, KafkaCluster
from tests.brokers.story import OFTEN, RATE, Story
from tests.job.running import SECONDS
from tests.services import RedisServer

PARTITIONS = 2
COMMIT_RECORDS = int(RATE * COMMIT_SECONDS)
STALL_SECONDS = 2 * STALL_MS / 1000


def coordinator_of(cluster: KafkaCluster, group: str) -> int:
    """The broker that keeps the group's offsets."""
    admin = cluster.admin()
    found: list[int] = []

    def told() -> bool:
        answer = admin.describe_consumer_groups([group])[group]
        if answer.exception(SECONDS) is None and answer.result().coordinator is not None:
            found.append(answer.result().coordinator.id)
        return bool(found)

    wait_until(told, f"the coordinator of {group}", SECONDS)
    return found[0]


def committed(cluster: KafkaCluster, group: str, topic: str) -> int:
    """Offsets of the group, all partitions together."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": group})
    try:
        places = consumer.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], SECONDS)
        return sum(max(0, place.offset) for place in places)
    finally:
        consumer.close()


def test_partitions_are_fetched_anew_while_a_commit_waits_for_its_coordinator(
    cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    group = f"group-{tmp_path.name}"
    coordinator = coordinator_of(cluster, group)
    way = cluster.brokers[coordinator].proxy
    one, other = (number for number in BROKERS if number != coordinator)
    replicas = ((one, other, coordinator), (other, one, coordinator))
    with Story(cluster, redis_server.url, tmp_path, replicas=replicas) as story:
        # A commit waits for its answer for longer than this test waits for anything.
        job = story.job("one", *OFTEN, TIDEGAUGE_GROUP_ID=group, TIDEGAUGE_KAFKA_SOCKET_TIMEOUT_MS="300000")
        with story.feed():
            story.flows()
            wait_until(lambda: committed(cluster, group, story.topic) > 0, "offsets for lag tools", SECONDS)
            way.weather("black hole")
            told = committed(cluster, group, story.topic)
            story.flows(2 * COMMIT_RECORDS)
            assert committed(cluster, group, story.topic) == told
            job.freeze(STALL_SECONDS)
            story.flows(COMMIT_RECORDS)  # more than was fetched before it was frozen
            way.weather("fine")
        story.check()
        wait_until(lambda: committed(cluster, group, story.topic) == job.consumed(), "lag tools to know all", SECONDS)
