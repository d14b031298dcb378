"""METRICS.md 5.13: what the nodes of the metric tree are, and how far they are to their targets."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from flows.audit.cells import Cells
from flows.config.model import Config


def tree_cells(cells: Cells, config: Config, as_of_ms: int) -> Cells:
    """`tree.<node>.value`, `.target`, `.attainment` ("value / target, inverted where lower is better"), `.progress`
    ("(value - from) / (target - from)") and `.on_track` ("1 when progress is at least the share of the time from
    `since` to the end of `by` that has passed at T"), from all other `cells`; "absent where the value is".
    """
    found: Cells = {}
    for name, node in config.tree.items():
        if node.metric not in cells:
            continue
        value = cells[node.metric]
        found[f"tree.{name}.value"] = value
        if node.target is None:
            continue
        found[f"tree.{name}.target"] = node.target
        part, whole = (value, node.target) if node.better == "higher" else (node.target, value)
        if whole != 0:
            found[f"tree.{name}.attainment"] = part / whole
        if node.from_ is None:
            continue
        progress = (value - node.from_) / (node.target - node.from_)
        found[f"tree.{name}.progress"] = progress
        if node.since is not None and node.by is not None:
            begins_ms = start_of(node.since, config)
            ends_ms = start_of(node.by + timedelta(days=1), config)
            passed = (as_of_ms - begins_ms) / (ends_ms - begins_ms)
            wanted = 0.0 if as_of_ms < begins_ms else 1.0 if as_of_ms >= ends_ms else passed
            found[f"tree.{name}.on_track"] = 1 if progress >= wanted else 0
    return found


def start_of(day: date, config: Config) -> int:
    """The local midnight with which a day begins, ms."""
    midnight = datetime.combine(day, datetime.min.time(), ZoneInfo(config.time_zone))
    return int(midnight.timestamp()) * 1000
