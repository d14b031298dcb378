"""What a test does without a program that it needs, and how the end of a run tells of it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NoReturn

import pytest

from tests.services import ServerUnavailable

IN_CI = os.environ.get("CI") == "true"
BEGIN = "lacking: "
"""Begins the reason of such a skip, by which the end of the run knows it among others."""


def lacking(message: str) -> NoReturn:
    """Skip for want of what `message` names; in CI, which installs everything, that is a failure."""
    if IN_CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(BEGIN + message)


def program(name: str) -> str:
    """Where a program is that must be on PATH."""
    found = shutil.which(name)
    return found or lacking(f"{name} is not on PATH")


def need(server: str, get: Callable[[], object]) -> None:
    """Skip where `get` finds no such server to be had."""
    try:
        get()
    except ServerUnavailable as unavailable:
        lacking(f"no real {server}: {unavailable}")


def told(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """A line for each thing that was lacking, with the number of tests that were skipped for it."""
    reasons: Counter[str] = Counter()
    for report in skipped:
        assert isinstance(report.longrepr, tuple)
        _, begins, reason = report.longrepr[2].partition(BEGIN)
        if begins:
            reasons[" ".join(reason.split())] += 1
    return [f"!!! {number} SKIPPED: {reason}" for reason, number in reasons.most_common()]
