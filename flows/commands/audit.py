"""`tidegauge audit`: reads the events again, computes every number anew, and compares with what is published."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import redis

from flows.audit import Record
from flows.audit.comparison import Compared, compare, verdict
from flows.audit.cut import History
from flows.audit.files import records_of, replayed
from flows.audit.published import Published
from flows.commands.arguments import PLAIN, positive
from flows.config.file import load
from flows.config.model import Config
from flows.config.settings import Settings
from flows.kafka.topic_records import records_between
from flows.messages.errors import TidegaugeError
from flows.publish.redis.client import connect, sentence
from flows.publish.redis.layout import Keys
from flows.publish.redis.published import with_history, with_lists

HELP = "recompute every number from the events, and compare with what is published"
DESCRIPTION = """\
Takes one publish from Redis, reads the topic from the first record that its numbers count to the last, computes all of
them slowly from their definitions, and compares every cell, account and closed minute. A run may continue meanwhile.

Prints a table of differences and one line. Exit code 0: all are equal; 1: some are wrong; 6: there is no verdict,
because records are gone, something cannot be reached, or numbers depend on when records were read."""
WRONG: Final = 1
NO_VERDICT: Final = 6
MOST_RECORDS: Final = 5_000_000
RECORD_BYTES: Final = 1_000
"""Memory that a record takes in the end, measured with the shop of the demo."""
MOST_ROWS: Final = 100
SAY_SECONDS: Final = 5.0
SOCKET_SECONDS: Final = 10.0
FORGETTING: Final = {
    "users.evicted": "limits.users_per_shard",
    "subscriptions.refused": "limits.users_per_shard",
    "spend.refused": "limits.spend_per_shard",
}
"""Counts of what a run did not keep, and the limit that made it so: the audit keeps everything."""
logger = logging.getLogger(__name__)


class NoVerdict(TidegaugeError):  # noqa: N818 - an outcome
    """Nothing can be compared; the message is for the operator."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tidegauge audit`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="config of the run (YAML; default: all defaults)")
    for field in ("topic", "redis_url"):
        option, placeholder, text = PLAIN[field]
        parser.add_argument(option, dest=field, metavar=placeholder, help=text)
    parser.add_argument(
        "--events",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="read these files instead of the topic (NDJSON, .gz or plain), one per partition, in partition order",
    )
    parser.add_argument(
        "--published",
        type=Path,
        metavar="FILE",
        help="with --events: compare with the output of `tidegauge replay` instead of Redis",
    )
    parser.add_argument(
        "--max-records",
        type=positive,
        default=MOST_RECORDS,
        metavar="N",
        help=f"refuse to read more records; each takes {RECORD_BYTES:,} bytes of memory (default: {MOST_RECORDS:,})",
    )


def main(args: argparse.Namespace) -> int:
    """0: all numbers are equal; 1: some are wrong; 2: usage; 6: no verdict."""
    config, settings = load(args.config, {"topic": args.topic, "redis_url": args.redis_url})
    if args.published and not args.events:
        logger.error("--published goes with --events")
        return 2
    if not args.published and not settings.redis_url:
        logger.error("which Redis? set REDIS_URL, or name one with --redis-url or in the file of --config")
        return 2
    if not args.events and not settings.bootstrap_servers:
        logger.error("no Kafka brokers are given: set KAFKA_BOOTSTRAP_SERVERS, or name files with --events")
        return 2
    try:
        compared = audit(args, config, settings)
    except (TidegaugeError, OSError, EOFError) as failure:
        logger.error("%s", failure)
        return NO_VERDICT
    except KeyboardInterrupt:
        logger.error("stopped; nothing was compared")
        return NO_VERDICT
    for line in table([row for row in compared if not row.equal]):
        print(line)
    print(verdict(compared))
    found = {row.verdict for row in compared}
    return WRONG if "differs" in found else NO_VERDICT if "undecided" in found else 0


