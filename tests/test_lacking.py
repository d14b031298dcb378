"""Without a program, the end of a run says in red which and for how many tests; in CI, they fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import ROOT

NEEDING = "tests/deploy/test_compose.py::test_the_configs_that_are_mounted_are_understood"


def run_with_git_alone(folder: Path, *options: str, **environment: str) -> str:
    """What pytest prints where PATH has no other program; without git nothing could be collected."""
    git = shutil.which("git")
    assert git is not None
    (folder / "git").symlink_to(git)
    bare = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color", "yes", NEEDING, *options]
    done = subprocess.run(
        command, cwd=ROOT, env=bare | {"PATH": str(folder)} | environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("--numprocesses", "1")], ids=["in one process", "in another process"])
def test_what_was_lacking_is_said_in_red_with_the_command_that_installs_it(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    red = [
        line for line in run_with_git_alone(tmp_path, *options).splitlines() if line.startswith("\x1b[31m\x1b[1m!!! ")
    ]
    assert [line.partition("!!! ")[2].removesuffix("\x1b[0m") for line in red] == [
        "1 SKIPPED: promtool is not on PATH",
        "To install what is missing (Debian, as root): deploy/install-needs",
    ]


def test_in_ci_what_lacks_is_a_failure(tmp_path: Path) -> None:
    text = run_with_git_alone(tmp_path, "--color", "no", CI="true")
    assert "promtool is not on PATH" in text
    assert "1 failed" in text
    assert "SKIPPED" not in text
