"""Prints the part of requirements.lock that an installed Tidegauge brings along, without extras: versions and hashes.

The lock holds the demo's and the developers' packages as well. Which of them the job itself needs is read from the
metadata of the packages installed beside this script, beginning with Tidegauge's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement


def normal(name: str) -> str:
    """A package's name as the lock writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_by(name: str, extras: Iterable[str] = ()) -> set[str]:
    """Every package that an installed one needs here, itself included; of extras only those asked for."""
    found: set[str] = set()
    waiting = [(normal(name), frozenset(extras))]
    while waiting:
        package, wanted = waiting.pop()
        if package in found and not wanted:
            continue
        found.add(package)
        try:
            lines = requires(package) or []
        except PackageNotFoundError:  # of another platform
            continue
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                waiting.append((normal(requirement.name), frozenset(requirement.extras)))
    return found


def pins(lock: str) -> dict[str, str]:
    """The lock's pins: name -> all lines of it."""
    blocks = re.split(r"(?m)^(?=[a-z0-9])", lock)[1:]
    return {normal(block.partition("==")[0].partition("[")[0].strip()): block for block in blocks}


def shipped(lock: str) -> str:
    """The pins of what Tidegauge needs."""
    needed = needed_by("tidegauge")
    return "".join(block for name, block in pins(lock).items() if name in needed)


if __name__ == "__main__":
    sys.stdout.write(shipped(Path(sys.argv[1]).read_text()))
