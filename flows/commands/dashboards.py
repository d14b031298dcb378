"""`tidegauge dashboards`: Grafana's dashboards for a config, from the catalogue."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from flows.config.file import load
from flows.config.model import Config

HELP = "write Grafana dashboards for a configuration: live product, metric tree, AARRR, HEART, pipeline health"
DESCRIPTION = """\
Generates five dashboards from the config: live product (tidegauge-live), metric tree (tidegauge-tree), the numbers by
the headings of AARRR and HEART (tidegauge-aarrr, tidegauge-heart) and pipeline health (tidegauge-pipeline), in the
classic JSON that Grafana 10.4 to 13 load by provisioning, API or import.
Regenerate them after changing the config, because the panels follow its funnels, breakdowns and windows.
Exit codes: 0 written, 1 (--check) a file is missing or stale, 2 wrong usage or config."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (YAML; default: all defaults)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write <uid>.json files to this folder (default: print one JSON object, uid -> dashboard)",
    )
    parser.add_argument("--check", action="store_true", help="with --out: write nothing, list the stale files")


def main(args: argparse.Namespace) -> int:
    """0: written, or (--check) all files are current; 1: (--check) one is not; 2: usage."""
    if args.check and args.out is None:
        print("tidegauge dashboards: --check goes with --out", file=sys.stderr)
        return 2
    config = load(args.config).config
    try:
        found = dashboards(config)
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] != "grafana_foundation_sdk":
            raise
        print("tidegauge dashboards: Grafana's types are missing: pip install 'tidegauge[dashboards]'", file=sys.stderr)
        return 2
    if args.out is None:
        print(json.dumps({uid: json.loads(text) for uid, text in found.items()}, indent=2))
        return 0
    files = {args.out / f"{uid}.json": text for uid, text in found.items()}
    if args.check:
        stale = [file for file, text in files.items() if not file.is_file() or file.read_text("utf-8") != text]
        for file in stale:
            print(f"{file} is not what the config asks for; write it anew without --check")
        return 1 if stale else 0
    args.out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
        print(file)
    return 0


def dashboards(config: Config) -> dict[str, str]:
    """The dashboards of a config as JSON, by uid."""
    # Here: the metric loops take a second to load, and Grafana's types are an extra that not everybody installs.
    from flows.dashboards.frameworks import frameworks
    from flows.dashboards.health import pipeline
    from flows.dashboards.live import live
    from flows.dashboards.page import written
    from flows.dashboards.queries import Numbers
    from flows.dashboards.tree import tree

    numbers = Numbers(config)
    pages = [live(numbers), tree(numbers), *frameworks(numbers), pipeline(numbers)]
    return {page.uid: written(page, numbers) for page in pages}
