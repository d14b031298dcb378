"""What is known of Kafka decides when elapsed time counts; metadata and answers are given by hand here."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from flows.messages.columns import NO_TIME
from flows.source.outages import Outages, Reason
from flows.source.questions import Keepers

ALL = frozenset({1, 2, 3})
WAIT_MS = 45_000
NOON = 1_700_000_000_000


class Cluster:
    """Two partitions of three replicas, a hand-driven clock, and what their brokers say, once a second."""

    def __init__(self, *, wait_ms: int = WAIT_MS, leaders: tuple[int, int] = (1, 2)) -> None:
        self.now_ms = 1_000_000
        self.outages = Outages(wait_ms, lambda: self.now_ms / 1000, min_in_sync=2)
        self.keepers = {n: Keepers(leader, ALL, ALL) for n, leader in enumerate(leaders)}
        self.answering = set(ALL)  # brokers
        self.describes = True
        self.beyond: set[int] = set()  # partitions whose newest record readers may not see
        self.empty: set[int] = set()
        self.silent: set[int] = set()  # partitions
        self.high = {0: 10, 1: 10}
        self.outages.add(self.keepers)

    def keep(self, partition: int, leader: int, in_sync: Iterable[int] = ALL) -> None:
        self.keepers[partition] = Keepers(leader, frozenset(in_sync), ALL)

    def second(self, count: int = 1) -> Cluster:
        for _ in range(count):
            self.now_ms += 1_000
            if self.describes:
                self.outages.described(self.keepers)
            for partition, keepers in self.keepers.items():
                if keepers.leader in self.answering:
                    self.outages.shows(partition, any_record=partition not in self.empty)
                    unseen = partition in self.beyond or partition in self.empty
                    self.outages.told(partition, newest=not unseen, high=self.high[partition])
            self.outages.heard(frozenset(self.silent))
            self.outages.look()
        return self

    def reads(self, partition: int, offset: int, clock_ms: int) -> None:
        self.outages.reads(partition, offset, clock_ms)
        self.outages.look()

    @property
    def reasons(self) -> dict[int, Reason]:
        holds = {partition: self.outages.hold(partition) for partition in self.keepers}
        return {partition: hold.reason for partition, hold in holds.items() if hold is not None}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster().second(3)


def test_a_cluster_that_is_well_holds_nothing_from_its_first_second(cluster: Cluster) -> None:
    assert Cluster().second().reasons == {}
    assert cluster.second(1_000).reasons == {}


def test_a_run_that_starts_waits_until_leaders_have_answered_once() -> None:
    cluster = Cluster()
    cluster.outages.look()
    assert cluster.reasons == {0: "unchecked", 1: "unchecked"}  # others may be in the middle of an outage
    cluster.outages.described(cluster.keepers)
    cluster.outages.look()
    assert cluster.reasons == {0: "unchecked", 1: "unchecked"}  # what they keep may be held by a hung follower
    cluster.outages.told(0, newest=True, high=10)
    cluster.outages.told(1, newest=False, high=10)
    cluster.outages.look()
    assert cluster.reasons == {1: "unchecked"}
    cluster.outages.shows(1, any_record=False)
    cluster.outages.look()
    assert cluster.reasons == {}


def test_a_run_that_had_to_wait_for_the_cluster_has_its_grace() -> None:
    cluster = Cluster()
    cluster.outages.add([0, 1], after_outage=True)
    assert cluster.second(WAIT_MS // 1000 - 1).reasons == {0: "grace", 1: "grace"}
    assert cluster.second().reasons == {}


def test_a_run_that_starts_while_a_follower_hangs_lags_until_it_hangs_no_more() -> None:
    cluster = Cluster()
    cluster.beyond = {0, 1}
    assert cluster.second().reasons == {0: "unchecked", 1: "unchecked"}
    assert cluster.second(20).reasons == {0: "withheld", 1: "withheld"}
    cluster.beyond = set()
    assert cluster.second().reasons == {0: "grace", 1: "grace"}


def test_a_run_that_starts_on_a_busy_topic_waits_for_two_answers() -> None:
    cluster = Cluster()
    cluster.beyond = {0, 1}
    assert cluster.second().reasons == {0: "unchecked", 1: "unchecked"}
    cluster.high = {0: 11, 1: 11}
    assert cluster.second().reasons == {}


def test_a_partition_without_a_leader_lags_and_then_has_its_grace(cluster: Cluster) -> None:
    cluster.keep(0, -1, ())
    assert cluster.second(20).reasons == {0: "no_leader"}
    cluster.keep(0, 2, (2, 3))
    assert cluster.second(WAIT_MS // 1000).reasons == {0: "grace"}
    assert cluster.second().reasons == {}


def test_a_leader_that_is_silent_where_it_is_read_lags_and_then_has_its_grace(cluster: Cluster) -> None:
    cluster.silent = {1}
    assert cluster.second(9).reasons == {1: "silent"}
    cluster.silent = set()
    assert cluster.second(WAIT_MS // 1000).reasons == {1: "grace"}
    assert cluster.second(2).reasons == {}


def test_a_leader_that_answers_nothing_is_noticed_where_another_replica_is_read(cluster: Cluster) -> None:
    cluster.answering = {2, 3}  # the metadata go on naming it until its session has ended
    assert cluster.second(2).reasons == {}
    assert cluster.second().reasons == {0: "no_answer"}
    cluster.keep(0, 3, (2, 3))
    assert cluster.second().reasons == {0: "grace"}


def test_fewer_in_sync_replicas_than_writers_need_hold_for_as_long_as_that_lasts(cluster: Cluster) -> None:
    cluster.keep(0, 1, (1,))
    assert cluster.second(7_200).reasons == {0: "few_in_sync"}


def test_a_set_that_stays_shrunk_has_its_grace_once(cluster: Cluster) -> None:
    cluster.keep(0, 1, (1, 2))
    assert cluster.second().reasons == {0: "grace"}
    assert cluster.second(WAIT_MS // 1000).reasons == {}
    assert cluster.second(7_200).reasons == {}
    cluster.keep(0, 1)
    assert cluster.second().reasons == {0: "grace"}  # it is whole again: leaders may move


def test_a_set_that_is_found_shrunk_at_the_start_has_its_grace() -> None:
    cluster = Cluster()
    cluster.keep(0, 1, (1, 2))
    assert cluster.second().reasons == {0: "grace"}
    assert cluster.second(WAIT_MS // 1000).reasons == {}


def test_a_topic_with_fewer_replicas_than_writers_are_told_to_ask_for_is_not_held() -> None:
    cluster = Cluster()
    cluster.keepers = {n: Keepers(1, frozenset({1}), frozenset({1})) for n in (0, 1)}
    assert cluster.second(10).reasons == {}


def test_a_high_watermark_that_a_hung_follower_holds_lags_with_all_partitions_of_that_leader() -> None:
    cluster = Cluster(leaders=(1, 1)).second(3)
    cluster.beyond = {0}
    assert cluster.second().reasons == {}  # it may be on its way
    assert cluster.second().reasons == {0: "withheld", 1: "withheld"}  # producers wait with all they have for broker 1
    assert cluster.second(25).reasons == {0: "withheld", 1: "withheld"}
    cluster.keep(0, 1, (1, 2))  # it is out of sync
    cluster.beyond = set()
    assert cluster.second().reasons == {0: "grace", 1: "grace"}


def test_a_high_watermark_that_moves_holds_nothing_though_the_log_is_always_further(cluster: Cluster) -> None:
    cluster.beyond = {0, 1}
    for _ in range(30):
        cluster.high = {n: high + 1 for n, high in cluster.high.items()}
        assert cluster.second().reasons == {}


def test_an_empty_partition_has_no_newest_record_and_is_not_held(cluster: Cluster) -> None:
    cluster.empty = {1}  # retention has deleted all of it
    assert cluster.second(100).reasons == {}


def test_a_broker_that_never_tells_a_newest_record_is_believed_for_minutes_only(cluster: Cluster) -> None:
    cluster.beyond = {0}
    assert cluster.second(299).reasons == {0: "withheld"}
    assert cluster.second(60).reasons == {}


def test_grace_begins_anew_with_every_record_from_before_the_end(cluster: Cluster) -> None:
    cluster.reads(1, 100, NOON)
    cluster.keep(0, -1, ())
    cluster.second(20)
    cluster.keep(0, 2)
    cluster.second()  # it is NOON + 21 s now
    for number in range(300 // 40):
        cluster.second(40).reads(0, number, NOON + number * 1_000)
        assert cluster.reasons == {0: "grace"}
    assert cluster.second(300 % 40).reasons == {}  # after five minutes: no producer keeps an event longer


def test_records_of_later_do_not_make_the_grace_longer(cluster: Cluster) -> None:
    cluster.reads(1, 100, NOON)
    cluster.keep(0, -1, ())
    cluster.second(20)
    cluster.keep(0, 2)
    for second in range(WAIT_MS // 1000):
        cluster.second().reads(0, second, NOON + 22_000 + second * 1_000)
    assert cluster.second().reasons == {}


def test_records_that_come_when_all_is_well_hold_nothing_however_old(cluster: Cluster) -> None:
    cluster.reads(1, 100, NOON)
    cluster.second()
    cluster.reads(0, 1, NOON - 86_400_000)
    assert cluster.second().reasons == {}


def test_a_stall_of_this_process_is_no_outage(cluster: Cluster) -> None:
    cluster.now_ms += 3_600_000
    cluster.silent = {0, 1}  # so it seems at first: nobody has listened
    cluster.outages.woke()
    cluster.outages.heard(frozenset({0, 1}))
    cluster.outages.look()
    assert cluster.reasons == {}
    cluster.silent = set()
    assert cluster.second(5).reasons == {}


def test_without_news_of_leaders_and_replicas_a_partition_lags_and_needs_no_grace(cluster: Cluster) -> None:
    cluster.describes = False
    assert cluster.second(10).reasons == {}
    assert cluster.second().reasons == {0: "unchecked", 1: "unchecked"}
    cluster.describes = True
    assert cluster.second().reasons == {}


def test_a_kafka_that_says_nothing_of_leaders_holds_nothing() -> None:
    cluster = Cluster()
    cluster.describes, cluster.answering = False, set()
    cluster.outages.undescribed()
    assert cluster.second(100).reasons == {}


def test_without_a_wait_there_is_no_grace() -> None:
    cluster = Cluster(wait_ms=0).second()
    cluster.keep(0, -1, ())
    assert cluster.second().reasons == {0: "no_leader"}
    cluster.keep(0, 2)
    assert cluster.second().reasons == {}


def test_before_the_first_event_there_is_nothing_to_be_older_than() -> None:
    cluster = Cluster()
    cluster.reads(0, 0, NO_TIME)
    cluster.keep(0, 1, (1, 2))
    cluster.second()
    cluster.reads(0, 1, NOON)
    assert cluster.second(WAIT_MS // 1000).reasons == {}
