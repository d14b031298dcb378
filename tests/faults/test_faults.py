"""The short form of the suite: a few dense histories on one stage; `make faults` is the long one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from tests.faults.campaign import faults_of, play
from tests.faults.faults import FAULTS, FAULTS_OF_BROKERS, Fault
from tests.faults.report import Outcome, table
from tests.faults.stage import Stage

DENSE = (
    ("run killed during a checkpoint", "way to Kafka: black hole", "run frozen and replaced"),
    ("Redis killed, back empty", "run killed after a publish", "saved offset deleted"),
    ("disk full", "second run on the same folder", "run frozen, then told to stop"),
)


@pytest.mark.parametrize("faults", DENSE, ids=", then ".join)
def test_after_every_fault_the_numbers_are_those_of_the_reference(stage: Stage, faults: Sequence[str]) -> None:
    outcomes = play(stage, DENSE.index(tuple(faults)), faults)
    assert [(one.fault, one.wrong) for one in outcomes if one.wrong] == []


@pytest.mark.parametrize("faults", [FAULTS, FAULTS_OF_BROKERS], ids=["one broker", "three brokers"])
def test_every_fault_comes_as_often_as_any_other(faults: Mapping[str, Fault]) -> None:
    times = Counter(fault for seed in range(len(faults)) for fault in faults_of(seed, faults))
    assert set(times) == set(faults)
    assert len(set(times.values())) == 1


def test_the_table_says_how_often_how_long_and_what_was_wrong() -> None:
    outcomes = [Outcome(seed, "run killed", float(seed), (), 200 + seed) for seed in range(1, 101)]
    outcomes.append(Outcome(7, "Redis flushed", 0.25, ("one cell differs",), 190))
    assert table(outcomes).splitlines() == [
        "fault          times  recovery p50   p99   differences",
        "Redis flushed      1        0.25 s   0.25 s         1",
        "run killed       100       50.00 s  99.00 s         0",
        "101 faults, 1 differences, at most 300 MB of memory in a run",
    ]
