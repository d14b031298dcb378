from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.bench import everything, families, measures, page
from deploy.bench.everything import EVERY_OPTION, EVERYTHING, PARTS, SMALLEST
from deploy.bench.families import Growth, Held
from deploy.bench.laboratory import Laboratory, Topic
from deploy.bench.processes import Cost
from deploy.bench.rich_stream import RichStream
from deploy.bench.stream import Stream
from deploy.bench.table import Row, write_json
from flows.audit.comparison import Compared
from flows.config.model import Config
from tests.services import KafkaServer, RedisServer

TODAY_NS, SMALLEST_NS, BARE_NS = 1_500, 1_000, 1_200
"""CPU of an event in the pretended laboratory."""
USER_BYTES, PART_BYTES = 100, 7
"""State of a user there, and what every part adds."""
FIXED_BYTES = 1_000_000


class PretendedTopic:
    """A topic without Kafka."""

    def __init__(self, laboratory: object, stream: Stream) -> None:
        self.stream = stream
        self.events = 0

    def grow(self, events: int) -> None:
        """Nothing is sent."""
        self.events = events


class PretendedLaboratory:
    """Runs that cost what the number of a config's place says, and nothing in fact."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._configs = list(families.configs().values())
        self._known = 0

    def file_of(self, config: Config) -> Path:
        """Its place."""
        return Path(str(self._configs.index(config)))

    def warm_up(self, topic: PretendedTopic, config: Path) -> None:
        """Nothing needs to be compiled."""

    def loop(self, mode: str, topic: PretendedTopic) -> Cost:
        """The yardstick."""
        return Cost(3.0 + topic.events * BARE_NS / 1e9, 1.0, 1)

    def catch_up(self, topic: PretendedTopic, report: Path | None = None, config: Path | None = None) -> Cost:
        """A second for the start, and each event as much more as the config's place says."""
        place = 0 if config is None else int(config.name)
        self._known = topic.stream.users
        arrays = {"users/hashes": USER_BYTES * self._known, "goal.signup.seen/slots": place * PART_BYTES * self._known}
        arrays["header"] = FIXED_BYTES * (place + 1)
        if report:
            told = {"array_bytes": arrays, "checkpoint_bytes": [1, sum(arrays.values())], "stage_ns": {"decode": 5e6}}
            report.write_text(json.dumps(told | {"process_ns": 1e7, "librdkafka_ns": 1e6}))
        ns = TODAY_NS if config is None else SMALLEST_NS + 10 * place
        return Cost(1.0 + place + topic.events * ns / 1e9, 1.0, 500_000_000 + 1_000_000 * place)

    def live(self) -> dict[str, str]:
        """What is asked of it."""
        return {"users.known": str(self._known)}


def rows(monkeypatch: pytest.MonkeyPatch, folder: Path, family_users: list[int]) -> list[Row]:
    for module in (families, measures):
        monkeypatch.setattr(module, "Topic", PretendedTopic)
    options = argparse.Namespace(
        users=100, seed=1, rate=500.0, smaller=1_000, events=3_000, repeats=2, family_users=family_users
    )
    return families.costs(cast(Laboratory, PretendedLaboratory(folder)), options)


def value(found: list[Row], section: str, name: str) -> float:
    return next(row.value for row in found if section in row.section and row.name == name)


def test_a_family_costs_what_it_adds_to_the_smallest_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = rows(monkeypatch, tmp_path, [1_000, 10_000])
    assert value(found, "smallest config, 100 users, 3,000 events: CPU", "the smallest config") == pytest.approx(1_000)
    assert value(found, "beyond 1,000", "the smallest config") == pytest.approx(100)
    for place, name in enumerate(PARTS, 1):
        assert value(found, ": CPU", name) == pytest.approx(10 * place)
        assert value(found, "state per user beyond 1,000", name) == pytest.approx(PART_BYTES * place)
        assert value(found, "peak memory, 10,000 users", name) == pytest.approx(place)


