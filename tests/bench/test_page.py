from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.bench import page
from tests.services import ROOT


def stored() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(page.RESULTS.read_text())
    return results


def test_the_page_shows_the_results_that_are_stored() -> None:
    text = page.PAGE.read_text()
    assert page.with_results(text, stored()) == text, "deploy/bench/PERFORMANCE.md is stale: make bench-page"


def test_the_page_shows_every_row_and_every_verdict() -> None:
    text = page.PAGE.read_text()
    results = stored()
    assert [row["name"] for row in results["rows"] if f"| {row['name']} | " not in text] == []
    missed = sum(row["met"] is False for row in results["rows"])
    assert text.count("**MISSED**") == 2 * missed  # in what is asked, and among all rows


def test_another_result_is_another_page() -> None:
    results = stored()
    results["rows"][0]["value"] += 1_000.0
    text = page.PAGE.read_text()
    assert page.with_results(text, results) != text


def test_no_number_stands_in_the_prose() -> None:
    """But for what the bench is made of; a measured number in a sentence would grow old unseen."""
    text = page.PAGE.read_text()
    for name in page.PARTS:
        before, _, rest = text.partition(f"<!-- {name}: written")
        text = before + rest.partition(f"<!-- {name}: end -->")[2]
    assert not any(f" {unit}" in text for unit in ("ns", "ms", "MB", "events/s", "%"))


def test_a_page_without_its_markers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "page.md"
    other.write_text("# Nothing\n")
    assert page.main([str(page.RESULTS), str(other)]) == 1
    assert "lacks" in capsys.readouterr().err
    assert other.read_text() == "# Nothing\n"


def test_the_results_name_no_path_of_this_machine() -> None:
    assert str(ROOT) not in page.RESULTS.read_text()
