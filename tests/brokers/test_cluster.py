"""The short form of the list of injuries; `make brokers` is the long one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.brokers.cluster import KafkaCluster
from tests.brokers.injuries import INJURIES, SHORT, SOON, play
from tests.brokers.losses import LOSSES, SHORT_LOSSES, TRIPLE, play_loss
from tests.brokers.story import Story
from tests.services import RedisServer


@pytest.mark.parametrize("name", SHORT)
def test_whatever_happens_to_brokers_every_number_is_right(
    name: str, cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    with Story(cluster, redis_server.url, tmp_path, replicas=INJURIES[name].replicas) as story:
        play(story, replace(INJURIES[name], limits=SOON))
        notices_what_is_wrong(story)


@pytest.mark.parametrize("name", SHORT_LOSSES)
def test_what_was_counted_and_is_no_more_is_never_passed_over(
    name: str, cluster: KafkaCluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    loss = replace(LOSSES[name], jobs=SHORT_LOSSES[name])
    with Story(cluster, redis_server.url, tmp_path, replicas=TRIPLE, topic_config=loss.config) as story:
        play_loss(story, loss)


def notices_what_is_wrong(story: Story) -> None:
    """A check of the numbers fails where one of them is wrong."""
    job = story.jobs["plain"]
    job.kill()
    with story.client() as client:
        client.hincrby(f"tidegauge:v1:{{{job.config.product}}}:live", "accounting.late{partition=3}", 1)
    (wrong,) = story.wrong(job, story.records())[:1]
    assert "accounting of partition 3" in wrong
