"""What the demo shows at its end."""

from __future__ import annotations

from flows.audit.comparison import Compared
from flows.demo.comparison import report


def test_the_report_shows_every_difference_beside_the_best_known_numbers() -> None:
    rows = [
        Compared("sessions.open", "12", (12,)),
        Compared("sessions.events.7d", "12", (12,)),
        Compared("sessions.duration_le_5.7d", "1", (2,)),
        Compared("minute:2026-11-22T18:05Z events", None, (2,)),
    ]
    shown = report(rows)
    assert [list(map(str, column.cells)) for column in shown.columns] == [
        ["sessions.open", "sessions.duration_le_5.7d", "minute:2026-11-22T18:05Z events"],
        ["12", "1", "absent"],
        ["12", "2", "2"],
        ["ok", "WRONG", "WRONG"],
    ]
