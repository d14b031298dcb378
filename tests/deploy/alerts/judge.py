"""Lets `promtool test rules` hold a timeline's alerts against what is expected, at every single step."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
import yaml

from tests.deploy.alerts.conditions import STEP_S, at, clock
from tests.deploy.alerts.timeline import notation
from tests.lacking import program

TOLD_APART = ("funnel", "what", "kind", "milestone", "survey", "node")
"""Labels that tell series of one alert apart."""


class Firing(NamedTuple):
    """An alert that fires from one step to another, both included; `label` is one of TOLD_APART."""

    alert: str
    begin: str  # "7d 02:25"
    end: str
    label: str = ""  # funnel=checkout


class Life(Protocol):
    """A product's life: one value a step of every series that the rules look at."""

    @property
    def steps(self) -> int: ...

    def series(self) -> Mapping[str, Sequence[float | None]]: ...


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool; without it the test is skipped, and fails in CI."""
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)


def unit_test(rules: Path, timeline: Life, expected: Sequence[Firing]) -> dict[str, object]:
    """What promtool reads: at every step exactly the expected alerts fire."""
    groups = [group["name"] for group in yaml.safe_load(rules.read_text())["groups"]]
    by_step: dict[int, list[dict[str, object]]] = {}
    for firing in expected:
        labels = f'alertname="{firing.alert}"' + (', {}="{}"'.format(*firing.label.split("=")) if firing.label else "")
        for step in range(at(firing.begin), at(firing.end) + 1):
            by_step.setdefault(step, []).append({"labels": f"{{{labels}}}", "value": 1})
    fire = f'max by (alertname, {", ".join(TOLD_APART)}) (ALERTS{{alertstate="firing"}})'
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{STEP_S}s",
        "group_eval_order": groups,
        "tests": [
            {
                "interval": f"{STEP_S}s",
                "input_series": [
                    {"series": name, "values": notation(values)} for name, values in timeline.series().items()
                ],
                "promql_expr_test": [
                    {"expr": fire, "eval_time": f"{step * STEP_S}s", "exp_samples": by_step.get(step, [])}
                    for step in range(timeline.steps)
                ],
            }
        ],
    }


def judge(rules: Path, timeline: Life, expected: Sequence[Firing], folder: Path) -> None:
    """Fail, with what fires and what should, at each step at which they differ."""
    file = folder / "test.json"
    file.write_text(json.dumps(unit_test(rules, timeline, expected)))  # JSON is YAML, and quicker to write
    done = promtool("test", "rules", str(file))
    if done.returncode != 0:
        pytest.fail(readable(done.stdout + done.stderr), pytrace=False)


def readable(told: str) -> str:
    """Promtool's complaints, with the times as this folder writes them."""
    differences = re.findall(r"time: (\w+),\s*exp: ?(.*)\s*got: ?(.*)", told)
    lines = [f"{clock(_seconds(time) // STEP_S)}  expected {due}, got {got}" for time, due, got in differences]
    return "\n".join(lines) or told


def _seconds(text: str) -> int:
    """`8d7h35m`, `0s`."""
    total, number = 0, ""
    for letter in text:
        if letter.isdigit():
            number += letter
        else:
            total += int(number) * {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}[letter]
            number = ""
    return total
