"""`tidegauge validate`: all mistakes of a configuration at once, or what it will cost."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from flows.config_file import Loaded, Report, read
from flows.mistakes import Mistake

HELP = "check configuration files, and tell how many cells, series and bytes they cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("files", nargs="+", metavar="CONFIG", help="configuration files (YAML)")


def main(args: argparse.Namespace) -> int:
    """0: all files are right; 2: at least one is not, and every mistake has been printed."""
    wrong = False
    said: set[Mistake] = set()  # the environment is the same for every file, and is complained of once
    for file in args.files:
        report = read(file)
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
    return 2 if wrong else 0


def _too_many_cells(file: str, loaded: Loaded) -> list[Mistake]:
    from flows.cost import too_many_cells  # here: numba takes a second to load

    problem = too_many_cells(loaded.config, loaded.settings.limits)
    return [Mistake(file, "", problem)] if problem else []


def _summary(file: str, report: Report) -> Iterator[str]:
    from flows.cost import cost

    assert report.loaded is not None
    config, settings = report.loaded
    sizes = cost(config)
    parts = [
        _count(len(config.funnels), "funnel"),
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
    yield (
        f"  state              {sizes.user_bytes:,} MB per million users"
        f" ({sizes.user_bytes:,} bytes each), besides recent message ids"
    )
    described = settings.describe()
    yield f"  from               topic {described['topic']}, Kafka {described['kafka']}"
    yield f"  to                 Redis {described['redis']}, metrics {described['metrics']}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
