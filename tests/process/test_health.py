from __future__ import annotations

import logging
import threading

import pytest

from flows.messages.snapshot import ACCOUNTS
from flows.process.health import REJECTED_OVER, Health
from tests.rejecting import poll


class Clock:
    """A clock that only the test moves."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def healthy(*, redis_configured: bool = True) -> tuple[Health, Clock]:
    clock = Clock()
    health = Health(redis_configured=redis_configured, stale_after_seconds=10, wall=lambda: 5e8, monotonic=clock)
    health.assign([("events", 0)])
    health.snapshot_taken()
    if redis_configured:
        health.published(0.002)
    return health, clock


def test_a_new_process_is_live_and_says_everything_it_still_lacks() -> None:
    reading = Health(redis_configured=True).read()
    assert reading.live
    assert reading.problems == (
        "no partition is assigned yet",
        "no snapshot has been taken yet",
        "no publish to Redis has succeeded yet",
    )


def test_a_process_that_reads_and_publishes_is_ready() -> None:
    health, _ = healthy()
    assert health.read().problems == ()
    assert health.read().ready


def test_without_redis_a_snapshot_is_enough() -> None:
    health, _ = healthy(redis_configured=False)
    assert health.read().ready


def test_an_old_publish_ends_readiness_but_not_liveness() -> None:
    health, clock = healthy()
    clock.now += 11
    health.snapshot_taken()
    health.publish_failed(reachable=False)
    reading = health.read()
    assert reading.problems == ("no publish to Redis has succeeded for 11 s",)
    assert (reading.live, reading.redis_reachable, reading.publish_failures) == (True, False, 1)


def test_a_flow_that_stands_still_is_not_ready() -> None:
    health, clock = healthy(redis_configured=False)
    clock.now += 10
    assert health.read().ready
    clock.now += 1
    assert health.read().problems == ("no snapshot has been taken for 11 s",)


def test_a_fatal_reason_ends_both_and_the_first_one_stays() -> None:
    health, _ = healthy()
    health.fail("the disk is full")
    health.fail("and then some")
    reading = health.read()
    assert not reading.live
    assert reading.problems == ("the process is ending: the disk is full",)


def test_exactly_half_rejected_is_still_ready_and_one_more_is_not() -> None:
    health, _ = healthy()
    health.polled(*poll(5000, 0))
    health.polled(*poll(5000, 5000))
    assert health.read().ready
    health.polled(*poll(1, 1))
    assert health.read().problems == ("50% of the last 10001 records were rejected",)


def test_a_few_bad_records_after_the_start_decide_nothing() -> None:
    health, _ = healthy()
    health.polled(*poll(50, 50))
    assert health.read().ready
    health.polled(*poll(1, 1))
    assert not health.read().ready


def test_old_polls_leave_the_share_of_rejected() -> None:
    health, _ = healthy()
    for _ in range(20):
        health.polled(*poll(REJECTED_OVER, REJECTED_OVER))
    assert health.read().rejected_share == 1.0
    health.polled(*poll(REJECTED_OVER, 0))
    assert health.read().rejected_share == 0.0


def test_shedding_is_said_once_when_it_begins_and_once_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    health, _ = healthy()
    for _ in range(3):
        health.polled(*poll(REJECTED_OVER, REJECTED_OVER))
    for _ in range(3):
        health.polled(*poll(REJECTED_OVER, 0))
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    begun = caplog.messages[0].splitlines()
    assert begun[0] == "none of the records read so far was accepted"
    assert begun[1] == "missing_field  10,000  first at partition 0, offset 0: $.type: missing"
    assert begun[2].startswith("They look like Amplitude's events: ")
    assert len(begun) == 4


def test_shedding_that_begins_later_is_told_by_the_latest_records(caplog: pytest.LogCaptureFixture) -> None:
    health, _ = healthy()
    health.polled(*poll(REJECTED_OVER, 10, reason="bad_id", message="$.userId: a placeholder, not an id"))
    for number in range(2, 5):
        health.polled(*poll(REJECTED_OVER // 2, REJECTED_OVER // 2, offset=number * REJECTED_OVER))
    (told,) = caplog.messages
    assert told.splitlines()[:2] == [
        "100% of the last records were rejected; the numbers describe only the rest",
        "missing_field  10,000  first at partition 0, offset 20000: $.type: missing",
    ]


def accounts(**counts: int) -> dict[int, dict[str, int]]:
    return {0: dict.fromkeys(ACCOUNTS, 0) | {name.replace("__", "."): count for name, count in counts.items()}}


def test_a_short_topic_that_is_rejected_whole_is_told_once_when_it_has_been_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health, _ = healthy()
    health.polled(*poll(12, 12))
    health.snapshot_taken(accounts(consumed=12, rejected__missing_field=12))
    assert health.read().ready  # there may be more
    health.caught_up()
    health.snapshot_taken(accounts(consumed=12, rejected__missing_field=12))
    assert health.read().ready  # the tick may have come before the last poll
    for _ in range(3):
        health.snapshot_taken(accounts(consumed=12, rejected__missing_field=12))
    assert health.read().problems == ("none of the records read so far was accepted",)
    (told,) = caplog.messages
    assert "12  first at partition 0, offset 0: $.type: missing" in told
    assert "They look like Amplitude's events" in told
    health.polled(*poll(1, 0))
    health.snapshot_taken(accounts(consumed=13, accepted=1, rejected__missing_field=12))
    assert health.read().ready


def test_of_several_processes_those_speak_that_have_read_what_is_rejected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one, other = Health(redis_configured=False, processes=2), Health(redis_configured=False, processes=2)
    one.assign([("events", 0)])
    one.snapshot_taken()
    other.polled(*poll(REJECTED_OVER, REJECTED_OVER))
    caplog.clear()
    one.hear(1, other.report())
    one.polled(*poll(1, 0))
    assert one.read().problems == ("100% of the last 10001 records were rejected",)
    other.polled(*poll(REJECTED_OVER, 0))
    one.hear(1, other.report())
    one.polled(*poll(1, 0))
    assert one.read().ready
    assert caplog.messages == ["Most records are accepted again."]  # by the other


def test_at_the_last_snapshot_nothing_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    health, _ = healthy()
    health.polled(*poll(12, 12))
    health.snapshot_taken(accounts(consumed=12, rejected__missing_field=12), final=True)
    assert len(caplog.messages) == 1


def test_a_bad_record_after_a_restart_is_no_topic_that_is_rejected_whole(caplog: pytest.LogCaptureFixture) -> None:
    health, _ = healthy()
    health.caught_up()
    health.polled(*poll(1, 1))
    for _ in range(3):
        health.snapshot_taken(accounts(consumed=501, accepted=500, rejected__missing_field=1))
    assert health.read().ready
    assert caplog.messages == []


def test_a_partition_that_is_taken_away_takes_its_lag_along() -> None:
    health, _ = healthy()
    health.assign([("events", 0), ("events", 1)])
    health.lags("events", 0, 5)
    health.lags("events", 1, 7)
    health.assign([("events", 1)])
    assert health.read().lag_messages == {("events", 1): 7}


def test_what_waits_for_a_transaction_is_told_and_is_no_problem() -> None:
    health, _ = healthy()
    health.assign([("events", 0), ("events", 1)])
    health.open_transactions("events", {1: (40, 12.4)})
    assert health.read().waits == (
        "topic events partition 1: 40 records wait for the end of a transaction, for 12 s so far",
    )
    assert health.read().ready
    health.open_transactions("events", {})
    assert health.read().waits == ()


def test_what_holds_the_stream_clock_is_told_once_it_lasts_and_is_no_problem() -> None:
    health, _ = healthy()
    health.assign([("events", 0), ("events", 1), ("events", 2)])
    health.open_transactions("events", {1: (40, 12.4)})
    grace = "Kafka was away, for 5 s"
    holds = {0: ("grace", 5.0, grace), 1: ("transaction", 12.4, "open"), 2: ("reading", 0.2, "not yet read to its end")}
    health.clock_holds("events", holds)
    assert health.read().waits == (
        "topic events partition 1: 40 records wait for the end of a transaction, for 12 s so far",
        f"topic events partition 0 holds the stream clock: {grace}",
    )
    assert health.read().ready
    assert health.read().clock_holds["events", 2].reason == "reading"
    health.clock_holds("events", {})
    assert health.read().clock_holds == {}


def test_publish_times_fall_into_the_bucket_whose_bound_holds_them() -> None:
    health = Health(redis_configured=True)
    for seconds in (0.0, 0.001, 0.0011, 1.0, 1.1):
        health.published(seconds)
    reading = health.read()
    assert reading.publish_seconds_buckets == (2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1)
    assert reading.publish_seconds_sum == pytest.approx(2.1021)


def test_a_checkpoint_is_remembered_with_its_time_and_duration() -> None:
    health, _ = healthy()
    assert health.read().checkpoint_at is None
    health.checkpointed(0.25)
    assert (health.read().checkpoint_at, health.read().checkpoint_seconds) == (5e8, 0.25)


def test_a_reading_does_not_change_afterwards() -> None:
    health, _ = healthy()
    health.lags("events", 0, 1)
    before = health.read()
    health.lags("events", 0, 2)
    health.published(1.0)
    assert before.lag_messages == {("events", 0): 1}
    assert sum(before.publish_seconds_buckets) == 1


def test_no_write_of_any_thread_is_lost() -> None:
    health = Health(redis_configured=True)

    def fail() -> None:
        for _ in range(2000):
            health.publish_failed(reachable=True)

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.read().publish_failures == 8000
