"""`tidegauge run`: the job, from Kafka to Redis and Prometheus."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from contextlib import ExitStack
from pathlib import Path

from flows.checkpoint.folder import ChangesRefused
from flows.cluster.peers import MAX_PROCESSES, Cluster
from flows.commands.arguments import add_connection_arguments, connection_options, positive, time_ms
from flows.config.file import load
from flows.messages.errors import TidegaugeError
from flows.metrics.checks import check_cells
from flows.process.health import installed_version
from flows.publish.redis.sink import FencedOut
from flows.run.job import Job, stopped_by_signals
from flows.run.supervisor import NOTHING_ACCEPTED, START_AGAIN, Supervisor, obey_supervisor, stop_before_reading

HELP = "read events from Kafka and publish exact live numbers, until stopped"
DESCRIPTION = """\
Consumes the topic, computes every metric of the config, publishes to Redis and serves Prometheus.
Stop it with Ctrl-C or SIGTERM: it finishes what it has read, saves a checkpoint, publishes, and exits with 0.

--processes N starts N processes on this machine, which share the partitions and the users. When one ends, all
restart from the last checkpoint. On several hosts, start one process on each with --process-id and --addresses."""
FENCED = 3
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tidegauge run`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (YAML; default: all defaults)")
    add_connection_arguments(parser)
    parser.add_argument(
        "--until-end",
        action="store_true",
        help="publish and stop once every partition has been read to the end it had at the start, or to an open "
        "transaction; only events advance time; exit code 5: records were rejected and none was accepted",
    )
    parser.add_argument(
        "--as-of",
        type=time_ms,
        metavar="TIME",
        help="with --until-end: advance the stream clock to this time at the end (RFC 3339 or epoch milliseconds)",
    )
    parser.add_argument(
        "--processes",
        type=positive,
        default=1,
        metavar="N",
        help=f"number of processes that share the work on this machine (1..{MAX_PROCESSES}; default: 1)",
    )
    parser.add_argument(
        "--process-id",
        type=int,
        metavar="I",
        help="number of this process in --addresses, from 0; only process 0 publishes",
    )
    parser.add_argument(
        "--addresses",
        metavar="HOST:PORT,...",
        help="where the processes listen for each other, the same list for all; let no one else reach these ports",
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="continue from another config's checkpoint even if parts of it are lost; `tidegauge validate --state` "
        "lists them",
    )
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def cluster_of(args: argparse.Namespace) -> Cluster:
    """The place among several that the options name; ValueError says what is wrong with them."""
    if (args.process_id is None) != (args.addresses is None):
        raise ValueError("--process-id and --addresses go together")
    if args.addresses is None:
        return Cluster()
    addresses = tuple(address.strip() for address in args.addresses.split(","))
    for address in addresses:
        if not re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[1-9]\d{0,4}", address):
            raise ValueError(f"--addresses: found {address!r}, expected host:port, host:port, ...")
    if len(set(addresses)) < len(addresses):
        raise ValueError("--addresses names an address twice; each process listens at its own")
    if len(addresses) > MAX_PROCESSES:
        raise ValueError(f"--addresses has {len(addresses)} processes; {MAX_PROCESSES} are the most there can be")
    if not 0 <= args.process_id < len(addresses):
        raise ValueError(f"--process-id is {args.process_id}; --addresses has processes 0 to {len(addresses) - 1}")
    return Cluster(args.process_id, addresses)


def main(args: argparse.Namespace) -> int:
    """0 when it ended well, 1 on a failure while running, 2 when the config has a mistake or would lose parts of the
    checkpoint, 3 when a newer run has taken over, 4 to be started again.

    5 when --until-end has found nothing to accept.
    """
    try:
        cluster = cluster_of(args)
        if args.as_of is not None and not args.until_end:
            raise ValueError("--as-of goes with --until-end")
        if args.processes > MAX_PROCESSES:
            raise ValueError(f"--processes is {args.processes}; {MAX_PROCESSES} are the most there can be")
        if args.processes > 1 and args.addresses is not None and not args.supervised:
            raise ValueError("--processes is for this machine alone; it does not go with --addresses")
    except ValueError as mistake:
        logger.error("%s", mistake)
        return 2
    config, settings = load(args.config, connection_options(args))
    check_cells(config, settings.limits)
    if not settings.bootstrap_servers:
        logger.error("no Kafka brokers are given: set KAFKA_BOOTSTRAP_SERVERS (try `tidegauge demo` without any)")
        return 2
    described = settings.describe()
    if not args.supervised:
        logger.info("tidegauge %s measures product %s", installed_version(), config.product)
        for name in ("kafka", "topic", "redis", "metrics", "state"):
            logger.info("  %-8s %s", name, described[name])
    if settings.state is None and not args.supervised:
        logger.warning("no checkpoint folder is given (--state): after a restart everything is counted from the start")
    if args.processes > 1 and not args.supervised:
        supervisor = Supervisor([sys.executable, "-m", "flows.app", *args.given], args.processes)
        with stopped_by_signals(supervisor.stop, again=supervisor.kill):
            return supervisor.run()
    job = Job(
        config,
        settings,
        until_end=args.until_end,
        as_of_ms=args.as_of,
        cluster=cluster,
        accept_changes=args.accept_changes,
    )
    return run_one(job, args)


def run_one(job: Job, args: argparse.Namespace) -> int:
    """Run this process; its exit code."""
    try:
        with ExitStack() as stack:
            stack.enter_context(stopped_by_signals(job.stop))
            if args.addresses is not None:
                stack.enter_context(stop_before_reading(lambda: job.reads))
            if args.supervised:
                obey_supervisor()
            written = job.run()
    except ChangesRefused as refusal:
        logger.error("%s", refusal)
        return 2
    except FencedOut as ended:
        logger.error("%s", ended)
        return FENCED
    except (TidegaugeError, OSError) as failure:
        logger.error("%s", failure)
        return 1
    if not written:
        logger.error(
            "the last numbers could not be written to Redis; the checkpoint has them, the next run will publish"
        )
        return 1
    if job.outcome == "partitions_changed":
        logger.info("ending, so that all processes start again with the new partitions")
        return START_AGAIN
    if args.until_end and job.outcome == "finished" and job.nothing_accepted:
        logger.error("the topic was read to its end, and none of its records was accepted")
        return NOTHING_ACCEPTED
    return 0
