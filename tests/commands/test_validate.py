from __future__ import annotations

import argparse
import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from flows.checkpoint.folder import CheckpointFolder
from flows.commands import validate
from flows.config.file import load
from flows.metrics.cost import cost
from flows.metrics.parts import definitions
from tests.rejecting import AMPLITUDE

ROOT = Path(__file__).parents[2]
SHOP = str(ROOT / "deploy" / "examples" / "shop.yaml")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TIDEGAUGE_TOPIC", "TIDEGAUGE_STATE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    return validate.main(parser.parse_args([str(argument) for argument in arguments]))


def test_a_right_file_gives_zero_and_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SHOP) == 0
    sizes = cost(load(SHOP, environment={}).config)
    told = capsys.readouterr().out
    assert told.startswith(f"{SHOP}: no mistakes\n")
    for line in (
        "  product            shop: 2 funnels, 1 milestone, 4 breakdowns, 18 named events, 7 windows\n",
        f"  cells              {sizes.cells:,}: {sizes.counted:,} counted and {sizes.derived:,} derived\n",
        f"  Prometheus series  {sizes.series:,}, besides those of health\n",
        f"  memory             {sizes.fixed_bytes // 1_000_000:,} MB for windows",
        f"  state              {sizes.user_bytes:,} MB per million users",
        "  target             revenue: mrr to 120,000 EUR by 2027-12-31\n",
        "  target             weekly: active_users.7d to 60,000 users\n",
    ):
        assert line in told


def test_a_wrong_file_gives_two_and_all_its_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("latness: 10s\nwindows: [10s]\nfunnels: {f: {window: 1h, steps: [A, A], extra: 1}}\n")
    assert run(wrong) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{wrong}:1:1: latness: there is no such key; did you mean lateness?",
        f"{wrong}:2:11: windows[0]: found '10s', expected a duration from 1m to 400d",
        f"{wrong}:3:42: funnels.f.extra: there is no such key",
        f"{wrong}:3:38: funnels.f.steps[1]: step 2 can be the same event as step 1, which must then come"
        " twice (a warning)",
        f"{wrong}: 3 mistakes",
    ]


def test_a_warning_alone_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "odd.yaml"
    odd.write_text("events: [a, A]\n")
    assert run(odd) == 0
    told = capsys.readouterr().out
    assert "events[1]: 'A' is listed twice (a) (a warning)\n" in told
    assert f"{odd}: no mistakes\n" in told


def test_every_file_is_judged_and_one_wrong_one_gives_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.yaml"
    assert run(missing, SHOP) == 2
    told = capsys.readouterr().out
    assert f"{missing}: there is no such file\n" in told
    assert f"{SHOP}: no mistakes\n" in told


def test_more_cells_than_one_publish_holds_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = tmp_path / "large.yaml"
    values = ", ".join(f"v{number}" for number in range(253))
    steps = ", ".join(f"e{number}" for number in range(20))
    large.write_text(
        f"funnels:\n  f: {{window: 1h, steps: [{steps}]}}\n"
        + "breakdowns:\n"
        + "".join(f"  b{i}: {{field: context.b{i}, values: [{values}]}}\n" for i in range(8))
    )
    assert run(large) == 2
    told = capsys.readouterr().out
    assert "cells, expected at most 200,000 (limits.publish_fields)" in told
    large.write_text(large.read_text() + "limits: {publish_fields: 200}\n")
    assert run(large) == 2
    assert "expected at most 200 (limits.publish_fields)" in capsys.readouterr().out


def test_mistakes_in_the_environment_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://nowhere")
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert run(SHOP, empty) == 2
    assert capsys.readouterr().out.count("environment: REDIS_URL: found 'http://nowhere'") == 1


EVENTS = [
    {"type": "track", "event": "Product Viewed", "userId": "ana", "timestamp": "2026-11-29T09:00:00Z"},
    {"type": "track", "event": "Product Bought", "userId": "ana", "timestamp": "2026-11-29T09:01:00Z"},
    {"type": "track", "event": "Product\u001b[2JBought", "userId": "ana", "timestamp": "2026-11-29T09:01:00Z"},
    {"type": "track", "event": "Heartbeat", "userId": "ana", "timestamp": "2026-11-29T09:02:00Z"},
    {"type": "track", "event": "Product Viewed", "userId": "null", "timestamp": "2026-11-29T09:03:00Z"},
]
NAMING = """\
exclude: {events: [Heartbeat]}
key_actions: [{event: Product Viewed, where: {properties.count: [2, 3]}}, {event: Product Viewed, where: {type: track}}]
funnels: {checkout: {window: 1h, steps: [Product Viewed, Products Bought]}}
breakdowns: {platform: {field: context.device.type, values: [web]}}
"""


