"""The past is lived through up to the start, and counted by another process while it is written."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from flows.checkpoint.folder import CheckpointFolder
from flows.config.limits import Limits
from flows.config.model import Config
from flows.demo.journal import Entry, Follower, Journal
from flows.demo.past import Counting, live_through
from flows.demo.sent import Sent
from flows.demo.simulator import Record, Simulator
from flows.metrics.parts import definitions

START_MS = 1_790_000_000_000
CONFIG = Config(product="shop")


class Kept:
    """A witness that has it all."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(record)


def simulator() -> Simulator:
    return Simulator(CONFIG, start_ms=START_MS, rate=100, partitions=2, days=0.005)


def test_the_past_ends_before_the_first_record_after_the_start() -> None:
    kept = Kept()
    reached: list[int] = []
    live = live_through(simulator().records(), START_MS, kept, reached.append)
    found = [*kept.records, *itertools.islice(live, 100)]
    assert found == list(itertools.islice(simulator().records(), len(found)))
    assert kept.records[-1].arrival_ms <= START_MS < found[len(kept.records)].arrival_ms
    assert reached == sorted(reached) != []


def test_whoever_follows_a_journal_gets_what_is_written_and_is_told_where_the_history_ends(tmp_path: Path) -> None:
    entries = [Entry(b"{}", 0, 5, 7), Entry(None, 1, 6, 8)]
    journal = Journal(tmp_path / "sent", CONFIG, Limits())
    with Follower(journal.file) as follower:
        assert (follower.config, follower.limits) == (CONFIG, Limits())
        assert list(follower.written()) == []
        journal.write(entries[:1])
        journal.end_history()
        assert list(follower.written()) == [entries[:1], None]
        journal.write(entries[1:])
        assert list(follower.written()) == [entries[1:]]
    half = journal.file.read_bytes()[:-1]
    (tmp_path / "half").write_bytes(half)
    with Follower(tmp_path / "half") as follower:  # what is not yet written whole waits
        assert list(follower.written()) == [entries[:1], None]
    journal.close()


def test_a_process_counts_it_into_a_state_that_a_run_can_go_on_from(tmp_path: Path) -> None:
    state, told = tmp_path / "state", list[str]()
    with (
        Sent(CONFIG, Limits(), tmp_path) as sent,
        Counting(sent.journal.file, state, "events", 2, START_MS) as counting,
    ):
        live_through(simulator().records(), START_MS, sent, lambda reached_ms: None)
        sent.history_ends()
        counting.finish(told.append)
    assert "the past is being counted: 20,000 records ..." in told
    with CheckpointFolder(state, definitions(CONFIG)) as folder:
        assert folder.resumed


def test_one_that_cannot_count_says_why(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    journal = Journal(tmp_path / "sent", CONFIG, Limits())
    journal.end_history()
    with (
        Counting(journal.file, tmp_path / "state", "events", 1, START_MS) as counting,
        pytest.raises(RuntimeError, match=r"exit code 1:\n(.*\n)*.*state"),
    ):
        counting.finish(lambda line: None)
    journal.close()


def test_one_whose_parent_is_no_more_ends(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "sent", CONFIG, Limits())
    with Counting(journal.file, tmp_path / "state", "events", 1, START_MS) as counting:
        counting.questions.close()
        counting.wait()
    journal.close()
