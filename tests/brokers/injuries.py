"""What happens to three brokers while events flow; jobs have to get over it with every number right.

An injury is a generator: it yields when things are at their worst, and there one of the jobs is killed as well. Behind
its end the cluster is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka.cimpl import NewPartitions

from tests.brokers.cluster import BROKERS
from tests.brokers.story import SPREAD, Story
from tests.faults.proxy import Weather
from tests.job.running import SECONDS

CODECS: Final = ("zstd", "gzip", "snappy", "lz4", "none")
LED_BY_1_AND_2: Final = ((1, 2, 3), (2, 1, 3), (1, 3, 2), (2, 3, 1))
OUTAGE_RECORDS: Final = 3_000
"""Of the other partitions, while one broker is away: 20 s of the feed."""


@dataclass(frozen=True)
class Injury:
    """How it is done, and to which topic."""

    inflict: Callable[[Story], Iterator[None]]
    replicas: Sequence[Sequence[int]] = SPREAD
    codecs: tuple[str, ...] = ("none",)
    limits: Mapping[str, object] = field(default_factory=dict)  # of the jobs' configs


def play(story: Story, injury: Injury) -> None:
    """Three jobs read the topic: one is left alone, one reads from the replicas of its rack, one is killed."""
    killed = story.job("killed", limits=injury.limits)
    story.job("plain", limits=injury.limits)
    story.job("rack", limits=injury.limits, TIDEGAUGE_KAFKA_CLIENT_RACK="rack2")
    with story.feed(codecs=injury.codecs):
        story.flows()
        for _ in injury.inflict(story):
            killed.kill()
            killed.begin()
        story.cluster.mend()
        story.flows()
    story.check()


def leader_killed(story: Story) -> Iterator[None]:
    """A broker dies; others lead its partitions after its session."""
    story.cluster.brokers[1].kill()
    story.cluster.wait_for(story.topic, in_sync=(2, 3))
    yield
    story.flows()


def broker_away(story: Story) -> Iterator[None]:
    """As that, for long."""
    story.cluster.brokers[2].kill()
    story.cluster.wait_for(story.topic, in_sync=(1, 3))
    story.flows(OUTAGE_RECORDS)
    yield
    story.flows(OUTAGE_RECORDS)


def rolling_restart(story: Story) -> Iterator[None]:
    """One broker after the other is stopped in order and started again."""
    for number in BROKERS:
        story.cluster.brokers[number].restart()
        if number == 2:
            yield
        story.cluster.wait_until_whole()
        story.flows()


def stopped_broker(story: Story) -> Iterator[None]:
    """A broker freezes: it answers nobody, and after its session others lead its partitions; then it goes on."""
    story.cluster.brokers[1].pause()
    story.cluster.wait_for(story.topic, in_sync=(2, 3))
    yield
    story.flows()
    story.cluster.brokers[1].resume()
    story.cluster.wait_until_whole()


def stopped_follower(story: Story) -> Iterator[None]:
    """A broker freezes that leads nothing: until it is out of sync nothing more is committed."""
    story.cluster.brokers[3].pause()
    story.cluster.wait_for(story.topic, in_sync=(1, 2))
    yield
    story.flows()
    story.cluster.brokers[3].resume()
    story.cluster.wait_until_whole()


def two_brokers_away(story: Story) -> Iterator[None]:
    """Two brokers die at once; the third leads all after their sessions, and takes nothing before one is back."""
    story.cluster.brokers[1].kill()
    story.cluster.brokers[2].kill()
    story.cluster.wait_for(story.topic, in_sync=(3,))
    yield


def reassigned(story: Story) -> Iterator[None]:
    """Leaders go back to where they were, then every partition to one broker, to another, and to all of them."""
    story.cluster.brokers[1].restart()
    story.cluster.wait_until_whole()
    story.cluster.elect(story.topic)
    story.flows()
    story.cluster.reassign(story.topic, [(3,)] * len(SPREAD))
    story.flows()
    story.cluster.reassign(story.topic, [(2,)] * len(SPREAD))
    yield
    story.flows()
    story.cluster.reassign(story.topic, SPREAD)
    story.flows()


def partitions_added(story: Story) -> Iterator[None]:
    """The topic grows while it is read."""
    admin = story.cluster.admin()
    for count in (len(SPREAD) + 1, len(SPREAD) + 3):
        admin.create_partitions([NewPartitions(story.topic, count)], operation_timeout=30)[story.topic].result(SECONDS)
        if count == len(SPREAD) + 1:
            yield
        story.flows(OUTAGE_RECORDS)


def network(*weathers: Weather) -> Callable[[Story], Iterator[None]]:
    """The way to one broker is broken, in one manner after the other; for others it is there."""

    def inflict(story: Story) -> Iterator[None]:
        for number, weather in enumerate(weathers):
            story.cluster.brokers[1].proxy.weather(weather)
            story.flows(OUTAGE_RECORDS // 2)
            if number == 0:
                yield
            story.cluster.brokers[1].proxy.weather("fine")
            story.flows()

    return inflict


def nothing(story: Story) -> Iterator[None]:
    """Events flow."""
    yield
    story.flows(OUTAGE_RECORDS)


INJURIES: Final[dict[str, Injury]] = {
    "leader killed": Injury(leader_killed),
    "broker away for long": Injury(broker_away),
    "two brokers away": Injury(two_brokers_away),
    "rolling restart": Injury(rolling_restart),
    "broker stopped": Injury(stopped_broker),
    "follower stopped": Injury(stopped_follower, replicas=LED_BY_1_AND_2),
    "leaders and replicas moved": Injury(reassigned),
    "partitions added": Injury(partitions_added),
    "way to a broker cut, black-holed and slow": Injury(network("cut", "black hole", "slow")),
    "records of all codecs": Injury(nothing, codecs=CODECS),
}
"""By name; `make brokers` plays all of them, the test suite those of SHORT."""

HANGING_FOLLOWER: Final = Injury(stopped_follower, replicas=LED_BY_1_AND_2)
"""On a cluster that is PATIENT: nothing more is committed for longer than events may be late."""
SHORT: Final = ("leader killed",)
SOON: Final = {"delivery_wait": "20s"}
"""No producer of these waits for longer than a session of 9 s; the long list keeps the default."""
