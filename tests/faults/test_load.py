"""The load keeps what it promises; else a difference would tell nothing of the job."""

from __future__ import annotations

import pytest

from flows.audit import Event, Record
from flows.audit.clock import judge, lateness_limits, stream_clock_after_each, which_are_copies
from flows.audit.parse import parse
from tests.faults.load import CONFIG, MINUTE, Load

STEPS = 400


def sent_by(seed: int) -> list[Record]:
    load = Load(seed, partitions=1 + seed % 3)
    records: list[Record] = []
    offsets = [0] * load.partitions
    for _ in range(STEPS):
        for sent in load.step():
            records.append(Record(sent.value, sent.partition, offsets[sent.partition], sent.timestamp_ms))
            offsets[sent.partition] += 1
    return records


@pytest.mark.parametrize("seed", [0, 1, 2, 18])
def test_what_is_in_time_and_what_is_late_is_so_by_minutes(seed: int) -> None:
    """Whatever time passes while the way to Kafka is cut, nobody can disagree."""
    records = sent_by(seed)
    readings = [parse(record, CONFIG) for record in records]
    clocks = stream_clock_after_each(records, readings)
    limits = lateness_limits(readings, clocks, CONFIG.lateness)
    copies = which_are_copies(readings, clocks, CONFIG.dedup_horizon)
    margins = [
        reading.ts - limit
        for reading, limit, copy in zip(readings, limits, copies, strict=True)
        if isinstance(reading, Event) and limit is not None and not copy
    ]
    assert min(margin for margin in margins if margin >= 0) > 3 * MINUTE
    assert max(margin for margin in margins if margin < 0) < -3 * MINUTE


@pytest.mark.parametrize("seed", [0, 1, 2, 18, 19])
def test_which_late_events_are_in_order_is_so_by_minutes(seed: int) -> None:
    """A clock that is minutes ahead or behind finds the same ones."""
    records = sent_by(seed)
    readings = [parse(record, CONFIG) for record in records]
    found = [
        judge(records, readings, CONFIG.model_copy(update={"lateness": CONFIG.lateness + shift}), None).accounting
        for shift in (-2 * MINUTE, 0, 3 * MINUTE)
    ]
    assert found[0] == found[1] == found[2]
    accounts = found[1][0]
    assert accounts["late_in_order"] > 5
    assert accounts["late_out_of_order"] > 5
