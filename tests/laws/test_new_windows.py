"""What milestones and retention know of the time before a window was added to the config."""

from __future__ import annotations

import json
from typing import Any

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.engine import Engine, polls

START = 1_774_742_400_000  # 2026-03-29T00:00Z
HOUR, DAY = 3_600_000, 86_400_000
BEFORE = {
    "windows": ["24h"],
    "ratio_windows": [],
    "shards": 2,
    "retention": {"days": [1, 2]},
    "milestones": {"order": {"from": "Signed Up", "to": "Ordered", "within": "1d"}},
}
AFTER = BEFORE | {"windows": ["24h", "7d"]}


def record(offset: int, user: str, name: str, at_ms: int) -> Record:
    event = {"type": "track", "event": name, "userId": user, "timestamp": START + at_ms}
    return Record(json.dumps(event).encode(), 0, offset)


def after_the_change(*events: tuple[str, str, int], cut: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cells with a window of 7 days added after `cut` events, and those of a job that always had it."""
    records = [record(offset, *event) for offset, event in enumerate(events)]
    before, after = polls(records, [cut], 1)
    engine = Engine(Config.model_validate(BEFORE))
    engine.read(before)
    engine.tick()
    changed = engine.under(Config.model_validate(AFTER))
    changed.read(after)
    return dict(changed.tick(final=True).cells), recompute(records, Config.model_validate(AFTER)).cells


def test_a_new_window_of_retention_is_filled_with_all_that_is_known() -> None:
    found, whole = after_the_change(
        *(("ana", "Signed Up", 0), ("ben", "Signed Up", HOUR), ("ana", "Viewed", DAY), ("ben", "Viewed", 50 * HOUR)),
        *(("cid", "Viewed", 4 * DAY), ("cid", "Viewed", 5 * DAY), ("dia", "Viewed", 7 * DAY)),
        cut=5,
    )
    names = [name for name in whole if name.startswith("retention")]
    assert {name: found[name] for name in names} == {name: whole[name] for name in names}
    assert whole["retention_rate.d1.7d"] == 2 / 3
    assert whole["retention_rate.d2.7d"] == 1 / 2  # of ana and ben: cid's day 2 is not over


def test_a_new_window_of_a_milestone_begins_with_who_is_pending_and_who_has_missed_it() -> None:
    found, whole = after_the_change(
        *(("ana", "Signed Up", 0), ("ana", "Ordered", HOUR), ("ben", "Signed Up", 2 * HOUR)),
        *(("cid", "Signed Up", 2 * DAY), ("cid", "Other", 2 * DAY + 1), ("cid", "Ordered", 2 * DAY + HOUR)),
        ("dia", "Other", 4 * DAY),
        cut=5,
    )
    states = [f"milestone.order.{state}.7d" for state in ("started", "reached", "pending", "missed")]
    assert [whole[state] for state in states] == [3, 2, 0, 1]
    assert [found[state] for state in states] == [2, 1, 0, 1]  # Ana had reached it before
    assert found["milestone.order.matured.7d"] == 2


def test_a_new_window_has_the_creation_of_the_tickets_that_are_known() -> None:
    """A ticket escalates after the change, and another was escalated before: both are escalations of created ones."""
    tickets = {"tickets": {}, "windows": ["1h"], "ratio_windows": [], "long_windows": [], "shards": 2}

    def moved(offset: int, ticket: str, name: str, at_ms: int) -> Record:
        event = {"type": "track", "event": name, "userId": "ana", "timestamp": START + at_ms}
        return Record(json.dumps(event | {"properties": {"ticket_id": ticket}}).encode(), 0, offset)

    names = ("Ticket Created", "Ticket Created", "Ticket Escalated", "Ticket Resolved", "Ticket Escalated", "Other")
    whose = zip(names, ("t1", "t2", "t2", "t2", "t1", "t1"), strict=True)
    records = [moved(offset, ticket, name, offset * HOUR) for offset, (name, ticket) in enumerate(whose)]
    before, after = polls(records, [4], 1)
    engine = Engine(Config.model_validate(tickets))
    engine.read(before)
    engine.tick()
    new = Config.model_validate(tickets | {"windows": ["1h", "24h"], "long_windows": ["24h"]})
    changed = engine.under(new)
    changed.read(after)
    found, whole = changed.tick(final=True).cells, recompute(records, new).cells
    shown = ("tickets.created.24h", "tickets.created_escalated.24h", "escalation_rate.24h")
    assert [found[name] for name in shown] == [whole[name] for name in shown] == [2, 2, 1.0]