def audit(args: argparse.Namespace, config: Config, settings: Settings) -> list[Compared]:
    """Every published number beside the truth."""
    published = printed(args.published) if args.published else in_redis(config, settings)
    records: Iterable[Record]
    if args.events:
        published = by_count(published)
        records = records_of(args.events)
    else:
        if not published.spans and published.fields.get("_consumed", "0") != "0":
            raise NoVerdict("what is published does not say which offsets it counts: an older version has written it")
        records = records_between(settings, published.spans)
    expected = sum(behind - first for first, behind in published.spans.values())
    if expected > args.max_records:
        raise NoVerdict(
            f"the numbers count {expected:,} records, for which {expected * RECORD_BYTES >> 20:,} MiB of memory are "
            f"needed; --max-records {expected} allows it"
        )
    warn_of_limits(published)
    history = History(config, settings.limits)
    for record in progress(records, expected):
        history.add(record)
    logger.info("computing every number of them")
    truth = history.truth(published)
    for partition, late in truth.undecided.items():
        logger.warning(
            "partition %d: by its own clock %d events more or fewer would be late or copies; the clocks of others or "
            "time without events decided, which the topic does not tell",
            partition,
            late,
        )
    return compare(published, truth, config)


def in_redis(config: Config, settings: Settings) -> Published:
    """The publish of this moment."""
    primary = connect(settings.redis_url, Keys(config.product).live, SOCKET_SECONDS)
    try:
        fields, top = with_lists(primary, config.product)
        if not fields:
            raise NoVerdict(f"nothing is published for product {config.product} in Redis at {primary.where}")
        return with_history(primary, fields, top, config)
    except redis.RedisError as error:
        raise NoVerdict(sentence(error, primary, config.product)) from None
    finally:
        primary.leave()


def printed(file: Path) -> Published:
    """What a replay has printed."""
    try:
        return replayed(file.read_text())
    except (ValueError, KeyError, TypeError) as error:
        raise NoVerdict(f"{file} is not what `tidegauge replay` prints ({error!r})") from None


def by_count(published: Published) -> Published:
    """With the cut in lines: how many of each file the numbers count, from its first line."""
    lines = {partition: published.account(partition)["consumed"] for partition in published.partitions}
    spans = {
        f"{name}{{partition={partition}}}": str(offset)
        for partition, count in lines.items()
        if count
        for name, offset in (("_from_offset", 0), ("_to_offset", count))
    }
    return replace(published, fields={**published.fields, **spans})


def warn_of_limits(published: Published) -> None:
    """Say which numbers a limit of the run has touched."""
    for cell, limit in FORGETTING.items():
        if (count := published.fields.get(cell, "0")) != "0":
            logger.warning("%s is %s: %s was reached, and numbers that need them will differ", cell, count, limit)


def progress(records: Iterable[Record], expected: int) -> Iterator[Record]:
    """The records; how many have come is logged now and then."""
    said_s, number = time.monotonic(), 0
    logger.info("reading %s records again", f"{expected:,}")
    for number, record in enumerate(records, 1):
        yield record
        if time.monotonic() - said_s > SAY_SECONDS:
            said_s = time.monotonic()
            logger.info("%s of %s records read", f"{number:,}", f"{expected:,}")
    logger.info("%s records read", f"{number:,}")


def table(rows: Sequence[Compared]) -> Iterator[str]:
    """Lines of text: a heading, and one for each row, wrong ones first; nothing without any."""
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: (row.verdict != "differs", row.cell))
    lines = [("cell", "published", "recomputed", "difference", "")]
    for row in ordered[:MOST_ROWS]:
        recomputed = " or ".join("absent" if truth is None else str(truth) for truth in dict.fromkeys(row.truths))
        difference = "" if row.difference is None or not row.decided else f"{row.difference:+g}"
        lines.append((_shown(row.cell), _shown(row.published), recomputed, difference, row.verdict))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cell, *numbers, last in lines:
        yield "  ".join([cell.ljust(widths[0]), *map(str.rjust, numbers, widths[1:4]), last]).rstrip()
    if len(ordered) > MOST_ROWS:
        yield f"and {len(ordered) - MOST_ROWS:,} more"


def _shown(published: str | None) -> str:
    """A published text; whoever can write to Redis may not write to this terminal."""
    if published is None:
        return "absent"
    return published if published.isprintable() else ascii(published)
