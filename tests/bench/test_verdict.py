from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deploy.bench import stream, verdict
from deploy.bench.stream import Stream
from flows.audit import Result, recompute


@pytest.fixture(scope="module")
def expected() -> Result:
    return recompute(Stream(users=50, rate=5.0).records(1_000), stream.config())


def as_published(result: Result) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    live = {name: repr(value) for name, value in result.cells.items()}
    live |= {"_as_of": str(result.as_of_ms), "_watermark": str(result.watermark_ms)}
    for partition, accounts in result.accounting.items():
        live |= {f"accounting.{name}{{partition={partition}}}": str(count) for name, count in accounts.items()}
    minutes = {
        f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m-%dT%H:%M}Z": {n: str(v) for n, v in fields.items()}
        for start, fields in result.minutes.items()
    }
    return live, minutes


def test_what_equals_the_reference_has_no_mistakes(expected: Result) -> None:
    assert verdict.mistakes(expected, *as_published(expected)) == []


@pytest.mark.parametrize(
    "field", ["events.1h", "sessions.closed.1h{platform=ios}", "_as_of", "_watermark", "accounting.late{partition=3}"]
)
def test_one_wrong_field_is_one_mistake(expected: Result, field: str) -> None:
    live, minutes = as_published(expected)
    live[field] = str(int(live[field]) + 1)
    assert len(verdict.mistakes(expected, live, minutes)) == 1


def test_a_missing_cell_one_too_many_and_a_wrong_minute_are_mistakes(expected: Result) -> None:
    live, minutes = as_published(expected)
    del live["users.alive"]
    live["users.imagined"] = "1"
    minute = next(iter(minutes))
    minutes[minute] = minutes[minute] | {"events": "999999"}
    minutes["2000-01-01T00:00Z"] = {"events": "1"}
    found = verdict.mistakes(expected, live, minutes)
    assert [line.split(":")[0] for line in found[:2]] == ["users.alive", "users.imagined"]
    assert len(found) == 4
