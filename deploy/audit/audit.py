"""Asks the advisory database of PyPI about every package of a lock, and takes no silence for an all-clear.

pip-audit ends well when it has been told nothing: a mirror without advisories answers that it knows no such package.
Here that is an outcome of its own. Exit codes: 0 every package was looked up and none has a known vulnerability, 1 some
have, 3 some could not be looked up (no network, or an index without advisories), so that nothing is known of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOUND, UNKNOWN = 1, 3


@dataclass(frozen=True)
class Verdict:
    """What is known of the packages of one lock."""

    checked: int
    vulnerable: Sequence[str]  # one line each
    unknown: Mapping[str, str]  # package -> why

    @property
    def code(self) -> int:
        """The exit code."""
        return FOUND if self.vulnerable else UNKNOWN if self.unknown or not self.checked else 0

    def lines(self, lock: str) -> list[str]:
        """What to tell, the worst last."""
        told = [f"{lock}: {self.checked} packages looked up, {len(self.vulnerable)} vulnerabilities known"]
        if self.unknown:
            first, reason = next(iter(self.unknown.items()))
            told.append(
                f"{lock}: {len(self.unknown)} packages could not be looked up, so nothing is known of them "
                f"(the first: {first}: {reason})"
            )
        return told + [f"  {line}" for line in self.vulnerable]


def judge(report: Mapping[str, Any]) -> Verdict:
    """From pip-audit's JSON."""
    checked, vulnerable, unknown = 0, [], {}
    for package in report["dependencies"]:
        name = package["name"]
        if "skip_reason" in package:
            unknown[name] = package["skip_reason"]
            continue
        checked += 1
        for found in package["vulns"]:
            fixed = " or ".join(found["fix_versions"]) or "no version yet"
            known_as = ", ".join([found["id"], *found.get("aliases", ())])
            vulnerable.append(f"{name} {package['version']}: {known_as}; mended in {fixed}")
    return Verdict(checked, vulnerable, unknown)


def audit(lock: str, options: Sequence[str]) -> Verdict:
    """Run pip-audit over a lock; it reads names, versions and hashes, and installs nothing."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return judge(json.loads(done.stdout))
    except ValueError:  # it could not even ask
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["pip-audit said nothing"]
        return Verdict(0, (), {"all of them": said[-1].strip()})


def main(arguments: Sequence[str]) -> int:
    """Audit the locks that are named; what begins with a dash is for pip-audit."""
    locks = [word for word in arguments if not word.startswith("-")]
    options = [word for word in arguments if word.startswith("-")]
    codes = []
    for lock in locks:
        verdict = audit(lock, options)
        print("\n".join(verdict.lines(Path(lock).as_posix())), flush=True)
        codes.append(verdict.code)
    return FOUND if FOUND in codes else max(codes, default=UNKNOWN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
