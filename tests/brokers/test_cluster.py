"""Brokers of the cluster fail one by one, and no number is wrong: plain, rack-aware and killed jobs agree."""

from __future__ import annotations

from tests.brokers.cluster import KafkaCluster
from tests.brokers.story import Story


def test_a_leader_is_killed(story: Story, cluster: KafkaCluster) -> None:
    killed, _, _ = story.job("killed"), story.job("plain"), story.job("rack", TIDEGAUGE_KAFKA_CLIENT_RACK="rack2")
    with story.feed():
        story.flows()
        cluster.brokers[1].kill()
        cluster.wait_for(story.topic, in_sync=(2, 3))
        story.flows()
        killed.kill()
        killed.begin()
        story.flows()
        cluster.mend()
        story.flows()
    story.check()
