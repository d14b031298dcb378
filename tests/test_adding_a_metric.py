"""The pages on adding a metric are followed to the letter, in a copy of the project: files, then lines elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_architecture import ROOT, tracked
from tests.test_docs import ADDING, Block, blocks_of


@dataclass(frozen=True)
class Addition:
    """What a page adds: new files, and a patch of those that are there."""

    page: Path
    files: tuple[Block, ...]
    patch: str

    @property
    def lines_elsewhere(self) -> int:
        """Lines added to files that are there."""
        return len(re.findall(r"(?m)^\+(?!\+\+ )", self.patch))


def addition(page: Path) -> Addition:
    """Of the page's one section on adding a metric."""
    text = page.read_text(encoding="utf-8")
    begin = text.index("\n## Adding a metric")
    first, last = (text.count("\n", 0, place) for place in (begin, text.index("\n## ", begin + 1)))
    blocks = [block for block in blocks_of(page) if first < block.line <= last]
    (patch,) = (block.text for block in blocks if block.language == "diff")
    files = tuple(block for block in blocks if block.language in ("python", "yaml"))
    assert [str(block) for block in files if not block.name or (ROOT / block.name).exists()] == []
    return Addition(page, files, patch)


SCREENS, DONATIONS = addition(ADDING), addition(ROOT / "flows" / "README.md")

LOOKED_AT = """
import json, sys
from flows.audit import recompute
from flows.commands import facts_page, metrics_page
from flows.commands.metrics_page import EVERYTHING
from flows.config.alerts import Alerts
from flows.dashboards.live import live
from flows.dashboards.page import written
from flows.dashboards.queries import Numbers
from flows.metrics.catalogue import alerts_of, catalogue
from flows.publish.prometheus.product import product_families
from flows.alerting.rules import rules_text

listed, numbers = catalogue(EVERYTHING), Numbers(EVERYTHING)
json.dump(
    {
        "cells": [cell.name for cell in [*listed.cells, *listed.derived] if cell.metric],
        "gauges": [family.name for family in product_families(listed, "product")],
        "truths": list(recompute([], EVERYTHING).cells),
        "page": metrics_page.page(),
        "live": written(live(numbers), numbers),
        "alerts": [shape.alert for shape in alerts_of(EVERYTHING, Alerts())],
        "rules": rules_text(EVERYTHING, Alerts()),
        "schemas": facts_page.carried_schemas(),
    },
    sys.stdout,
)
"""
"""What a family brings by itself, as the copy has it."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with both families."""
    folder = tmp_path_factory.mktemp("project")
    for file in tracked():
        place = folder / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
    for added in (SCREENS, DONATIONS):
        for block in added.files:
            (folder / block.name).write_text(block.text, encoding="utf-8")
        done = subprocess.run(
            ["git", "apply", "-"], input=added.patch, cwd=folder, capture_output=True, text=True, check=False,
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        )  # fmt: skip
        assert done.returncode == 0, f"{added.page.relative_to(ROOT)}: renew its diff\n{done.stderr}"
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, which knows the copy's code alone."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_pages_count_their_files_and_lines() -> None:
    for added in (SCREENS, DONATIONS):
        text = " ".join(added.page.read_text(encoding="utf-8").partition("\n## Adding a metric")[2].split())
        found = re.search(r"(\d+) new files, and (\d+) lines elsewhere", text)
        assert found is not None, added.page
        assert (int(found[1]), int(found[2])) == (len(added.files), added.lines_elsewhere), added.page


def test_the_families_that_the_pages_add_work(copy: Path) -> None:
    """Their stories come out, and they obey all laws against their audit twins."""
    done = run(
        copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/laws/test_families.py", "tests/scenarios",
        "-k", "Screens or Donations",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 4  # the laws of two families, and a story of each


def test_everything_else_follows_from_the_families_that_the_pages_add(copy: Path) -> None:
    done = run(copy, "-c", LOOKED_AT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for cell in ("screens.5m", "screens_per_user.5m", "donations.5m", "donated.5m", "donation_mean.5m"):
        assert cell in found["cells"]
    for cell in ("screens.5m", "donations.5m", "donated.5m"):
        assert cell in found["truths"]
    for family in ("screens", "screens_per_user_ratio", "donations", "donated", "donation_mean"):
        assert f"tidegauge_{family}" in found["gauges"]
        assert f"`tidegauge_{family}{{window" in found["page"]
        assert f"tidegauge_{family}{{" in found["live"]
    assert "Money given" in found["live"]
    assert "DonationSpike" in found["alerts"]
    assert 'tidegauge_donations{product="product", window="1h"}' in found["rules"]
    assert found["schemas"]["Donation Made"]["required"] == ["cause_id", "amount"]


def test_a_family_that_the_pages_add_needs_no_other_line(copy: Path) -> None:
    """Floors, families that do not know each other, an audit that shares no code, and an example of every key."""
    done = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py", "tests/test_docs.py",
        "-k", "one_way or floor or families or audit_shares or measures or every_key or is_for",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
