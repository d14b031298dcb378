"""Kafka away for those who write, so that events are stored long after they were sent: none may be late for that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from tests.brokers.injuries import LED_BY_1_AND_2, Injury
from tests.brokers.story import Story

OUTAGE_SECONDS: Final = 20.0
"""Longer than the lateness of the stories' product; a condition cannot say it, for nothing happens meanwhile."""


def two_brokers_away(story: Story) -> Iterator[None]:
    """Nobody can write, wherever the third broker leads: two in-sync replicas are asked for."""
    for number in (1, 2):
        story.cluster.brokers[number].kill()
    time.sleep(OUTAGE_SECONDS / 2)
    yield
    time.sleep(OUTAGE_SECONDS / 2)
    story.cluster.mend()
    story.flows()


def all_brokers_frozen(story: Story) -> Iterator[None]:
    """They answer nobody, then go on as if nothing had been."""
    for broker in story.cluster.brokers.values():
        broker.pause()
    time.sleep(OUTAGE_SECONDS / 2)
    yield
    time.sleep(OUTAGE_SECONDS / 2)
    for broker in story.cluster.brokers.values():
        broker.resume()
    story.cluster.wait_until_whole()
    story.flows()


def hung_follower(story: Story) -> Iterator[None]:
    """A broker that leads nothing hangs and keeps its session: it counts as in sync for `replica.lag.time.max.ms`."""
    story.cluster.brokers[3].pause()
    time.sleep(2.0)
    yield
    story.cluster.wait_for(story.topic, in_sync=(1, 2))
    story.flows()
    story.cluster.brokers[3].resume()
    story.cluster.wait_until_whole()


AWAY: Final[dict[str, Injury]] = {
    "two brokers away for 20 s": Injury(two_brokers_away),
    "all brokers frozen for 20 s": Injury(all_brokers_frozen),
}
HUNG: Final = Injury(hung_follower, replicas=LED_BY_1_AND_2)
