"""`tidegauge tap`: the events as they pass, and what becomes of each."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from rich.console import Console

from flows.audit.fates import FATES, Fate, Fates
from flows.audit.records import Event, Record, Rejection
from flows.commands.arguments import PLAIN, positive
from flows.config.file import load
from flows.config.notation import slug
from flows.kafka.topic_records import records_as_they_come
from flows.messages.columns import REASONS
from flows.messages.errors import TidegaugeError
from flows.process.log_lines import plain

HELP = "watch events as they pass, and what becomes of each: accepted, late, duplicate, excluded, rejected"
DESCRIPTION = """\
Reads the topic from now on, beside any run, and prints a line for each record: when the event was, where the record is
(partition/offset), what becomes of it, its name, its user as a hash that holds for this tap only, and its breakdowns;
for a rejected record, the reason. Nothing is published or committed. A record is judged as by a run that reads it now.

Ctrl-C, --limit or --seconds ends it with the counts of all that has passed."""
COLOURS: Final = {"accepted": "green", "late": "yellow", "duplicate": "cyan", "excluded": "blue", "rejected": "red"}
USER_BYTES: Final = 4
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tidegauge tap`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="config of the run (YAML; default: all defaults)")
    option, placeholder, text = PLAIN["topic"]
    parser.add_argument(option, dest="topic", metavar=placeholder, help=text)
    parser.add_argument("--fate", action="append", choices=FATES, help="show only these; can be repeated")
    parser.add_argument(
        "--reason", action="append", choices=REASONS, metavar="REASON",
        help=f"show only records rejected for this reason: {', '.join(REASONS)}; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--event", action="append", metavar="NAME", help="show only events of this name; can be repeated"
    )
    parser.add_argument("--user", metavar="ID", help="show only the events of this user")
    parser.add_argument("--limit", type=positive, metavar="N", help="end after showing N records")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after S seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def main(args: argparse.Namespace) -> int:
    """0: ended as asked; 1: the topic cannot be read; 2: usage."""
    config, settings = load(args.config, {"topic": args.topic})
    if not settings.bootstrap_servers:
        logger.error("no Kafka brokers are given: set KAFKA_BOOTSTRAP_SERVERS, or name them in the file of --config")
        return 2
    wanted, shown = Wanted(args), 0
    lines = Lines(as_json=args.json)
    fates, counts = Fates(config, settings.limits.record_bytes), Counter[str]()
    ends_s = time.monotonic() + args.seconds if args.seconds else float("inf")
    try:
        for looks, arrived in enumerate(records_as_they_come(settings)):
            if looks == 0:
                logger.info("watching topic %s from now on; Ctrl-C ends it", settings.topic)
            counts["not looked at"] += arrived.skipped
            for record in arrived.records:
                fate = fates.of(record)
                counts[fate.name] += 1
                if wanted.has(fate) and shown != args.limit:
                    shown += 1
                    lines.show(record, fate)
            if shown == args.limit or time.monotonic() > ends_s:
                break
    except TidegaugeError as failure:
        logger.error("%s", failure)
        return 1
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `| head` has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for what the interpreter flushes at its end
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    print(f"{shown:,} shown; {told or 'nothing has passed'}", file=sys.stderr)
    return 0


class Wanted:
    """Which records are shown."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._fates = set(args.fate or FATES)
        self._reasons = set(args.reason or ())
        self._names = {slug(name) for name in args.event or ()}
        self._user = args.user

    def has(self, fate: Fate) -> bool:
        """Whether this one is."""
        event = fate.reading if isinstance(fate.reading, Event) else None
        return (
            fate.name in self._fates
            and (not self._reasons or fate.why in self._reasons)
            and (not self._names or (event is not None and event.name in self._names))
            and (self._user is None or (event is not None and event.user == self._user))
        )


class Lines:
    """Prints a line for each record."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._console = Console(highlight=False, soft_wrap=True)
        self._key = os.urandom(16)  # so that hashes cannot be looked up

    def show(self, record: Record, fate: Fate) -> None:
        """Print it."""
        told = self.told(record, fate)
        if self._json:
            print(json.dumps(told), flush=True)
            return
        at = _time(told["time"]) if isinstance(told.get("time"), int) else "-"
        rest = "  ".join(_words(told))
        place = f"{record.partition}/{record.offset}"
        self._console.print(f"{at:<12}  {place:<12}  ", end="")
        self._console.print(f"{fate.name:<9}", style=COLOURS[fate.name], end="")
        self._console.print(f"  {plain(rest)}", markup=False)

    def told(self, record: Record, fate: Fate) -> Mapping[str, object]:
        """What is said of it."""
        told: dict[str, object] = {"partition": record.partition, "offset": record.offset, "fate": fate.name}
        reading = fate.reading
        if isinstance(reading, Event):
            told |= {"time": reading.ts, "event": reading.name, "user": self._hashed(reading.user)}
            told |= {"clamped": True} if reading.clamped else {}
            return told | {"breakdowns": dict(reading.values)}
        told |= {"why": fate.why}
        if record.timestamp_ms >= 0:
            told["time"] = record.timestamp_ms
        return told | ({"message": reading.message} if isinstance(reading, Rejection) else {})

    def _hashed(self, user: str) -> str:
        return blake2b(user.encode(), digest_size=USER_BYTES, key=self._key).hexdigest()


def _words(told: Mapping[str, object]) -> Iterator[str]:
    if "event" in told:
        yield f"{told['event']:<24}"
        yield f"user {told['user']}"
        if told.get("clamped"):
            yield "clamped"
        breakdowns = told["breakdowns"]
        assert isinstance(breakdowns, dict)
        yield from (f"{name}={value}" for name, value in breakdowns.items())
    else:
        yield str(told["why"])
        if "message" in told:
            yield str(told["message"])


def _time(at_ms: object) -> str:
    assert isinstance(at_ms, int)
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.") + f"{at_ms % 1000:03d}"