def test_everything_stands_beside_the_bare_loop_and_todays_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = rows(monkeypatch, tmp_path, [1_000, 1_000_000])
    cpu = SMALLEST_NS + 10 * (len(PARTS) + 1)
    section = "everything beside today's config"
    assert value(found, section, "everything: events per second and core") == pytest.approx(1e9 / cpu)
    assert value(found, section, "everything: ratio to the bare consume loop") == pytest.approx(cpu / BARE_NS)
    assert value(found, section, "everything: ratio to today's config") == pytest.approx(cpu / TODAY_NS)
    state = USER_BYTES + PART_BYTES * (len(PARTS) + 1)
    assert value(found, "1,000,000 known users", "everything: state per user beyond the first") == pytest.approx(state)
    asked = {row.name: row.verdict for row in found if row.asked.text()}
    assert asked == {
        "everything: events per second and core": "met",
        "everything: ratio to the bare consume loop": "dream",
        "everything: state per known user": "MISSED" if state + FIXED_BYTES * (len(PARTS) + 2) / 1e6 > 260 else "met",
        "everything: state per user beyond the first": "met",
        "everything: peak memory": "met",
    }


def test_of_few_users_no_state_is_asked_that_holds_for_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = rows(monkeypatch, tmp_path, [1_000, 10_000])
    asked = [row.name for row in found if row.asked.text()]
    assert "everything: state per known user" not in asked
    assert "everything: peak memory" not in asked
    assert "everything: state per user beyond the first" in asked


def test_where_the_bytes_are_is_said_by_family_and_adds_up() -> None:
    few = Held(100, {"users/hashes": 1_000, "goal.signup.seen/slots": 10, "survey.nps.days/x": 5, "header": 50}, 0)
    many = Held(
        200, {"users/hashes": 2_800, "goal.signup.seen/slots": 410, "goal.purchase.seen/a": 100, "header": 50}, 0
    )
    found = families.by_place(Growth(few, many), everything.everything())
    whole = [row for row in found if "containers" not in row.section]
    assert [(row.name, row.value) for row in whole] == [
        ("all families: users", 18.0),
        ("goal", 5.0),
        ("survey", -0.05),
    ]
    assert sum(row.value for row in whole) == pytest.approx(Growth(few, many).state)
    containers = {row.name: row.value for row in found if "containers" in row.section}
    assert containers["goal.signup.seen"] == 4.0


def test_a_wrong_number_is_counted_and_shown() -> None:
    found, wrong = families.verdict(
        [
            Compared("events.1h", "7", (7,)),
            Compared("sessions.open", "3", (4,)),
            Compared("day:2026-03-29 events", None, (1,)),
            Compared("nps.nps", "0", (0,)),
            Compared("accounting.late", "2", (1,), decided=False),
        ]
    )
    assert [row.value for row in found] == [5, 4, 1, 2]
    assert found[-1].verdict == "MISSED"
    assert wrong == ["sessions.open: 3 instead of 4", "day:2026-03-29 events: None instead of 1"]


def test_the_page_takes_the_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = rows(monkeypatch, tmp_path, [1_000, 10_000])
    stored: dict[str, Any] = json.loads(page.RESULTS.read_text())
    write_json(tmp_path / "results.json", found, {key: stored[key] for key in ("measured", "options", "wrong")})
    written = page.with_results(page.PAGE.read_text(), json.loads((tmp_path / "results.json").read_text()))
    assert [row.name for row in found if f"| {row.name} | " not in written] == []


@pytest.fixture
def laboratory(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> Laboratory:
    """Servers that other tests may use, and a core that has more to do."""
    core = min(os.sched_getaffinity(0))
    return Laboratory(kafka, redis_server, tmp_path, core, core)


def test_a_real_run_with_every_option_is_right_and_says_what_it_holds(laboratory: Laboratory) -> None:
    config = everything.every_option()
    topic = Topic(laboratory, RichStream(5_000, 2, 20.0, day_events=1_667))
    topic.grow(2_000)
    held = families.held(laboratory, topic, laboratory.file_of(config))
    assert 1_000 < held.known <= 2_000
    owners = {name.partition("/")[0] for name in held.arrays}
    assert {"users", "header"} <= owners
    assert any(name.startswith("survey.pulse.") for name in owners)
    found = families.compared(laboratory, topic, config)
    assert [row.cell for row in found if not row.equal] == []
    assert len(found) > 30_000


def test_all_configs_have_the_product_that_the_laboratory_reads() -> None:
    names = families.configs()
    assert {config.product for config in names.values()} == {"bench"}
    assert list(names) == [SMALLEST, *PARTS, EVERYTHING, EVERY_OPTION]
