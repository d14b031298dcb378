from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from flows.commands import validate
from flows.config_file import load
from flows.cost import cost

ROOT = Path(__file__).parents[2]
SHOP = str(ROOT / "deploy" / "examples" / "shop.yaml")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TIDEGAUGE_TOPIC", "TIDEGAUGE_STATE"):
        monkeypatch.delenv(name, raising=False)


def run(*files: str | Path) -> int:
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    return validate.main(parser.parse_args([str(file) for file in files]))


def test_a_right_file_gives_zero_and_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SHOP) == 0
    sizes = cost(load(SHOP, environment={}).config)
    told = capsys.readouterr().out
    assert told.startswith(f"{SHOP}: no mistakes\n")
    for line in (
        "  product            shop: 2 funnels, 1 breakdown, 8 named events, 7 windows\n",
        f"  cells              {sizes.cells:,}: {sizes.counted:,} counted and {sizes.derived:,} derived\n",
        f"  Prometheus series  {sizes.series:,}, besides those of health\n",
        f"  state              {sizes.user_bytes:,} MB per million users",
    ):
        assert line in told


def test_a_wrong_file_gives_two_and_all_its_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("latness: 10s\nwindows: [10s]\nfunnels: {f: {window: 1h, steps: [A, A], extra: 1}}\n")
    assert run(wrong) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{wrong}:1:1: latness: there is no such key; did you mean lateness?",
        f"{wrong}:2:11: windows[0]: found '10s', expected a duration from 1m to 400d",
        f"{wrong}:3:42: funnels.f.extra: there is no such key",
        f"{wrong}:3:38: funnels.f.steps[1]: step 2 can be the same event as step 1, which must then come"
        " twice (a warning)",
        f"{wrong}: 3 mistakes",
    ]


def test_a_warning_alone_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "odd.yaml"
    odd.write_text("events: [a, A]\n")
    assert run(odd) == 0
    told = capsys.readouterr().out
    assert "events[1]: 'A' is listed twice (a) (a warning)\n" in told
    assert f"{odd}: no mistakes\n" in told


def test_every_file_is_judged_and_one_wrong_one_gives_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.yaml"
    assert run(missing, SHOP) == 2
    told = capsys.readouterr().out
    assert f"{missing}: there is no such file\n" in told
    assert f"{SHOP}: no mistakes\n" in told


def test_more_cells_than_one_publish_holds_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = tmp_path / "large.yaml"
    values = ", ".join(f"v{number}" for number in range(253))
    steps = ", ".join(f"e{number}" for number in range(20))
    large.write_text(
        f"funnels:\n  f: {{window: 1h, steps: [{steps}]}}\n"
        + "breakdowns:\n"
        + "".join(f"  b{i}: {{field: context.b{i}, values: [{values}]}}\n" for i in range(8))
    )
    assert run(large) == 2
    told = capsys.readouterr().out
    assert "cells, expected at most 200,000 (limits.publish_fields)" in told
    large.write_text(large.read_text() + "limits: {publish_fields: 200}\n")
    assert run(large) == 2
    assert "expected at most 200 (limits.publish_fields)" in capsys.readouterr().out


def test_mistakes_in_the_environment_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://nowhere")
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert run(SHOP, empty) == 2
    assert capsys.readouterr().out.count("environment: REDIS_URL: found 'http://nowhere'") == 1
