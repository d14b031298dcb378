"""The comparison with other engines: its task, its verdicts, its page; and that the hand-written loop is right."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from deploy.bench import stream
from deploy.bench.freshness import Batch
from deploy.bench.laboratory import RETENTION
from deploy.bench.peers import catalogue, compare, environments, page, runs, task
from deploy.bench.peers.fields import flink_fields, hours_of_minutes, windows_of_panes
from deploy.bench.peers.result import CatchUp, Failed, Result, Steady, Verdict
from deploy.bench.peers.runs import ages_ms
from deploy.bench.peers.task import CELLS, Faulty, Truth, errors, truth
from flows.audit import Record, parse, recompute
from tests.services import DEADLINE_SECONDS, ROOT, KafkaBroker, RedisServer, wait_until
from tests.test_architecture import tracked

EVENTS = 3_000
EVERY_FAULT = frozenset({"disorder", "late", "duplicates", "broken"})
PAGE = ROOT / "deploy" / "bench" / "PEERS.md"
RESULTS = ROOT / "deploy" / "bench" / "peers" / "results.json"


def faulty(*faults: str) -> Faulty:
    return Faulty(150, 6, 0.7, faults=frozenset(faults))  # a seed with broken records among the first EVENTS


@pytest.fixture(scope="module")
def right() -> Truth:
    return truth(faulty(*EVERY_FAULT).records(EVENTS))


def as_it_stands(right: Truth) -> dict[str, str]:
    return {cell: str(right.arrived.cells[cell]) for cell in CELLS}


def by_window_end(right: Truth) -> dict[str, str]:
    fields = {}
    for cell in CELLS:
        result = right.arrived if cell in task.ARRIVAL else right.arrived_at_window_end
        end = task.window_end(right.now_ms, task.WINDOWS_MS[cell.rpartition(".")[2]])
        fields[f"{cell}@{end}"] = str(result.cells[cell])
    return fields


def faults_in(records: Sequence[Record]) -> set[str]:
    """By the accounts of the reference."""
    found = set()
    for accounts in recompute(records, task.config()).accounting.values():
        found |= {name.partition(".")[0] for name, count in accounts.items() if count}
    return found & {"late", "duplicate", "rejected"}


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        ((), set()),
        (("disorder",), set()),
        (("disorder", "late"), {"late"}),
        (("disorder", "duplicates"), {"duplicate"}),
        (("disorder", "broken"), {"rejected"}),
    ],
)
def test_a_story_tells_of_one_fault(faults: tuple[str, ...], found: set[str]) -> None:
    records = faulty(*faults).records(EVENTS)
    assert faults_in(records) == found
    times = [event.ts for event in (parse.parse(record, task.config()) for record in records) if hasattr(event, "ts")]
    assert (times == sorted(times)) == (not faults)


def test_right_numbers_are_right_in_either_form(right: Truth) -> None:
    assert errors(as_it_stands(right), CELLS, right) == []
    assert errors(by_window_end(right), CELLS, right) == []


def test_counting_late_events_is_right_too(right: Truth) -> None:
    fields = {cell: str(right.sorted.cells[cell]) for cell in CELLS}
    assert fields != as_it_stands(right)
    assert errors(fields, CELLS, right) == []


def test_a_wrong_number_and_a_missing_one_are_errors(right: Truth) -> None:
    fields = as_it_stands(right)
    events, users = int(fields["events.1h"]), int(fields["active_users.1h"])
    fields["events.1h"] = str(events * 2)
    del fields["active_users.1h"]
    found = errors(fields, CELLS, right)
    assert [(error.cell, error.found, error.right, error.share) for error in found] == [
        ("events.1h", events * 2, events, 1.0),
        ("active_users.1h", None, users, 1.0),
    ]


def test_the_window_under_way_is_the_one_that_is_compared(right: Truth) -> None:
    fields = by_window_end(right)
    end = task.window_end(right.now_ms, task.WINDOWS_MS["1h"])
    fields[f"events.1h@{end - 60_000}"], fields[f"events.1h@{end + 60_000}"] = "0", "0"
    assert errors(fields, CELLS, right) == []
    fields[f"events.1h@{end}"] = "0"
    assert [error.cell for error in errors(fields, CELLS, right)] == ["events.1h"]


def test_panes_of_partitions_add_up_to_windows() -> None:
    fields = {"events.5m@5000/0": "1", "events.5m@5000/1": "2", "events.5m@300000/0": "4", "events.5m@305000/0": "8"}
    windows = windows_of_panes(fields)
    assert [windows[f"events.5m@{end}"] for end in (5_000, 10_000, 300_000, 305_000)] == ["3", "3", "7", "12"]


def test_minutes_add_up_to_hours() -> None:
    fields = {"sessions.closed.1m@60000": "1", "sessions.closed.1m@3600000": "2", "sessions.closed.1m@3660000": "4"}
    hours = hours_of_minutes(fields | {"events.5m@5000": "9"})
    ends = [hours[f"sessions.closed.1h@{end}"] for end in (60_000, 3_600_000, 3_660_000)]
    assert ends == ["1", "3", "6"]
    assert hours["events.5m@5000"] == "9"


def test_rows_of_flink_become_fields_and_the_last_one_counts() -> None:
    row = b'{"cell":"traffic.5m","window_end":"1970-01-01 00:05:00","number":%d,"other":2}'
    assert flink_fields([row % 1, row % 3]) == {"events.5m@300000": "3", "active_users.5m@300000": "2"}


def test_the_age_of_a_number_counts_from_when_its_last_event_was_due() -> None:
    due = [Batch(1_000, (2, 1)), Batch(1_020, (4, 2)), Batch(1_040, (6, 3))]
    assert ages_ms(due, [(1_010.0, 0), (1_300.0, 5), (1_500.0, 6)]) == [300.0, 480.0, float("inf")]


MEASURED = [
    Result(
        "tidegauge",
        "Tidegauge",
        "tidegauge 1",
        10,
        None,
        CatchUp(1, 2, 1_000.0, 2_000.0, 10),
        Steady(2_000.0, 300.0, 600.0, 200_000_000),
        {"late": Verdict(10, 0, 0.0), "killed": Verdict(10, 0, 0.0)},
    ),
    Result(
        "slow",
        "Slow",
        "slow 2, part 3",
        6,
        None,
        CatchUp(1, 2, 12_345.0, 20_000.0, 10),
        Steady(500.0, 12_000.0, None, 900_000_000),
        {"late": Verdict(6, 2, 0.031), "killed": Failed("it ended with code 1")},
        {"funnel": "it knows no order"},
    ),
    Result("absent", "Absent", "", 4, unavailable="there is no java on PATH"),
]
OPTIONS = {"rate": 2_000.0, "seconds": 30.0, "users": 10_000, "events": 20_000}


def test_the_table_tells_costs_as_multiples_and_failures_by_name() -> None:
    head, *rows = page.rows(MEASURED)
    assert head[0] == "peer"
    assert head[-2:] == ["late", "killed"]
    assert rows == [
        ["Tidegauge", "10 of 10", "1,000,000", "1 x", "1 x", "0.30 s", "0.60 s", "200 MB", "right", "right"],
        ["Slow", "6 of 10", "81,000", "12 x", "10 x", "12 s", "never", "900 MB", "2 wrong, by up to 3.1 %", "failed"],
        ["Absent", "cannot be had here", *[""] * 8],
    ]
    text = page.markdown(MEASURED, OPTIONS)
    assert "* Slow, killed: failed, it ended with code 1" in text
    assert "* Slow cannot give funnel: it knows no order." in text
    assert "* Absent cannot be had here: there is no java on PATH" in text


def test_results_survive_their_file(tmp_path: Path) -> None:
    page.write_json(tmp_path / "results.json", MEASURED, {"options": OPTIONS})
    assert page.read_json(tmp_path / "results.json") == (MEASURED, OPTIONS)


def test_the_page_shows_what_the_results_say() -> None:
    results, options = page.read_json(RESULTS) if RESULTS.exists() else ([], {})
    cannot = {peer.name: peer.cannot for peer in catalogue.PEERS}
    assert {result.name: result.cannot for result in results}.items() <= cannot.items()
    text = PAGE.read_text()
    assert text == page.with_table(text, results, options), "PEERS.md is stale: run `make bench-peers`"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no line"):
        page.with_table("nothing", MEASURED, OPTIONS)


def test_every_package_of_a_peer_is_pinned_by_hash_and_names_no_registry() -> None:
    pins = sorted(environments.REQUIREMENTS.glob("*.txt"))
    assert [file.stem for file in pins] == ["bytewax", "clickhouse", "handwritten", "pathway", "quix"]
    for file in pins:
        text = file.read_text()
        assert "--index-url" not in text
        assert "://" not in text
        blocks = [
            block for block in text.replace("\\\n", " ").splitlines() if block and not block.lstrip().startswith("#")
        ]
        assert all("==" in block and "--hash=sha256:" in block for block in blocks), file.name


HANDWRITTEN = catalogue.PROGRAMS / "handwritten.py"


def start(servers: str, topic: str, redis_url: str, state: Path, mode: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(HANDWRITTEN), servers, topic, redis_url, str(state), mode])


def test_the_hand_written_loop_is_right_whatever_comes_and_after_a_kill(
    kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Half of the topic is read and saved; then it is killed in the other half, and goes on from what it had saved."""
    of = faulty(*EVERY_FAULT)
    topic = kafka.create_topic(of.partitions, RETENTION)
    to = (kafka.bootstrap_servers, topic, redis_server.url, tmp_path / "state")
    stream.send(kafka.bootstrap_servers, topic, of, 0, EVENTS // 2)
    assert start(*to, "end").wait(DEADLINE_SECONDS) == 0
    stream.send(kafka.bootstrap_servers, topic, of, EVENTS // 2, EVENTS)
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        run = start(*to, "on")
        wait_until(lambda: bool(client.exists("peers")), "numbers of the second half")
        run.kill()
        assert run.wait(DEADLINE_SECONDS) == -signal.SIGKILL
        client.flushall()
        assert start(*to, "end").wait(DEADLINE_SECONDS) == 0
        fields = {name.decode(): value.decode() for name, value in client.hgetall("peers").items()}
    right = truth(task.records_of(kafka.bootstrap_servers, topic))  # of halves: a copy may be in the other one
    assert errors(fields, CELLS, right) == []


def test_a_comparison_runs_and_writes_its_results(
    kafka: KafkaBroker,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The hand-written loop in this environment, which has what it needs, for no other has to be installed."""
    monkeypatch.setattr(environments, "python", lambda _name: Path(sys.executable))
    monkeypatch.setattr(runs, "running_kafka", lambda: contextlib.nullcontext(kafka))
    monkeypatch.setattr(runs, "QUIET_SECONDS", 120.0)  # it ends when all is seen, however slow the machine is
    results, written = tmp_path / "results.json", tmp_path / "PEERS.md"
    written.write_text(f"# Peers\n{page.BEGIN}\n{page.END}\nend\n")
    options = ["--quick", "--peers", "handwritten", "--share", "0.01", "--users", "200", "--events", "1000"]
    options += [
        "--only",
        "catch-up",
        "steady",
        "stories",
        "--seconds",
        "2",
        "--json",
        str(results),
        "--page",
        str(written),
    ]
    assert compare.main(options) == 0
    (found,), measured_with = page.read_json(results)
    assert found.is_right, found
    assert isinstance(found.steady, Steady)
    assert found.steady.p99_ms is not None
    assert set(found.stories) == {"late"}
    assert "Hand-written loop" in capsys.readouterr().out
    assert written.read_text() == page.with_table(f"# Peers\n{page.BEGIN}\n{page.END}\nend\n", [found], measured_with)


def test_all_programs_of_peers_are_part_of_the_project() -> None:
    named = {peer.name for peer in catalogue.PEERS}
    assert len(named) == len(catalogue.PEERS) == 7
    programs = {file.stem for file in tracked() if file.parent == catalogue.PROGRAMS}
    assert programs == {"handwritten", "bytewax_windows", "quix", "pathway_tables", "clickhouse"}