def written(folder: Path) -> tuple[Path, Path]:
    """A file of events and a config."""
    (folder / "events.ndjson.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, EVENTS)).encode()))
    (folder / "c.yaml").write_text(NAMING)
    return folder / "events.ndjson.gz", folder / "c.yaml"


def test_events_are_held_against_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, config = written(tmp_path)
    assert run(config, "--events", events) == 0
    told, noise = capsys.readouterr()
    assert noise == ""  # no bar where there is no terminal
    assert told.startswith(f"{config}: no mistakes\n")
    assert told[told.index(f"{events}:") :].splitlines() == [
        f"{events}: 3 of 5 records accepted",
        "  times     2026-11-29T09:00:00Z to 2026-11-29T09:01:00Z",
        "  excluded  1: Heartbeat 1",
        "  rejected  1:",
        "    bad_id  1  first at line 5: $.userId: a placeholder, not an id",
        "  named in the config, but never found:",
        "    Products Bought (funnels.checkout.steps[1]); did you mean Product Bought?",
        "  chosen in the config by what they carry (`where`), but never found:",
        "    Product Viewed where properties.count is 2 or 3 (key_actions[0]); found 1 without",
        "  most frequent names that the config does not mention:",
        "    1  Product\\x1b[2JBought",
        "    1  Product Bought",
        "  breakdown platform (context.device.type): unknown 100.0%",
        "    never found: web",
        "    no event has this field",
    ]
    assert run("--events", events, "--config", config) == 0
    assert capsys.readouterr().out == told


def test_events_of_another_tool_are_none_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs").write_bytes(AMPLITUDE)
    assert run("--events", tmp_path / "theirs") == 1
    heading, rejected, reason, likeness = capsys.readouterr().out.splitlines()
    assert heading == f"{tmp_path / 'theirs'}: 0 of 1 records accepted"
    assert rejected == "  rejected  1:"
    assert reason == "    missing_field  1  first at line 1: $.type: missing"
    assert likeness.startswith("    It looks like Amplitude's events: ")


def test_a_file_without_events_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").write_bytes(b"")
    assert run("--events", tmp_path / "none") == 1
    assert capsys.readouterr().out == f"{tmp_path / 'none'}: there are no records in it\n"


def test_events_come_from_standard_input_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events, _ = written(tmp_path)
    with events.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert run("--events", "-") == 0
    assert capsys.readouterr().out.startswith("standard input: 4 of 5 records accepted\n")


def test_a_file_that_cannot_be_read_gives_one_and_a_wrong_config_two(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events, config = written(tmp_path)
    assert run("--events", tmp_path / "absent") == 1
    assert caplog.messages == [f"{tmp_path / 'absent'} cannot be read: No such file or directory"]
    config.write_text("latness: 10s")
    assert run("--events", events, "--config", config) == 2


def test_without_a_config_or_events_there_is_nothing_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run() == 2
    assert run(SHOP, SHOP, "--events", tmp_path / "events") == 2
    assert caplog.messages == [
        "give a CONFIG, --state FOLDER, or --events FILE",
        "--events goes with one CONFIG, found 2",
    ]


def checkpoint(folder: Path, config: str) -> Path:
    """A folder that a run of this config has begun."""
    file = folder / "before.yaml"
    file.write_text(config)
    with CheckpointFolder(folder / "state", definitions(load(file, environment={}).config)):
        return folder / "state"


BEFORE = """\
product: shop
events: [Signed In]
funnels: {buy: {window: 1h, steps: [Viewed, Bought]}}
breakdowns: {platform: {field: context.device.type, values: [web, ios]}}
"""


def test_it_lists_what_would_become_of_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = checkpoint(tmp_path, BEFORE)
    after = tmp_path / "after.yaml"
    after.write_text(
        BEFORE.replace("Signed In", "Left").replace("1h", "2h").replace("ios", "ios, tv") + "lateness: 20s\n"
    )
    assert run(after, "--state", state) == 0
    told = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in told[told.index(f"{state}: goes on") :].splitlines()]
    assert lines[1:5] == [
        "funnel.buy starts afresh funnel.buy.window was 1h, is 2h",
        "event.signed_in is forgotten",
        "event.left is new",
        "breakdown.platform.tv is new",
    ]
    assert {"sessions goes on", "breakdown.platform.web goes on", "window.30d goes on"} <= set(lines)
    assert lines[-2:] == [
        "lateness was 10s, is 20s, for what is read from then on",
        "2 parts would be lost: `tidegauge run` asks for --accept-changes",
    ]


def test_a_checkpoint_that_cannot_go_on_gives_two_and_one_that_cannot_be_read_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    state = checkpoint(tmp_path, BEFORE)
    other = tmp_path / "other.yaml"
    other.write_text(BEFORE.replace("shop", "store"))
    assert run(other, "--state", state) == 2
    assert "product was shop, is store" in capsys.readouterr().out
    assert run(other, "--state", tmp_path / "nothing") == 1
    assert "does not say which config" in caplog.text
    (state / "definitions.json").write_text('{"product": "shop"}')
    assert run(other, "--state", state) == 1
    assert "an older version" in caplog.text
