"""A made-up product with made-up metrics, for one alert at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from flows.alerting.freshness import freshness
from flows.alerting.promql import Pace, rule_file
from flows.alerting.shapes import rules_of
from flows.alerting.source import Source
from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import AnyShape
from tests.deploy.alerts.conditions import DAY, HOUR, STEP_S, at
from tests.deploy.alerts.judge import promtool
from tests.deploy.alerts.timeline import TARGET

HOUR_MS = 3_600_000
LENGTH = 7 * DAY + 16 * HOUR


@dataclass(frozen=True)
class Toy:
    """A product whose process is always well, and shows some series."""

    shown: Mapping[str, np.ndarray]
    steps: int = LENGTH

    def series(self) -> Mapping[str, Sequence[float | None]]:
        """With what the process tells of itself."""
        step = np.arange(self.steps)
        well = {
            f'tidegauge_build_info{{product="toy", {TARGET}}}': step * 0 + 1,
            f"tidegauge_watermark_timestamp_seconds{{{TARGET}}}": step * STEP_S - 10,
            f"tidegauge_caught_up{{{TARGET}}}": step * 0 + 1,
            f"tidegauge_events_consumed_total{{{TARGET}}}": step * 1000,
        }
        return {
            name: [None if np.isnan(value) else float(value) for value in values.astype(float)]
            for name, values in (well | dict(self.shown)).items()
        }


def series(family: str, labels: str = "", target: str = TARGET) -> str:
    """A series of the toy product."""
    return f'tidegauge_{family}{{product="toy", {target}{", " + labels if labels else ""}}}'


def level(usual: float, *changes: tuple[str, str, float]) -> np.ndarray:
    """One value a step: the usual one, but other ones from one time to another."""
    values = np.full(LENGTH, usual)
    for begin, end, value in changes:
        values[at(begin) : at(end)] = value
    return values


def counted(means: np.ndarray, seed: int = 1) -> np.ndarray:
    """Poisson counts of these means."""
    return np.random.default_rng(seed).poisson(means).astype(float)


def written(shape: AnyShape, folder: Path) -> Path:
    """The rules of a product with this alert alone, which promtool finds valid."""
    source = Source(Config(product="toy"), Alerts(), Pace(), {"tickets": ["platform"]})
    file = folder / "rules.yml"
    file.write_text(rule_file([freshness(source), rules_of(shape, source)], "One alert."))
    done = promtool("check", "rules", "--lint-fatal", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def recorded(file: Path) -> list[str]:
    """The names of what an alert's own group records."""
    return [rule["record"] for rule in yaml.safe_load(file.read_text())["groups"][-1]["rules"] if "record" in rule]


def after(text: str, steps: int) -> str:
    """So many steps later."""
    step = at(text) + steps
    return f"{step // DAY}d {step % DAY // 12:02d}:{step % 12 * 5:02d}"
