"""Small streams that broke the numbers of other products, replayed as a user would: file and config in, numbers out.

Each folder of `field` has one, with what it is about in the name; the numbers are those that a reader of the stream
would come to by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.job.running import replay

FIELD = Path(__file__).parent / "field"
NEXT_DAY = "2026-03-03T00:00:00Z"


@pytest.mark.parametrize("stream", ["fast60", "fast299"])
def test_one_fast_clock_makes_nobody_else_late(stream: str) -> None:
    folder = FIELD / "one-fast-clock"
    printed = replay(folder / f"{stream}.ndjson", folder / "config.yaml", "--as-of", NEXT_DAY)
    assert (printed["cells"]["sessions.started.24h"], printed["cells"]["users.known"]) == (51, 51)
    assert printed["accounting"]["late"] == 0


def test_one_single_event_of_a_fast_clock_makes_nobody_late() -> None:
    folder = FIELD / "one-fast-clock"
    printed = replay(folder / "one_event.ndjson", folder / "config.yaml", "--as-of", NEXT_DAY)
    assert (printed["cells"]["users.known"], printed["accounting"]["late"]) == (61, 0)


def test_devices_whose_clocks_are_wrong_have_sessions_of_a_minute() -> None:
    folder = FIELD / "clock-skew-sentat"
    printed = replay(folder / "events.ndjson", folder / "config.yaml", "--as-of", "2026-03-02T10:40:00Z")
    assert printed["cells"]["sessions.duration_ms.24h"] == 4 * 60_000
    assert printed["cells"]["active_users.1h"] == 4
    assert printed["accounting"]["accepted"] == printed["accounting"]["on_time"] == 8


def test_keys_with_dots_and_dollars_are_told_from_nested_ones() -> None:
    folder = FIELD / "dotted-keys"
    cells = replay(folder / "events.ndjson", folder / "config.yaml", "--as-of", NEXT_DAY)["cells"]
    assert {name: count for name, count in cells.items() if name.startswith("events.24h{") and count} == {
        "events.24h{source=ads}": 1,
        "events.24h{source=unknown}": 1,
        "events.24h{plan=pro}": 1,
        "events.24h{plan=free}": 1,
        "events.24h{os=ios}": 1,
        "events.24h{os=unknown}": 1,
    }


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "config",
            {"events.会員登録.24h": 1, "events.注文完了.24h": 1, "funnel.kauf.converted.24h": 1, "events.other.24h": 8},
        ),
        (
            "config3",
            {"sessions.key_actions.24h": 1, "events.liked_u1f44d.24h": 1, "events.commande_passée.24h": 1},
        ),
        (
            "config4",
            {"events.liked_u1f44d.24h": 1, "events.liked_u1f44e.24h": 2, "active_users.24h{region=other}": 2},
        ),
    ],
)
def test_names_of_any_script_and_symbols_are_told_apart(config: str, expected: dict[str, int]) -> None:
    folder = FIELD / "non-latin-names"
    cells = replay(folder / "events.ndjson", folder / f"{config}.yaml", "--as-of", NEXT_DAY)["cells"]
    assert {name: cells[name] for name in expected} == expected


def test_what_servers_say_opens_no_session() -> None:
    folder = FIELD / "server-side-events"
    cells = replay(folder / "events.ndjson", folder / "config.yaml", "--as-of", "2026-03-02T04:00:00Z")["cells"]
    assert (cells["sessions.started.24h"], cells["sessions.bounced.24h"], cells["bounce_rate.24h"]) == (1, 0, 0)
    assert (cells["active_users.24h"], cells["customers.active"]) == (1, 8)


def test_who_only_pays_has_churned_as_a_user() -> None:
    folder = FIELD / "server-side-events"
    cells = replay(folder / "silent_member.ndjson", folder / "config.yaml")["cells"]
    assert (cells["users.known"], cells["users.alive"], cells["customers.active"]) == (1, 0, 1)
