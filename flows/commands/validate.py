"""`tidegauge validate`: all mistakes of a configuration at once, or what it will cost; and what it makes of events."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from flows.config.file import Loaded, Report, read
from flows.config.mistakes import Finding, Mistake
from flows.config.model import Config

HELP = "check configuration files, their cost, and how they read a file of events"
DESCRIPTION = """\
Prints all mistakes of each CONFIG, or its cost in cells, series and bytes.

With --state it compares CONFIG with the checkpoint in a folder, and lists which parts would continue, start afresh or
be forgotten, and which are new. `tidegauge run` loses none without --accept-changes.

With --events it reads a file of events (NDJSON, .gz or plain; - for standard input) and reports, before anything runs,
how many of them the config accepts and excludes, why it rejects the others and where each reason first occurs, what
format they look like, which names and values of the config never occur, and which frequent names it does not mention.

Exit codes: 0: no mistakes, and some event is accepted; 1: none is, or the file or folder cannot be read; 2: mistakes,
or a checkpoint that cannot be continued (of another product, or with other `shards`)."""
WRONG = 2
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("files", nargs="*", metavar="CONFIG", help="configuration files (YAML); one with --events")
    parser.add_argument("--events", metavar="FILE", help="events, one JSON object per line; - reads standard input")
    parser.add_argument("--state", metavar="FOLDER", type=Path, help="checkpoint folder to compare CONFIG with")
    parser.add_argument("--config", metavar="CONFIG", help="same as CONFIG (default with --events: all defaults)")


def main(args: argparse.Namespace) -> int:
    """0: all is right; 1: no event is accepted, or the file cannot be read; 2: a mistake, or wrong usage."""
    files = [*args.files, *([args.config] if args.config is not None else [])]
    if not files and args.events is None and args.state is None:
        logger.error("give a CONFIG, --state FOLDER, or --events FILE")
        return WRONG
    for option in ("events", "state"):
        if len(files) > 1 and getattr(args, option) is not None:
            logger.error("--%s goes with one CONFIG, found %d", option, len(files))
            return WRONG
    if files and not _all_right(files):
        return WRONG
    if args.state is not None and (code := _compare(args.state, files[0] if files else None)) != 0:
        return code
    if args.events is None:
        return 0
    from flows.commands.census_page import report  # here: numba takes a second to load

    # The environment has no part in it, and what else there is to warn of has been said.
    loaded = read(files[0] if files else None, environment={}).loaded
    assert loaded is not None
    return report(args.events, loaded)


def _compare(folder: Path, file: str | None) -> int:
    """Print what would become of the checkpoint in `folder`; the exit code."""
    from flows.checkpoint.folder import FolderError, stored_definitions  # here: numba takes a second to load
    from flows.checkpoint.parts import compare
    from flows.metrics.parts import definitions

    loaded = read(file, environment={}).loaded
    assert loaded is not None
    try:
        found = compare(stored_definitions(folder), definitions(loaded.config))
    except FolderError as error:
        logger.error("%s", error)
        return 1
    print(f"{folder}: {'cannot go on' if found.refused else 'goes on'}")
    for line in found.refused:
        print(f"  {line}")
    if found.refused:
        return WRONG
    width = max(len(change.part) for change in found.changes)
    for fate, words in _FATES.items():
        for change in found.changes:
            if change.fate == fate:
                print(f"  {change.part:<{width}}  {words:<13}  {'; '.join(change.reasons)}".rstrip())
    for line in found.reading:
        print(f"  {line}, for what is read from then on")
    if found.losses:
        print(f"{_count(len(found.losses), 'part')} would be lost: `tidegauge run` asks for --accept-changes")
    return 0


_FATES = {"afresh": "starts afresh", "goes": "is forgotten", "new": "is new", "keeps": "goes on"}


def _all_right(files: Sequence[str]) -> bool:
    """Print what is wrong with each configuration, or what it costs."""
    wrong = False
    said: set[Mistake] = set()  # the environment is the same for every file, and is complained of once
    for file in files:
        report = read(file, of_cells=_unknown_metrics)
        mistakes = [*report.mistakes]
        if report.loaded:
            mistakes += _too_many_cells(file, report.loaded)
        new = [mistake for mistake in mistakes if mistake not in said]
        for mistake in new:
            print(mistake)
        for warning in report.warnings:
            if warning not in said:
                print(f"{warning} (a warning)")
        said.update(mistakes, report.warnings)
        if mistakes:
            wrong = True
            if new:
                print(f"{file}: {_count(len(mistakes), 'mistake')}")
        else:
            print("\n".join(_summary(file, report)))
    return not wrong


def _unknown_metrics(config: Config) -> Iterator[Finding]:
    from flows.metrics.checks import unknown_metrics  # here: numba takes a second to load

    yield from unknown_metrics(config) if config.tree else ()


def _too_many_cells(file: str, loaded: Loaded) -> list[Mistake]:
    from flows.metrics.cost import too_many_cells  # here: numba takes a second to load

    problem = too_many_cells(loaded.config, loaded.settings.limits)
    return [Mistake(file, "", problem)] if problem else []


def _summary(file: str, report: Report) -> Iterator[str]:
    from flows.metrics.catalogue import catalogue
    from flows.metrics.cost import cost
    from flows.metrics.tree import targets_of

    assert report.loaded is not None
    config, settings = report.loaded
    sizes = cost(config)
    parts = [
        _count(len(config.funnels), "funnel"),
        *([_count(len(config.milestones), "milestone")] if config.milestones else []),
        _count(len(config.breakdowns), "breakdown"),
        _count(len(config.vocabulary()) - 1, "named event"),
        _count(len(config.windows), "window"),
    ]
    yield f"{file}: no mistakes"
    yield f"  product            {config.product}: {', '.join(parts)}"
    yield f"  cells              {sizes.cells:,}: {sizes.counted:,} counted and {sizes.derived:,} derived"
    yield f"  Prometheus series  {sizes.series:,}, besides those of health"
    yield f"  Redis fields       {sizes.fields:,}, {sizes.fields_per_partition} more per further partition"
    yield f"  minute history     {sizes.minutes:,} hashes"
    yield f"  memory             {sizes.fixed_bytes // 1_000_000:,} MB for windows, minutes and days, however few users"
    yield (
        f"  state              {sizes.user_bytes:,} MB per million users"
        f" ({sizes.user_bytes:,} bytes each; a checkpoint packs them), besides recent message ids"
    )
    if sizes.use_bytes:
        yield f"                     {sizes.use_bytes} bytes more for each goal or feature that a user has used"
    yield from (f"  target             {text}" for text in targets_of(config, catalogue(config).derived))
    described = settings.describe()
    yield f"  from               topic {described['topic']}, Kafka {described['kafka']}"
    yield f"  to                 Redis {described['redis']}, metrics {described['metrics']}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
