from __future__ import annotations

from typing import get_args

import pytest

from flows.process.hold_reasons import MEANINGS, Reason
from flows.source import outages
from flows.source.clock_holds import ClockHolds, describe
from flows.source.questions import Keepers

NOON = 1_700_000_000_000


class Clock:
    """Ticks of a quarter of a second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.holds = ClockHolds("events", lambda: self.now)

    def ticks(self, seconds: float, slowest_ms: int | None, reasons: dict[int, Reason], known: str = "") -> None:
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            self.holds.look(slowest_ms, reasons, dict.fromkeys(reasons, known))


def test_every_reason_has_its_words() -> None:
    assert set(get_args(Reason)) == set(MEANINGS)
    assert set(get_args(outages.Trouble)) | {"grace"} <= set(MEANINGS)


def test_a_clock_that_stands_is_said_once_with_what_holds_it_and_again_when_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    known = describe(Keepers(-1, frozenset({2, 3}), frozenset({1, 2, 3})))
    clock.ticks(3, NOON, {4: "no_leader"}, known)
    assert caplog.messages == []
    clock.ticks(20, NOON, {4: "no_leader"}, known)
    clock.ticks(3, NOON, {4: "grace"})
    assert clock.holds.holds()[4][:2] == ("grace", 2.75)
    clock.ticks(1, None, {})
    assert caplog.messages == [
        "topic events: the stream clock has stood still for 3 s: partition 4: it has no leader (no leader, in sync "
        "2, 3 of 1, 2, 3), for 3 s",
        "topic events: the stream clock goes on, after 26 s",
    ]


def test_normal_operation_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    for second in range(60):  # a backlog: the clock moves with the records
        clock.ticks(1, NOON + second, {0: "reading", 1: "reading"})
    for second in range(60):  # an outage in which others write on: so it does
        clock.ticks(1, NOON + second, {0: "grace"})
    for _ in range(60):  # a busy partition that is behind by a poll now and then
        clock.ticks(1, None, {})
        clock.ticks(0.25, NOON, {0: "reading"})
    clock.ticks(60, NOON, {0: "transaction"})  # commits are minutes apart
    clock.ticks(60, None, {})
    assert caplog.messages == []


def test_a_line_names_a_few_of_many_partitions(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    clock.ticks(4, NOON, dict.fromkeys(range(300), "silent"))
    (line,) = caplog.messages
    assert line.count("partition") == 8
    assert line.endswith("; and 292 more")
