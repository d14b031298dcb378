from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.bench.measures import slope
from deploy.bench.processes import Cost
from deploy.bench.staged import Stopwatch
from deploy.bench.table import Row, text, write_json


def test_a_slope_leaves_out_what_does_not_grow_and_takes_the_cheapest_runs() -> None:
    small = [Cost(3.0, 5.0, 1), Cost(2.5, 4.0, 1)]
    large = [Cost(4.5, 9.0, 1), Cost(6.0, 6.0, 1)]
    price = slope(small, large, 1_000_000)
    assert price.cpu_ns == pytest.approx(2_000)
    assert price.wall_ns == pytest.approx(2_000)


def test_a_missed_bar_is_said_and_a_number_that_does_not_exist_is_null(tmp_path: Path) -> None:
    rows = [
        Row("speed", "events", 299_999.0, "events/s", ">= 300,000"),
        Row("speed", "ratio", 2.6, "x", "<= 2.6"),
        Row("speed", "recovery", float("inf"), "s", "<= 5"),
    ]
    lines = text(rows).splitlines()
    assert [line.endswith("MISSED") for line in lines if "bar" in line] == [True, False, True]
    write_json(tmp_path / "results.json", rows, {"machine": "here"})
    written = json.loads((tmp_path / "results.json").read_text())
    assert [row["met"] for row in written["rows"]] == [False, True, False]
    assert written["rows"][2]["value"] is None


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
