"""Reading waits for nothing that only lag tools need: the group's coordinator may be out of reach for ever.

Broker 1 is that coordinator, cannot be reached, and leads no partition of the events.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from deploy.local import wait_until
from flows.source.lag_commits import COMMIT_SECONDS
from flows.source.ticks import STALL_MS
from tests.brokers.cluster import KafkaCluster
from tests.brokers.story import NOT_LED_BY_1, OFTEN, RATE, Story
from tests.job.running import SECONDS
from tests.services import RedisServer

GROUPS = 40
COMMIT_RECORDS = int(RATE * COMMIT_SECONDS)
STALL_SECONDS = 2 * STALL_MS / 1000


def group_kept_by(cluster: KafkaCluster, broker: int) -> str:
    """The name of a consumer group whose coordinator is `broker`."""
    admin, names = cluster.admin(), [f"group-{uuid.uuid4().hex}" for _ in range(GROUPS)]

    def kept() -> list[str]:
        asked = admin.describe_consumer_groups(names)
        described = [future.result() for future in asked.values() if future.exception(SECONDS) is None]
        return [one.group_id for one in described if one.coordinator is not None and one.coordinator.id == broker]

    wait_until(kept, f"a group with coordinator {broker}", SECONDS)
    return kept()[0]


def committed(cluster: KafkaCluster, group: str, topic: str) -> int:
    """Offsets of the group, all partitions together."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": group})
    try:
        places = consumer.committed([TopicPartition(topic, number) for number in range(len(NOT_LED_BY_1))], SECONDS)
        return sum(max(0, place.offset) for place in places)
    finally:
        consumer.close()


def test_partitions_are_fetched_anew_while_a_commit_waits_for_its_coordinator(
    cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    group = group_kept_by(cluster, 1)
    with Story(cluster, redis_server.url, tmp_path, replicas=NOT_LED_BY_1) as story:
        # A commit waits for its answer for longer than this test waits for anything.
        job = story.job("one", *OFTEN, TIDEGAUGE_GROUP_ID=group, TIDEGAUGE_KAFKA_SOCKET_TIMEOUT_MS="300000")
        with story.feed():
            story.flows()
            wait_until(lambda: committed(cluster, group, story.topic) > 0, "offsets for lag tools", SECONDS)
            cluster.brokers[1].proxy.weather("black hole")
            told = committed(cluster, group, story.topic)
            story.flows(2 * COMMIT_RECORDS)
            assert committed(cluster, group, story.topic) == told
            job.freeze(STALL_SECONDS)
            story.flows(COMMIT_RECORDS)  # more than was fetched before it was frozen
            cluster.brokers[1].proxy.weather("fine")
        story.check()
        wait_until(lambda: committed(cluster, group, story.topic) == job.consumed(), "lag tools to know all", SECONDS)
