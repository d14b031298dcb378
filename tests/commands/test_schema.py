from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from flows.commands import schema
from flows.config.file import config_schema, load
from flows.metrics.catalogue import catalogue

ROOT = Path(__file__).parents[2]
MINIMAL = str(ROOT / "deploy" / "examples" / "minimal.yaml")


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    schema.add_arguments(parser)
    return schema.main(parser.parse_args(list(arguments)))


def published() -> list[str]:
    listed = catalogue(load(MINIMAL, environment={}).config)
    return [cell.name for cell in listed.cells if cell.metric] + [cell.name for cell in listed.derived]


def test_the_schema_of_events_is_the_one_that_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    told = capsys.readouterr().out
    assert told == (ROOT / "schemas" / "event.v1.schema.json").read_text(encoding="utf-8")
    assert json.loads(told)["$schema"].startswith("https://json-schema.org/")


def test_the_schema_of_the_configuration_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config") == 0
    assert capsys.readouterr().out == config_schema()


def test_the_table_has_a_line_for_every_published_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cells", "--config", MINIMAL) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["cell", "kind", "unit", "help", "Prometheus"]
    assert [line.split()[0] for line in lines] == published()


def test_the_table_as_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cells", "--config", MINIMAL, "--format", "json") == 0
    rows = {row["cell"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == published()
    assert rows["active_users.5m"]["kind"] == "counted"
    assert rows["active_users.5m"]["Prometheus"] == 'tidegauge_active_users{product="minimal",window="5m"}'
    assert rows["bounce_rate.1h"]["kind"] == "derived"


def test_the_table_as_markdown_has_as_many_columns_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cells", "--config", MINIMAL, "--format", "markdown") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(published()) + 2
    assert {line.count("|") for line in lines} == {6}


def test_a_wrong_configuration_gives_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cells", "--config", str(tmp_path / "missing.yaml")) == 2
    assert "there is no such file" in capsys.readouterr().err
