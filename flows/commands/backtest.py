"""`tidegauge backtest`: when the alerts would have fired over a recorded stream."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from flows.alerting.backtest import BacktestError, Firing, firings, groups_of, rule_files
from flows.alerting.recorded import Recording, Selectors, record
from flows.alerting.rules import rules_text
from flows.commands.arguments import time_ms
from flows.commands.verdict import told
from flows.config.file import load, load_alerts
from flows.config.model import parse_duration
from flows.metrics.checks import check_cells
from flows.process.outcomes import SourceError
from flows.process.rejections import Rejections
from flows.source.file import FileSource

HELP = "list when each alert would have fired, over a file of events (NDJSON)"
DESCRIPTION = """\
Replays FILE (NDJSON, .gz or plain; - for standard input) into the alert rules at full speed, and lists when each alert
would have fired and resolved. The events pass through the same dataflow as in `run`; Prometheus's own engine evaluates
the rules (promtool must be on PATH). Times are those of the events. Without --rules, the config's rules are used."""
LONGEST_STEP_MS = 300_000
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("file", metavar="FILE", help="events, one JSON object per line; - reads standard input")
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to measure (YAML; default: all defaults)")
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="a rule file, or a folder of rule files (default: the config's rules)",
    )
    parser.add_argument(
        "--step", type=step, default=60_000, metavar="TIME",
        help="evaluation interval of the rules, 1s to 5m (default: 1m); a longer one is faster",
    )  # fmt: skip
    parser.add_argument(
        "--as-of", type=time_ms, metavar="TIME", help="continue to this time (RFC 3339 or epoch milliseconds)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def step(text: str) -> int:
    """Milliseconds of a duration from 1 s to 5 minutes, beyond which Prometheus takes a series for gone."""
    ms: int = parse_duration(text)
    if not 1000 <= ms <= LONGEST_STEP_MS:
        raise ValueError(f"{text} is not between 1s and 5m")
    return ms


def main(args: argparse.Namespace) -> int:
    """0: listed, whatever fired; 1: the file or rules cannot be read, or no event be used; 2: wrong usage or config."""
    config, settings = load(args.config, {}, {})
    check_cells(config, settings.limits)
    with tempfile.TemporaryDirectory(prefix="tidegauge-rules-") as folder:
        try:
            if args.rules is None:
                files = [Path(folder) / "rules.yml"]
                files[0].write_text(rules_text(*load_alerts(args.config)), encoding="utf-8")
            else:
                files = rule_files(args.rules)
            expressions = [str(rule["expr"]) for group in groups_of(files) for rule in group["rules"]]
            wanted = Selectors(expressions)
            with closing(FileSource(args.file, limits=settings.limits)) as source:
                rejections = Rejections(source.place)
                recording = record(source, config, settings.limits, wanted, args.step, rejections, args.as_of)
            found = [] if recording is None else firings(recording, files)
        except (SourceError, BacktestError, OSError) as failure:
            logger.error("%s", failure)
            return 1
    if recording is not None:
        sys.stdout.write(as_json(found) if args.json else as_table(found, recording))
        sys.stdout.flush()  # before what is said of it
    return told(rejections, source.name, needs_events=True)


def as_json(found: Sequence[Firing]) -> str:
    """A list of objects, in the order of firing."""
    rows = [
        {
            "alert": firing.alert,
            "labels": dict(firing.labels),
            "severity": firing.severity,
            "fired_at": _time(firing.fired_ms),
            "resolved_at": None if firing.resolved_ms is None else _time(firing.resolved_ms),
        }
        for firing in found
    ]
    return json.dumps(rows, indent=2) + "\n"


def as_table(found: Sequence[Firing], recording: Recording) -> str:
    """One line for each time that an alert fires, then a summary."""
    end_ms = recording.begins_ms + (recording.steps - 1) * recording.step_ms
    lines = [("alert", "which", "severity", "fired at", "resolved at")]
    for firing in found:
        which = ", ".join(f"{name}={value}" for name, value in firing.labels.items())
        resolved = "still firing" if firing.resolved_ms is None else _time(firing.resolved_ms)
        lines.append((firing.alert, which, firing.severity, _time(firing.fired_ms), resolved))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "".join(
        "  ".join(field.ljust(width) for field, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )
    period = f"{_time(recording.begins_ms)} to {_time(end_ms)}, {recording.steps:,} evaluations"
    if not found:
        return f"no alert would have fired: {period}\n"
    return f"{text}{len(found)} times an alert would have fired: {period}\n"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
