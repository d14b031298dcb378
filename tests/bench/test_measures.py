from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.bench.measures import ORDER, slope
from deploy.bench.processes import Cost
from deploy.bench.staged import STAGES, Stopwatch
from deploy.bench.table import Asked, Row, rows_of, text, write_json


def test_a_slope_leaves_out_what_does_not_grow_and_takes_the_cheapest_runs() -> None:
    small = [Cost(3.0, 5.0, 1), Cost(2.5, 4.0, 1)]
    large = [Cost(4.5, 9.0, 1), Cost(6.0, 6.0, 1)]
    price = slope(small, large, 1_000_000)
    assert price.cpu_ns == pytest.approx(2_000)
    assert price.wall_ns == pytest.approx(2_000)


def test_a_missed_bar_is_said_and_a_number_that_does_not_exist_is_null(tmp_path: Path) -> None:
    rows = [
        Row("speed", "events", 299_999.0, "events/s", Asked(">= 300,000")),
        Row("speed", "ratio", 2.6, "x", Asked("<= 2.6", "<= 1.0")),
        Row("speed", "ratio to more", 0.9, "x", Asked(dream="<= 1.0")),
        Row("speed", "recovery", float("inf"), "s", Asked("<= 5")),
        Row("speed", "size", 3.0, "MB"),
    ]
    assert [row.verdict for row in rows] == ["MISSED", "met", "dream", "MISSED", ""]
    assert [line.split()[-1] for line in text(rows).splitlines()[2:]] == ["MISSED", "met", "dream", "MISSED", "MB"]
    assert "<= 2.6; dream <= 1.0" in text(rows)
    write_json(tmp_path / "results.json", rows, {"machine": "here"})
    written = json.loads((tmp_path / "results.json").read_text())
    assert [row["met"] for row in written["rows"]] == [False, True, None, False, None]
    assert written["rows"][3]["value"] is None
    assert rows_of(written) == rows


def test_time_inside_an_inner_stage_counts_there_only() -> None:
    class Work:
        def outer(self) -> int:
            return self.inner() + 1

        def inner(self) -> int:
            return sum(range(300_000))

    stopwatch = Stopwatch()
    stopwatch.on(Work, "outer", "outer")
    stopwatch.on(Work, "inner", "inner")
    assert Work().outer() == sum(range(300_000)) + 1
    assert stopwatch.spent["inner"] > stopwatch.spent["outer"] > 0


def test_every_stage_names_what_the_job_has_and_belongs_to_a_step_of_it() -> None:
    assert [f"{owner}.{name}" for owner, name, _ in STAGES if not callable(getattr(owner, name, None))] == []
    assert {stage.split(":")[0] for _, _, stage in STAGES} == set(ORDER)
