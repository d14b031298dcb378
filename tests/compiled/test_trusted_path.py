"""Which paths nobody else can change: asked before anything is loaded that is as good as code."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.checkpoint.folder import STORE, CheckpointFolder, FolderError
from flows.compiled.trusted_path import doubts
from flows.config.model import Config
from flows.metrics.parts import definitions
from tests.services import ROOT

DEFINITIONS = definitions(Config(shards=2))
STRANGER = 12345
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")


def grave(path: Path) -> list[str]:
    return [doubt.text for doubt in doubts(path) if doubt.grave]


def refusal(state: Path) -> str:
    """The sentence with which the folder is refused."""
    with pytest.raises(FolderError) as refused, CheckpointFolder(state, DEFINITIONS):
        pass
    return str(refused.value)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder in which only this user can write."""
    (tmp_path / "home").mkdir(mode=0o755)
    return tmp_path / "home"


def test_a_folder_of_ones_own_below_a_sticky_one_is_trusted(home: Path) -> None:
    (home / "tmp").mkdir()
    (home / "tmp").chmod(0o1777)
    assert list(doubts(home / "tmp" / "state")) == []


def test_a_folder_below_one_that_everybody_can_write_is_refused(home: Path) -> None:
    (home / "shared").mkdir()
    (home / "shared").chmod(0o777)
    (home / "shared" / "state").mkdir(mode=0o700)
    reason = f"everybody can write to the folder {home / 'shared'}, and replace what is in it"
    assert grave(home / "shared" / "state") == [reason]
    assert reason in refusal(home / "shared" / "state")


def test_a_folder_that_is_not_there_yet_is_judged_by_where_it_would_be(home: Path) -> None:
    (home / "shared").mkdir()
    (home / "shared").chmod(0o777)
    assert "everybody can write" in refusal(home / "shared" / "new" / "state")


def test_a_link_of_ones_own_is_followed_and_its_target_judged(home: Path) -> None:
    (home / "shared").mkdir()
    (home / "shared").chmod(0o777)
    (home / "shared" / "state").mkdir(mode=0o700)
    (home / "good").mkdir(mode=0o700)
    (home / "to_good").symlink_to("good")
    (home / "to_shared").symlink_to(home / "shared" / "state")
    (home / "round").symlink_to("../home/to_good")
    assert grave(home / "to_good") == grave(home / "round") == []
    assert "everybody can write" in refusal(home / "to_shared")
    with CheckpointFolder(home / "round", DEFINITIONS):
        assert (home / "good" / STORE).exists()


def test_links_that_lead_in_a_circle_are_refused(home: Path) -> None:
    (home / "a").symlink_to("b")
    (home / "b").symlink_to("a")
    assert "cannot be used" in refusal(home / "a" / "state")


@needs_root
def test_a_link_of_another_user_is_refused_even_in_a_sticky_folder(home: Path) -> None:
    (home / "tmp").mkdir()
    (home / "tmp").chmod(0o1777)
    (home / "real").mkdir(mode=0o700)
    (home / "tmp" / "state").symlink_to(home / "real")
    os.lchown(home / "tmp" / "state", STRANGER, STRANGER)
    assert f"belongs to user id {STRANGER}, who can point it elsewhere" in refusal(home / "tmp" / "state")


@needs_root
def test_a_folder_below_one_of_another_user_is_refused(home: Path) -> None:
    (home / "theirs" / "state").mkdir(parents=True, mode=0o700)
    os.chown(home / "theirs", STRANGER, STRANGER)
    assert f"belongs to user id {STRANGER}, who can replace what is in it" in refusal(home / "theirs" / "state")


@needs_root
def test_a_group_of_others_that_can_write_on_the_way_is_refused(home: Path) -> None:
    (home / "team" / "state").mkdir(parents=True, mode=0o700)
    os.chown(home / "team", 0, STRANGER)
    (home / "team").chmod(0o775)
    assert f"group id {STRANGER} can write to the folder" in refusal(home / "team" / "state")


@needs_root
def test_a_group_of_this_process_that_can_write_on_the_way_is_said(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "team").mkdir()
    os.chown(home / "team", 0, STRANGER)
    (home / "team").chmod(0o2775)
    monkeypatch.setattr(os, "getgroups", lambda: [STRANGER])
    with caplog.at_level(logging.WARNING), CheckpointFolder(home / "team" / "state", DEFINITIONS):
        pass
    assert f"group id {STRANGER} can write to the folder {home / 'team'}" in caplog.text


def test_a_store_that_others_can_write_is_refused(home: Path) -> None:
    with CheckpointFolder(home / "state", DEFINITIONS):
        pass
    (home / "state" / STORE).chmod(0o666)
    assert f"make it private: chmod 600 {home / 'state' / STORE}" in refusal(home / "state")


def test_a_store_that_is_a_link_is_refused(home: Path) -> None:
    with CheckpointFolder(home / "state", DEFINITIONS):
        pass
    (home / "state" / STORE).rename(home / "elsewhere")
    (home / "state" / STORE).symlink_to(home / "elsewhere")
    assert "is no file" in refusal(home / "state")


@needs_root
def test_a_store_of_another_user_is_refused(home: Path) -> None:
    with CheckpointFolder(home / "state", DEFINITIONS):
        pass
    os.chown(home / "state" / STORE, STRANGER, STRANGER)
    assert f"{STORE} belongs to user id {STRANGER}" in refusal(home / "state")


def test_what_a_run_makes_is_private_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        with CheckpointFolder(home / "deep" / "state", DEFINITIONS):
            pass
    finally:
        os.umask(before)
    made = [home / "deep", home / "deep" / "state", *(home / "deep" / "state").iterdir()]
    assert {path.name: path.stat().st_mode & 0o077 for path in made if path.name != "lock"} == {
        "deep": 0, "state": 0, STORE: 0, "definitions.json": 0,
    }  # fmt: skip


LOOP = "import flows.compiled.loops as c; print(c._KEPT_IN is not None)"


def test_compiled_loops_are_kept_only_where_nobody_else_can_put_some(home: Path) -> None:
    def kept(cache: Path) -> tuple[str, str]:
        environment = {**os.environ, "TIDEGAUGE_CACHE": str(cache)}
        command = [sys.executable, "-c", LOOP]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip(), done.stderr.strip()

    assert kept(home / "cache") == ("True", "")
    (home / "shared").mkdir()
    (home / "shared").chmod(0o777)
    keeps, said = kept(home / "shared" / "cache")
    assert keeps == "False"
    assert said.startswith("compiled loops are not kept")
    assert "everybody can write to the folder" in said
