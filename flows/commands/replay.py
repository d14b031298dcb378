"""`tidegauge replay`: the same dataflow over a file of events; prints the final numbers."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from flows.commands.arguments import positive, time_ms
from flows.commands.verdict import told
from flows.config.file import load
from flows.decode.intake import Intake
from flows.messages.columns import Columns
from flows.messages.raw import Rejected
from flows.messages.snapshot import Snapshot
from flows.metrics.checks import check_cells
from flows.pipeline import Sinks, build
from flows.process.outcomes import SourceError
from flows.process.rejections import Rejections
from flows.publish.dead_letters.letters import DeadLetterError, FileLetters
from flows.run.job import run_flow
from flows.source.file import FileSource

HELP = "run the dataflow over a file of events (NDJSON) and print the final numbers as JSON"
DESCRIPTION = """\
Reads FILE (NDJSON, .gz or plain; - for standard input) through the same dataflow as `run` and prints
{"as_of": ms, "watermark": ms, "cells": {name: value}, "minutes": {...}, "accounting": {...}}; with top lists also
"top": {list: {window: {value: count}}}.
Only events advance time; at the end it advances to --as-of.

A summary of the rejected records goes to standard error. The exit code is 1 if no record was accepted."""
EPOCH_MS = 10_000
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tidegauge replay`."""
    parser.add_argument("file", metavar="FILE", help="events, one JSON object per line; - reads standard input")
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (YAML; default: all defaults)")
    parser.add_argument(
        "--as-of",
        type=time_ms,
        metavar="TIME",
        help="compute the numbers for this time (RFC 3339 or epoch milliseconds)",
    )
    parser.add_argument(
        "--partitions",
        type=positive,
        default=1,
        metavar="N",
        help="distribute the lines over N partitions (default: 1)",
    )
    parser.add_argument("--dead-letters", type=Path, metavar="FILE", help="write rejected lines to this file (NDJSON)")


class Audience:
    """Watches a replay for what it rejects."""

    def __init__(self, rejections: Rejections) -> None:
        self._rejections = rejections

    def on_poll(self, poll: Columns, rejected: list[Rejected]) -> None:
        """Counted."""
        self._rejections.take(poll, rejected)

    def on_shard(self) -> None:
        """Nothing."""

    def on_failure(self, failure: Exception) -> None:
        """Nothing; the engine raises it."""

    def on_checkpoint(self, seconds: float) -> None:
        """Nothing."""


class Collected:
    """The newest snapshot, and all closed minutes and days."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.minutes: dict[int, dict[str, int]] = {}
        self.days: dict[str, dict[str, int]] = {}

    def publish(self, snapshot: Snapshot) -> None:
        """Take note of `snapshot`."""
        self.snapshot = snapshot
        self.minutes.update({minute: dict(counts) for minute, counts in snapshot.minutes.items()})
        self.days.update({date: dict(counts) for date, counts in snapshot.days.items()})


def main(args: argparse.Namespace) -> int:
    """0 with the numbers printed, 1 when the file cannot be read, or nothing in it was accepted."""
    config, settings = load(args.config, {}, {})
    check_cells(config, settings.limits)
    collected = Collected()
    letters: FileLetters | None = None
    try:
        letters = FileLetters(args.dead_letters) if args.dead_letters else None
        source = FileSource(args.file, partitions=args.partitions, limits=settings.limits, as_of_ms=args.as_of)
        rejections = Rejections(source.place)
        flow = build(
            config,
            settings.limits,
            source=source,
            decode=Intake(config, settings.limits).read,
            sinks=Sinks(collected.publish, Audience(rejections), letters),
            files=None,
        )
        run_flow(flow, EPOCH_MS)
        source.check()
        if letters is not None:
            letters.settle()
    except (SourceError, DeadLetterError) as failure:
        logger.error("%s", failure)
        return 1
    finally:
        if letters is not None:
            letters.close()
    assert collected.snapshot is not None  # a source always ends with a final tick
    json.dump(result(collected.snapshot, collected.minutes, collected.days), sys.stdout, indent=2)
    print(flush=True)  # before what is said of them
    return told(rejections, source.name)


def result(snapshot: Snapshot, minutes: dict[int, dict[str, int]], days: dict[str, dict[str, int]]) -> dict[str, Any]:
    """What is printed: all that a run would have published."""
    return {
        "as_of": snapshot.as_of_ms,
        "watermark": snapshot.watermark_ms,
        "cells": dict(snapshot.cells),
        **({"top": snapshot.top} if snapshot.top else {}),
        "minutes": {str(minute): counts for minute, counts in sorted(minutes.items())},
        "days": dict(sorted(days.items())),
        "accounting": accounting(snapshot),
    }


def accounting(snapshot: Snapshot) -> dict[str, Any]:
    """Totals over partitions, and each partition's."""
    partitions = {str(partition): dict(account) for partition, account in snapshot.accounting.items()}
    names = next(iter(partitions.values()), {})
    totals = {name: sum(account[name] for account in partitions.values()) for name in names}
    return totals | {"partitions": partitions}
