"""`tidegauge schema`: the contracts of events, of the configuration, and of published numbers."""

from __future__ import annotations

import argparse
import importlib.resources
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flows.config.file import config_schema, load
from flows.config.mistakes import ConfigErrors
from flows.config.model import Config
from flows.metrics.cells import Cell, Derived

HELP = "print the JSON Schema of events or of the configuration, or what is published"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("event", "config", "cells", "metrics"),
        default="event",
        help="event (default) and config: a JSON Schema; cells: every number that a configuration publishes;"
        " metrics: what each kind of number means, as Markdown",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="for cells and metrics: the configuration (default: for cells all defaults, for metrics every metric)",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json", "markdown"),
        default="table",
        help="for cells: the output format; for config, markdown lists every key with its meaning, default and example",
    )


def main(args: argparse.Namespace) -> int:
    """0: printed; 2: the configuration has mistakes."""
    if args.what == "config":
        sys.stdout.write(_config_page() if args.format == "markdown" else config_schema())
        return 0
    if args.what == "event":
        sys.stdout.write(importlib.resources.files("schemas").joinpath("event.v1.schema.json").read_text("utf-8"))
        return 0
    try:
        config = load(args.config).config
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 2
    if args.what == "metrics":
        from flows.commands.metrics_page import page  # here: numba takes a second to load

        sys.stdout.write(page(config if args.config else None))
        return 0
    sys.stdout.write(WRITERS[args.format](rows(config)))
    return 0


@dataclass(frozen=True, slots=True)
class Row:
    """One published cell as the table tells it."""

    cell: str  # = field of the live hash in Redis
    kind: Literal["counted", "derived"]
    unit: str
    series: str  # of Prometheus; empty: Redis only
    help: str


def rows(config: Config) -> list[Row]:
    """Every cell that `config` publishes, the counted ones first, in the order of the catalogue."""
    from flows.metrics.catalogue import catalogue  # here: numba takes a second to load

    listed = catalogue(config)
    found = []
    cells: list[Cell | Derived] = [*listed.cells, *listed.derived]
    for cell in cells:
        if cell.metric is not None:
            labels = {"product": config.product, **cell.labels}
            text = ",".join(f'{name}="{value}"' for name, value in labels.items())
            family = cell.metric.prometheus
            found.append(
                Row(
                    cell.name,
                    "derived" if isinstance(cell, Derived) else "counted",
                    cell.metric.unit,
                    f"tidegauge_{family}{{{text}}}" if family else "",
                    cell.metric.help,
                )
            )
    return found


def _config_page() -> str:
    from flows.commands.config_page import page

    return page()


HEADINGS = ("cell", "kind", "unit", "help", "Prometheus")


def _fields(row: Row) -> tuple[str, ...]:
    return row.cell, row.kind, row.unit, row.help, row.series


def _table(found: Sequence[Row]) -> str:
    lines = [HEADINGS, *(_fields(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "".join(
        "  ".join(field.ljust(width) for field, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def _json(found: Sequence[Row]) -> str:
    return json.dumps([dict(zip(HEADINGS, _fields(row), strict=True)) for row in found], indent=1) + "\n"


def _markdown(found: Sequence[Row]) -> str:
    lines = [HEADINGS, tuple("---" for _ in HEADINGS)]
    lines += [(f"`{row.cell}`", row.kind, row.unit, row.help, f"`{row.series}`" if row.series else "") for row in found]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)  # no field holds a |: names are slugs


WRITERS = {"table": _table, "json": _json, "markdown": _markdown}
