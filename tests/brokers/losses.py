"""What three brokers forget though jobs have counted it, or before they could: whoever needs it has to say so.

A loss is a generator, as an injury is: it yields when jobs have to have noticed, and when jobs that have ended are to
be started again. Of each the verdict is the same: its run ends with a sentence that names what is no more, and so does
every later one, until `--on-lost-offset` says how to go on. One that was told so before goes on, and says it as well.

    away    is stopped before the loss
    live    reads on, and sees it happen
    cut     reaches no broker meanwhile, and sees only what comes of it: the one that is behind the proxies
    told    is as live, with --on-lost-offset earliest
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import TopicPartition

from deploy.local import wait_until
from tests.brokers.story import LOG_APPEND_TIME, Job, Story
from tests.faults.proxy import Weather
from tests.job.running import SECONDS

TRIPLE: Final = ((1, 2, 3), (1, 2, 3))
UNCLEAN: Final = LOG_APPEND_TIME | {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
EARLIEST: Final = ("--on-lost-offset", "earliest")
SOON: Final = {"TIDEGAUGE_KAFKA_TOPIC_METADATA_PROPAGATION_MAX_MS": "1000"}
"""librdkafka believes in a topic's absence only after 30 s."""


@dataclass(frozen=True)
class Loss:
    """How it is done, which jobs see it, and what a run that refuses to go on says."""

    inflict: Callable[[Story], Iterator[None]]
    says: str
    jobs: Sequence[str] = ("away", "live", "cut", "told")
    config: Mapping[str, str] = field(default_factory=lambda: LOG_APPEND_TIME)
    environment: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False  # nothing is left to go on with


def play_loss(story: Story, loss: Loss) -> None:
    """The jobs count, the loss comes, and each job says so until it is told how to go on."""
    for name in loss.jobs:
        direct = {} if name == "cut" else {"KAFKA_BOOTSTRAP_SERVERS": story.cluster.bootstrap_servers}
        story.job(name, *(EARLIEST if name == "told" else ()), limits=None, **direct, **loss.environment)
    with story.feed():
        story.flows()
    refused: dict[str, Job] = {}
    for _ in loss.inflict(story):
        seeing = {
            name: job for name, job in story.jobs.items() if name != "told" and not (name == "cut" and cut(story))
        }
        for name, job in seeing.items():
            if name in refused or name == "away":
                job.begin()
        refused |= seeing
        for name, job in seeing.items():
            assert job.ended() == 1, f"{name}:\n{job.log()}"
            last = job.log().splitlines()[-1]
            assert re.search(f"ERROR   topic {story.topic} .*{loss.says}", last), f"{name}: {last}"
    assert len(refused) == len([name for name in loss.jobs if name != "told"])
    if not loss.ends:
        tell(story, refused)


def tell(story: Story, refused: Mapping[str, Job]) -> None:
    """All go on, once told how, and need to be told once."""
    for job in refused.values():
        job.begin(*EARLIEST)
    with story.feed():
        story.flows()
        for name, job in story.jobs.items():
            assert "; going on at offset " in job.log(), f"{name}:\n{job.log()}"
        job = next(iter(refused.values()))
        assert job.end() == 0
        job.options = ()
        job.begin()
        story.flows()
    for name, job in story.jobs.items():
        counted = job.accounting()
        rejected = sum(number for fate, number in counted.items() if fate.startswith("rejected."))
        fates = counted["accepted"] + rejected + counted["duplicate"] + counted["excluded"]
        assert counted["consumed"] == fates, f"{name}: {counted}"


def weather(story: Story, kind: Weather) -> None:
    """Of the way to every broker."""
    for broker in story.cluster.brokers.values():
        broker.proxy.weather(kind)


def cut(story: Story) -> bool:
    """Whether jobs behind the proxies reach nobody."""
    return all(broker.proxy.kind == "cut" for broker in story.cluster.brokers.values())


def all_is_counted(story: Story) -> None:
    """Every job has counted all that the topic holds; one of them goes away, and one is cut off."""
    story.check()
    if "away" in story.jobs:
        assert story.jobs["away"].end() == 0
    weather(story, "cut")


def refill(story: Story) -> None:
    """The topic gets more records than all that was in it before."""
    wanted = sum(len(feed.stored) for feed in story.feeds)
    with story.feed(rate=1000) as feed:
        wait_until(lambda: len(feed.stored) > 2 * wanted, "the topic to be refilled", SECONDS)


def unclean_election(story: Story) -> Iterator[None]:
    """The only broker left lacks what others acknowledged: the log comes back shorter, and then with other records."""
    cluster = story.cluster
    cluster.brokers[3].pause()
    cluster.wait_for(story.topic, in_sync=(1, 2))
    with story.feed():
        story.flows()
    all_is_counted(story)
    cluster.brokers[1].kill()
    cluster.brokers[2].kill()
    cluster.brokers[3].resume()
    cluster.wait_for(story.topic, in_sync=(3,))
    for number in (1, 2):
        cluster.brokers[number].begin()
        cluster.brokers[number].await_answer()
    cluster.wait_until_whole()
    yield
    refill(story)
    weather(story, "fine")
    yield


def made_anew(story: Story) -> Iterator[None]:
    """The topic is deleted and made anew, with fewer records and then with more."""
    all_is_counted(story)
    delete(story)
    story.cluster.create_topic(name=story.topic, replicas=TRIPLE, config=LOG_APPEND_TIME)
    with story.feed() as feed:
        wait_until(lambda: bool(feed.stored), "a record in the new topic", SECONDS)
    yield
    refill(story)
    weather(story, "fine")
    yield


def gone(story: Story) -> Iterator[None]:
    """The topic is deleted."""
    all_is_counted(story)
    delete(story)
    weather(story, "fine")
    yield


def deleted_unread(story: Story) -> Iterator[None]:
    """Retention takes records before the jobs have come to them."""
    all_is_counted(story)
    refill(story)
    newest = {record.partition: record.offset for record in sorted(story.records(), key=lambda record: record.offset)}
    wanted = [TopicPartition(story.topic, partition, offset) for partition, offset in newest.items()]
    admin = story.cluster.admin()  # its answers die with it
    for done in admin.delete_records(wanted, operation_timeout=30).values():
        done.result(SECONDS)
    weather(story, "fine")
    yield


def delete(story: Story) -> None:
    """The topic is no more, to any broker."""
    admin = story.cluster.admin()  # its answers die with it
    admin.delete_topics([story.topic], operation_timeout=30)[story.topic].result(SECONDS)
    wait_until(lambda: not story.cluster.states(story.topic), "the topic to be gone", SECONDS)


OTHER_LOG: Final = "its log is not the one that was read"
LOSSES: Final[dict[str, Loss]] = {
    "unclean election": Loss(unclean_election, OTHER_LOG, config=UNCLEAN),
    "topic made anew": Loss(made_anew, "the topic was deleted and made anew"),
    "topic deleted": Loss(gone, "has disappeared", jobs=("live",), environment=SOON, ends=True),
    "records deleted unread": Loss(deleted_unread, "were deleted before they were read", jobs=("away", "cut")),
}
"""By name; `make brokers` plays all of them, the test suite those of SHORT_LOSSES."""

SHORT_LOSSES: Final = {"topic made anew": ("away", "cut")}
"""With fewer jobs: each start of one takes seconds."""
