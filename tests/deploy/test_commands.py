"""The commands of the project: what make, CI and the lock promise each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import LONGEST
from tests.services import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
AUDIT_LOCK = (ROOT / "deploy" / "audit" / "requirements.lock").read_text()
PINNED = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;]+)", LOCK))


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in the project's folder with next to no environment: what surrounds the tests says nothing here."""
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(command, cwd=ROOT, env=bare | environment, capture_output=True, text=True, check=False)


def test_ci_runs_the_very_tests_that_make_test_runs() -> None:
    shown = run("make", "--just-print", "test")
    assert shown.returncode == 0, shown.stderr
    last_of_make = shown.stdout.splitlines()[-1].split()
    last_of_ci = (ROOT / ".ci" / "run").read_text().splitlines()[-1].split()
    assert last_of_ci == ["exec", *last_of_make]


def test_only_the_whole_of_make_test_begins_with_installing() -> None:
    whole, some = (run("make", "--just-print", "test", *given).stdout for given in ((), ("TESTS=tests/deploy",)))
    assert whole.startswith("deploy/install-needs || ")
    assert "install-needs" not in some
    assert "\ndeploy/install-needs\n" in (ROOT / ".ci" / "run").read_text()


def test_the_files_that_are_begun_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []


def test_make_without_a_target_lists_every_target() -> None:
    shown = run("make", "--no-print-directory")
    listed = re.findall(r"(?m)^  make ([a-z-]+) +\S", shown.stdout)
    declared = re.findall(r"(?m)^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text())
    assert listed == declared
    assert set(declared) >= {
        *("help", "demo", "test", "check", "docs", "bench", "kafka", "audit", "sbom", "lock"),
        *("faults", "mutations", "alerts", "pager", "panels", "image"),
    }


def test_demo_runs_for_the_seconds_asked_for() -> None:
    last = [run("make", "-n", "demo", *given).stdout.splitlines()[-1] for given in ((), ("DEMO_SECONDS=30",))]
    assert [line.split()[1:] for line in last] == [["demo"], ["demo", "--seconds", "30"]]


def test_the_lock_pins_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, asked):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in PINNED, f"{name} is not in requirements.lock: make lock"
        assert requirement.specifier.contains(PINNED[name]), f"{requirement} is not {PINNED[name]}: make lock"


def test_the_lock_of_the_audit_pins_its_tools_as_asked_for() -> None:
    asked = (ROOT / "deploy" / "audit" / "requirements.in").read_text()
    assert set(re.findall(r"(?m)^\S+==\S+$", asked)) <= set(re.findall(r"(?m)^\S+==[^ ;]+", AUDIT_LOCK))


@pytest.mark.parametrize("lock", [LOCK, AUDIT_LOCK], ids=["project", "audit"])
def test_every_pin_of_a_lock_carries_hashes(lock: str) -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", lock)[1:]
    assert len(blocks) > 30
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", [LOCK, AUDIT_LOCK], ids=["project", "audit"])
def test_a_lock_names_neither_a_registry_nor_a_folder_of_whoever_made_it(lock: str) -> None:
    assert re.findall(r"(?m)^.*(?:://|--index|--find-links|--extra-index| /|file:).*$", lock) == []


def put_python(folder: Path, name: str, version: tuple[int, int], first: str = "") -> str:
    """Put into the folder a program that runs this Python as one of another version; return its path."""
    program = folder / name
    script = f"import sys; sys.version_info = {version}\n{first}\n$2"
    program.write_text(f"#!/bin/bash\nexec '{sys.executable}' -c \"{script}\"\n")
    program.chmod(0o755)
    return str(program)


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("/bin/bash", str(ROOT / "deploy" / "find-python"), PATH=str(path), **environment)


def test_the_first_python_that_fits_builds_the_environment(tmp_path: Path) -> None:
    put_python(tmp_path, "python3.11", (3, 11), first="sys.modules['ensurepip'] = None  # as without python3-venv")
    put_python(tmp_path, "python3", (3, 13))
    right = put_python(tmp_path, "python3.12", (3, 12))
    assert find_python(tmp_path).stdout.strip() == right


def test_the_python_asked_for_is_the_only_one_tried(tmp_path: Path) -> None:
    put_python(tmp_path, "python3", (3, 12))
    other = put_python(tmp_path, "other", (3, 11))
    assert find_python(tmp_path, PYTHON=other).stdout.strip() == other
    refused = find_python(tmp_path, PYTHON=put_python(tmp_path, "wrong", (3, 13)))
    assert (refused.returncode, refused.stdout) == (1, "")


def test_where_no_python_fits_one_is_told_what_to_install(tmp_path: Path) -> None:
    put_python(tmp_path, "python3", (3, 10))
    refused = find_python(tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "needs Python 3.11 or 3.12" in refused.stderr
    assert "apt-get install python3 python3-venv" in refused.stderr
