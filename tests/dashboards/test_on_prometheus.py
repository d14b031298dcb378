"""Every panel of the committed dashboards, asked of a real Prometheus that has scraped a real run."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.panels import (
    asked,
    dashboards,
    demo,
    empty_ones,
    prometheus_on,
    questions,
    report,
    until_all_answer,
)
from tests.lacking import program
from tests.services import free_port


def need_prometheus() -> None:
    """Skip without Prometheus; in CI that is a failure."""
    for name in ("prometheus", "promtool"):
        program(name)


def test_every_panel_has_data_while_the_demo_runs(tmp_path: Path) -> None:
    need_prometheus()
    # As the dashboards open, and over a day, in which also happens what does not happen in each hour.
    by = {"breakdown": "platform"}  # which all that can be split are split by
    choices: tuple[dict[str, str], ...] = (by, by | {"window": "24h"})
    wanted = [
        question for found in dashboards().values() for chosen in choices for question in questions(found, chosen)
    ]
    assert len(wanted) > 300
    with demo(tmp_path, "--days", "3") as address, prometheus_on(address, tmp_path, free_port()) as url:
        answers = until_all_answer(url, wanted)
        assert empty_ones(answers) == [], "\n".join(report(answers))
        other = [question for found in dashboards().values() for question in questions(found, {"product": "other"})]
        unknown = asked(url, [question for question in other if "$product" in question.expression])
    # The queries are of this product alone: asked for another, the same Prometheus has nothing. What a tile shows in
    # place of nothing is left out of what is asked.
    assert {question.expression: count for question, count in unknown if count} == {}
