"""The visits that flows/BOUNCE.md tells of bounce as it says, by the numbers of the pipeline."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import yaml

from flows.audit import Record
from flows.config.model import Config
from flows.config.sessions import Bounce
from tests.engine import replay
from tests.test_architecture import ROOT

PAGE = (ROOT / "flows" / "BOUNCE.md").read_text(encoding="utf-8")
NINE = 1_772_442_000_000  # 2026-03-02T09:00Z
DAY = 86_400_000


class Act(NamedTuple):
    """What a visitor does, so many seconds after the visit has begun."""

    after_s: int
    event: dict[str, Any]


HOME = Act(0, {"type": "page", "name": "Home"})


def track(after_s: int, event: str, **properties: object) -> Act:
    return Act(after_s, {"type": "track", "event": event, "properties": properties})


VISITS: dict[str, Sequence[Act]] = {
    "Ana": [HOME],
    "Ben": [HOME, Act(5, {"type": "page", "name": "Prices"})],
    "Cleo": [HOME, track(40, "Video Played")],
    "Dora": [HOME, track(3, "Product Added")],
    "Eve": [HOME, track(20, "Page Scrolled", interactive=False)],
    "Finn": [HOME, track(4, "Page Scrolled", interactive=False)],
    "Gus": [track(0, "Order Completed")],
    "Ivy": [HOME, track(6, "Chat Opened")],
}


def test_every_visit_bounces_by_the_definitions_that_the_page_says_and_no_other() -> None:
    (written,) = re.findall(r"```yaml tidegauge.yaml\n(.*?)```", PAGE, re.DOTALL)
    visitor = {"field": "context.visitor", "values": list(VISITS), "of": ["sessions"]}
    config = Config.model_validate(yaml.safe_load(written) | {"breakdowns": {"visitor": visitor}})
    records = [
        Record(json.dumps(act.event | {"userId": name, "timestamp": at, "context": {"visitor": name}}).encode(), 0, at)
        for number, (name, acts) in enumerate(VISITS.items())
        for act in acts
        for at in [NINE + number * 3_600_000 + act.after_s * 1_000]
    ]
    cells = replay(records, config, as_of_ms=NINE + DAY)[0].cells

    rows = {row[0]: row[2:] for row in (_cells_of(line) for line in PAGE.splitlines()) if len(row) == 6}
    definitions = [name.strip("`") for name in rows["visitor"]]
    assert sorted(definitions) == sorted(get_args(Bounce))
    for name in VISITS:
        found = [bool(cells[f"sessions.bounced_by.{one}.24h{{visitor={name.lower()}}}"]) for one in definitions]
        assert found == [cell == "bounce" for cell in rows[name]], name
    assert [str(cells[f"sessions.bounced_by.{one}.24h"]) for one in definitions] == rows["**bounced**"]
    assert [f"{100 * cells[f'bounce_rate_by.{one}.24h']:.1f} %" for one in definitions] == rows["**rate**"]
    assert cells["bounce_rate.24h"] == cells["bounce_rate_by.engaged.24h"]


def _cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
