"""`tidegauge rules`: Prometheus recording and alert rules for a config."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flows.alerting.promql import Pace
from flows.alerting.rules import rules_text
from flows.commands.arguments import speed, time_ms
from flows.config.file import load_alerts

HELP = "print Prometheus recording and alert rules for a configuration"
DESCRIPTION = """\
Generates recording and alert rules from the config and its `alerts:` part, for Prometheus 2.42 or newer.
Prints them, or writes FOLDER/<product>.yml. Each product has separate rules; Prometheus loads them side by side."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (YAML; default: all defaults)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write FOLDER/<product>.yml instead of printing")
    parser.add_argument(
        "--speed", type=speed, default=1.0, metavar="N",
        help="time compression, for `tidegauge demo --speed N`: all ranges of the stream are N times as short",
    )  # fmt: skip
    parser.add_argument(
        "--meets", type=time_ms, metavar="TIME", help="with --speed: when the demo's clock meets the real one"
    )


def main(args: argparse.Namespace) -> int:
    """0: printed or written; 1: the folder cannot be written; 2: wrong usage or config."""
    if (args.speed != 1) != (args.meets is not None):
        print("tidegauge rules: --speed and --meets go together", file=sys.stderr)
        return 2
    config, alerts = load_alerts(args.config)
    pace = Pace(args.speed, args.meets / 1000) if args.meets is not None else Pace()
    text = rules_text(config, alerts, pace)
    if args.out is None:
        sys.stdout.write(text)
        return 0
    file = args.out / f"{config.product}.yml"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"tidegauge rules: {file} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(file)
    return 0
