"""The command line: `tidegauge COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from flows.config.mistakes import ConfigErrors
from flows.process.health import installed_version
from flows.process.log_lines import log_to_stderr

COMMANDS = (
    *("run", "demo", "replay", "validate", "top", "web", "explain", "tap", "audit"),
    *("schema", "rules", "backtest", "dashboards", "traffic"),
)
WRONG_USE = 2


class Command(Protocol):
    """A module in flows/commands."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Its options."""

    def main(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse `arguments` (default: the process's) and do what they say; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="tidegauge", description="Live product metrics from Kafka, exact to the last digit."
    )
    parser.add_argument("--version", action="version", version=f"tidegauge {installed_version()}")
    chosen = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        # Only the wanted command is imported: `top` need not load what `run` does.
        if name in arguments[:1] or not arguments or arguments[0].startswith("-"):
            command = cast(Command, import_module(f"flows.commands.{name}"))
            description = getattr(command, "DESCRIPTION", f"{command.HELP[0].upper()}{command.HELP[1:]}.")
            sub = chosen.add_parser(
                name, help=command.HELP, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
            )
            command.add_arguments(sub)
            sub.set_defaults(main=command.main)
        else:
            chosen.add_parser(name)
    args = parser.parse_args(arguments)
    args.given = arguments
    log_to_stderr()
    try:
        return int(args.main(args))
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return WRONG_USE
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left, as in `tidegauge replay F | head`
        return 0


if __name__ == "__main__":
    sys.exit(main())
