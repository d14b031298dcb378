"""`tidegauge run`: the job, from Kafka to Redis and Prometheus."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from flows.checkpoint import CheckpointError
from flows.checkpoint_folder import FolderError
from flows.commands.arguments import add_connection_arguments, connection_options, time_ms
from flows.config_file import load
from flows.connectors.dead_letters import DeadLetterError
from flows.connectors.redis_client import RedisRefused
from flows.connectors.redis_sink import FencedOut
from flows.connectors.source import SourceError
from flows.cost import check_size
from flows.health import installed_version
from flows.job import Job, stopped_by_signals

HELP = "read the events from Kafka and keep the numbers right, until stopped"
DESCRIPTION = """\
Consumes the topic, keeps every metric of the config, publishes to Redis and serves Prometheus.
Stop it with Ctrl-C or SIGTERM: it finishes what it has read, saves a checkpoint, publishes, and exits with 0."""
FENCED = 3
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tidegauge run`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (YAML; default: all defaults)")
    add_connection_arguments(parser)
    parser.add_argument(
        "--until-end",
        action="store_true",
        help="stop, with everything published, once every partition has been read to its end as of the start; "
        "time then moves with the events only",
    )
    parser.add_argument(
        "--as-of",
        type=time_ms,
        metavar="TIME",
        help="with --until-end: advance the stream clock to this time at the end (RFC 3339 or epoch milliseconds)",
    )


def main(args: argparse.Namespace) -> int:
    """0 when it ended well, 1 on a failure while running, 3 when a newer run has taken over."""
    if args.as_of is not None and not args.until_end:
        logger.error("--as-of goes with --until-end")
        return 2
    config, settings = load(args.config, connection_options(args))
    check_size(config, settings.limits)
    if not settings.bootstrap_servers:
        logger.error("no Kafka brokers are given: set KAFKA_BOOTSTRAP_SERVERS (try `tidegauge demo` without any)")
        return 2
    described = settings.describe()
    logger.info("tidegauge %s measures product %s", installed_version(), config.product)
    for name in ("kafka", "topic", "redis", "metrics", "state"):
        logger.info("  %-8s %s", name, described[name])
    if settings.state is None:
        logger.warning("no checkpoint folder is given (--state): after a restart everything is counted from the start")
    job = Job(config, settings, until_end=args.until_end, as_of_ms=args.as_of)
    try:
        with stopped_by_signals(job.stop):
            written = job.run()
    except FencedOut as ended:
        logger.error("%s", ended)
        return FENCED
    except (SourceError, DeadLetterError, FolderError, CheckpointError, RedisRefused, OSError) as failure:
        logger.error("%s", failure)
        return 1
    if not written:
        logger.error(
            "the last numbers could not be written to Redis; the checkpoint has them, the next run will publish"
        )
        return 1
    return 0
