"""`make mutations`: real runs of code that was made wrong; each mutation has to be noticed, else the exit code is 1."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests import services
from tests.faults.campaign import play
from tests.faults.stage import Stage, running_stage
from tests.faults.wrong import MUTATIONS

HISTORIES: Final[Mapping[str, Sequence[str]]] = {
    "increments": ["run killed after a publish"],
    "no fence": ["run frozen and replaced"],
    "no dedup in the checkpoint": ["run killed", "run killed"],
    "clock follows the future": ["Redis flushed"],
    "values of another step": ["Redis flushed"],
}
"""Faults after which it has to show."""


def noticed(stage: Stage, mutation: str) -> str:
    """What of the suite notices it; empty: nothing does."""
    with stage.client() as client:  # increments would else fail for want of a right, and show nothing
        client.acl_setuser("tidegauge", enabled=True, commands=["+hincrby"])
    try:
        outcomes = play(stage, 1, HISTORIES[mutation], mutation)
    except TimeoutError as failure:
        print(f"{mutation}: no comparison was made: {failure}")
        return ""
    return next((f"after {one.fault}: {wrong}" for one in outcomes for wrong in one.wrong), "")


def main() -> int:
    """0 when the right code passes and every mutation is noticed."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    survived = []
    try:
        services.install_kafka()
        with tempfile.TemporaryDirectory(prefix="tidegauge-") as folder, running_stage(Path(folder)) as stage:
            for mutation in MUTATIONS:
                found = noticed(stage, mutation)
                print(f"{mutation}: {found[:300] or 'NOT NOTICED'}", flush=True)
                if not found:
                    survived.append(mutation)
    except services.ServerUnavailable as missing:
        print(f"this machine lacks a server: {missing}", file=sys.stderr)
        return 2
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
