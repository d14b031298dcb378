"""The bench itself, at sizes that prove it runs and nothing about speed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from deploy.bench import bench, families, laboratory
from deploy.bench.stream import Stream
from flows.audit import Record
from flows.audit.comparison import Compared
from tests.thorough import LONG

TINY = ["--events", "6000", "--users", "500", "--more-users", "--repeats", "1", "--compared", "3000"]


@pytest.fixture(autouse=True)
def servers(kafka_jars: None, redis_server: object) -> None:
    """What the bench starts can be started here."""


@LONG
def test_every_part_runs_and_the_results_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SERIES", (1_000,))
    results = tmp_path / "results.json"
    brief = ["--paced-rate", "2000", "--paced-seconds", "1.5", "--kill-seconds", "1", "--idle-seconds", "1.5"]
    parts = [part for part in bench.PARTS if part != "families"]  # two dozen configs: test_families.py
    assert bench.main([*TINY, *brief, "--scrapes", "3", "--json", str(results), "--only", *parts]) == 0
    written = json.loads(results.read_text())
    values = {row["name"]: row["value"] for row in written["rows"]}
    assert values["wrong numbers"] == 0
    assert values["events counted after it, of those sent"] == 100
    assert values["freshness max"] is not None
    assert values["checkpoint size"] > 0
    assert values["start from it to the first value in Redis"] > 0
    assert 800 < values["series served, the process's own among them"] < 1_400
    assert values["CPU of tidegauge's core"] > 0
    rows = {"ratio to the bare consume loop", "peak memory per known user", "decode", "checkpoint", "measure: sessions"}
    assert rows <= set(values)
    assert "ratio to the bare consume loop" in capsys.readouterr().out


def test_families_take_their_time_and_so_are_not_quick() -> None:
    assert "families" in bench.arguments([]).only
    assert "families" not in bench.arguments(["--quick"]).only
    assert bench.arguments(["--quick", "--only", "families"]).only == ["families"]


def test_a_wrong_number_of_a_family_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is right elsewhere; no server is started here."""
    monkeypatch.setattr(laboratory, "running", lambda *cores: nullcontext())
    monkeypatch.setattr(bench, "measure", lambda lab, options: [])
    monkeypatch.setattr(bench, "mistakes", lambda lab, options: [])
    monkeypatch.setattr(families, "differences", lambda lab, options: [Compared("nps.nps", "1", (2,))])
    assert bench.main([*TINY, "--only", "families"]) == 1
    assert "WRONG nps.nps: 1 instead of 2" in capsys.readouterr().out


def test_a_fast_wrong_answer_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The reference is shown a stream that differs from the one in Kafka by its last accepted event."""
    records = Stream.records

    def one_event_less(stream: Stream, count: int) -> list[Record]:
        return records(stream, count)[:-1]

    monkeypatch.setattr(Stream, "records", one_event_less)
    assert bench.main([*TINY, "--only"]) == 1
    assert "WRONG" in capsys.readouterr().out
