"""When alerts would have fired: Prometheus's own rule engine, run over a recorded stream.

`promtool test rules` evaluates rule files step by step, with `for` and `keep_firing_for`, as the server does. It is
asked at each step which alerts fire, and told that none should; what it objects to is the answer.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from flows.alerting.promql import duration
from flows.alerting.recorded import Recording
from flows.messages.errors import TidegaugeError

FIRING: Final = 'ALERTS{alertstate="firing"}'
HIDDEN: Final = ("__name__", "alertname", "alertstate", "severity", "area", "product")
OBJECTION: Final = re.compile(r"time: (\w+),\s*exp: ?(.*)\s*got: ?(.*)")


class BacktestError(TidegaugeError):
    """Rules cannot be read or evaluated; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One time that an alert fired. Times are those of the stream, epoch ms."""

    alert: str
    labels: Mapping[str, str]  # those that tell series of one alert apart
    severity: str
    fired_ms: int
    resolved_ms: int | None  # None: it still fires at the end


def rule_files(path: Path) -> list[Path]:
    """The rule files that `path` is or holds."""
    files = sorted([*path.glob("*.yml"), *path.glob("*.yaml")]) if path.is_dir() else [path]
    if not files:
        raise BacktestError(f"{path} has no rule files (*.yml)")
    return files


def groups_of(files: Iterable[Path]) -> list[dict[str, Any]]:
    """All groups of rule files, in their order."""
    groups: list[dict[str, Any]] = []
    for file in files:
        try:
            groups += yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        except OSError as error:
            raise BacktestError(f"{file} cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise BacktestError(f"{file} is no rule file of Prometheus") from error
    return groups


def firings(recording: Recording, files: Sequence[Path]) -> list[Firing]:
    """Every time that an alert of the rule files fires over the recording, by the time at which it does."""
    program = shutil.which("promtool")
    if program is None:
        raise BacktestError("promtool is not on PATH; it comes with Prometheus (Debian: apt-get install prometheus)")
    with tempfile.TemporaryDirectory(prefix="tidegauge-backtest-") as folder:
        test = Path(folder) / "test.json"  # JSON is YAML
        test.write_text(json.dumps(_unit_test(recording, files)))
        done = subprocess.run([program, "test", "rules", str(test)], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    objections = OBJECTION.findall(told)
    unexplained = [line for line in told.splitlines() if "err:" in line or "error" in line.lower()]
    if (done.returncode != 0 and not objections) or unexplained:
        raise BacktestError(
            "promtool cannot evaluate the rules:\n" + "\n".join(unexplained or told.splitlines())[:2000]
        )
    steps: dict[str, list[int]] = {}
    for time, _, got in objections:
        for series in re.findall(r"\{([^}]*)\}", got):
            steps.setdefault(series, []).append(_milliseconds(time) // recording.step_ms)
    found = [firing for series, at in steps.items() for firing in _runs(series, at, recording)]
    return sorted(found, key=lambda firing: (firing.fired_ms, firing.alert, sorted(firing.labels.items())))


def _unit_test(recording: Recording, files: Sequence[Path]) -> dict[str, object]:
    step = duration(recording.step_ms)
    return {
        "rule_files": [str(file.resolve()) for file in files],
        "evaluation_interval": step,
        "group_eval_order": [group["name"] for group in groups_of(files)],
        "tests": [
            {
                "interval": step,
                "input_series": [
                    {"series": name, "values": notation(values)} for name, values in recording.series.items()
                ],
                "promql_expr_test": [
                    {"expr": FIRING, "eval_time": duration(number * recording.step_ms) if number else "0s"}
                    for number in range(recording.steps)
                ],
            }
        ],
    }


def notation(values: Iterable[float | None]) -> str:
    """Values as promtool reads them: `1 2x3 _x4`; `2x3` is 2 and three more of it, `_x4` four absent ones."""
    runs: list[tuple[str, int]] = []
    for value in values:
        text = "_" if value is None else repr(float(value))
        if runs and runs[-1][0] == text:
            runs[-1] = (text, runs[-1][1] + 1)
        else:
            runs.append((text, 1))
    return " ".join(
        text if count == 1 else f"_x{count}" if text == "_" else f"{text}x{count - 1}" for text, count in runs
    )


def _runs(series: str, steps: list[int], recording: Recording) -> Iterable[Firing]:
    labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', series))
    own = {name: value for name, value in labels.items() if name not in HIDDEN}
    steps = sorted(steps)
    begins = [step for before, step in zip([-2, *steps], steps, strict=False) if step != before + 1]
    ends = [step for step, after in zip(steps, [*steps[1:], -2], strict=True) if after != step + 1]
    for begin, end in zip(begins, ends, strict=True):
        resolved = end + 1
        yield Firing(
            labels["alertname"],
            own,
            labels.get("severity", ""),
            recording.begins_ms + begin * recording.step_ms,
            recording.begins_ms + resolved * recording.step_ms if resolved < recording.steps else None,
        )


UNITS_MS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}


def _milliseconds(text: str) -> int:
    """`8d7h35m`, as Prometheus writes a duration."""
    return sum(int(count) * UNITS_MS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))
