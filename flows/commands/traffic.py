"""`tidegauge traffic`: a simulated product's events, to a Kafka of yours, for trying out a deployment."""

from __future__ import annotations

import argparse
import logging
import threading
import time
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from flows.commands.demo import default_config
from flows.config.file import load
from flows.config.settings import Settings
from flows.demo.feed import Feed, Nobody, Start
from flows.demo.profiles import PROFILES
from flows.demo.scenarios import SCENARIOS
from flows.demo.simulator import Simulator
from flows.kafka.client import options
from flows.run.job import stopped_by_signals

HELP = "send a simulated product's events to your own Kafka, to try a deployment"
DESCRIPTION = """\
Sends the past of a product, a month and some 50,000 events behind it, to the topic if it is empty (and creates it if
it is missing), then continues live until Ctrl-C or SIGTERM. KAFKA_BOOTSTRAP_SERVERS and TIDEGAUGE_TOPIC say where, as
for `tidegauge run`. Never point it at a topic with events of a real product."""
DAY_MS = 86_400_000
TOPIC = {"retention.ms": str(60 * DAY_MS), "retention.bytes": str(256 << 20), "segment.bytes": str(64 << 20)}
"""Settings of a topic that is made here: the past is kept, and 256 MB per partition bound what follows."""
LOOK_SECONDS = 0.5
KAFKA_SECONDS = 60.0
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--profile", choices=list(PROFILES), default="shop", help="which product (default: %(default)s)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (default: the profile's own)")
    parser.add_argument("--rate", type=float, default=300.0, help="events per second (default: %(default)g)")
    parser.add_argument("--seed", type=int, help="same seed, same visitors (default: a new seed at each start)")
    parser.add_argument(
        "--partitions", type=int, default=8, help="partitions of a topic that it creates (default: %(default)s)"
    )
    parser.add_argument("--inject", choices=list(SCENARIOS), help="the product's trouble, as in `tidegauge demo`")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="create this file once the past has been sent")


def main(args: argparse.Namespace) -> int:
    """0: stopped as asked, with everything delivered; 1: Kafka did not take it; 2: usage."""
    profile = PROFILES[args.profile]
    config, settings = load(args.config or default_config(profile))
    if not settings.bootstrap_servers:
        logger.error("no Kafka brokers are given: set KAFKA_BOOTSTRAP_SERVERS (try `tidegauge demo` without any)")
        return 2
    stopping = threading.Event()
    try:
        with stopped_by_signals(stopping.set):
            partitions, empty = _topic(settings, args.partitions)
            start = Start(round(time.time() * 1000), time.monotonic())
            simulator = Simulator(
                config,
                profile=profile,
                seed=start.wall_ms if args.seed is None else args.seed,
                rate=args.rate,
                partitions=partitions,
                start_ms=start.wall_ms,
                record_bytes=settings.limits.record_bytes,
                scenario=SCENARIOS[args.inject] if args.inject else None,
            )
            feed = Feed(
                settings.bootstrap_servers, settings.topic, simulator.records(), Nobody(), start, settings.kafka
            )
            try:
                _send(feed, profile.help, empty=empty, ready=args.ready_file, stopping=stopping)
            finally:
                feed.close()
    except (KafkaException, RuntimeError, OSError) as failure:
        logger.error("%s", failure.args[0].str() if isinstance(failure, KafkaException) else failure)
        return 1
    except ValueError as wrong:
        logger.error("%s", wrong)
        return 2
    return 0


def _send(feed: Feed, what: str, *, empty: bool, ready: Path | None, stopping: threading.Event) -> None:
    """The past, if there is none yet, and then what happens, until told to stop."""
    if empty:
        logger.info("sending the past of %s", what)
        feed.send_history()
    else:
        logger.info("the topic has events already: going on from now")
        feed.skip_history()
    if ready is not None:
        ready.touch()
    feed.start()
    logger.info("live, until Ctrl-C")
    while not stopping.wait(LOOK_SECONDS):
        feed.check()


def _topic(settings: Settings, partitions: int) -> tuple[int, bool]:
    """How many partitions the topic has, made if it was not there, and whether it is empty."""
    client = AdminClient(options(settings, {}, {}))
    found = client.list_topics(settings.topic, timeout=KAFKA_SECONDS).topics[settings.topic]
    if found.error is not None:
        made = client.create_topics(
            [NewTopic(settings.topic, num_partitions=partitions, config=TOPIC)], operation_timeout=KAFKA_SECONDS
        )
        made[settings.topic].result(KAFKA_SECONDS)
        logger.info("made the topic %s with %d partitions", settings.topic, partitions)
        return partitions, True

    parts = [TopicPartition(settings.topic, number) for number in found.partitions]
    latest = client.list_offsets({part: OffsetSpec.latest() for part in parts})
    return len(parts), all(end.result(KAFKA_SECONDS).offset == 0 for end in latest.values())
