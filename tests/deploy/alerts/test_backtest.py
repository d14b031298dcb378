"""`tidegauge backtest`: the alerts of a recorded stream, at the times at which they would have come."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from flows.alerting.backtest import notation
from flows.alerting.recorded import Selectors, record
from flows.app import main
from flows.audit import Record, recompute
from flows.config.file import load
from flows.config.limits import Limits
from flows.metrics.catalogue import catalogue
from flows.process.rejections import Rejections
from flows.publish.prometheus.product import product_families
from flows.source.file import FileSource
from tests.deploy.alerts.judge import promtool
from tests.rejecting import AMPLITUDE
from tests.services import ROOT

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
BEGIN_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z
CONFIG = """\
product: journal
lateness: 10s
alerts: {same_hour: 1d, trailing: 1d}
"""


@pytest.fixture(autouse=True)
def engine() -> None:
    promtool("--version")  # skips, or fails in CI, where there is none


Events = list[dict[str, Any]]


def within(shares: dict[tuple[float, float], float], hour: float, otherwise: float) -> float:
    """The share of that hour."""
    return next((share for (begin, end), share in shares.items() if begin <= hour < end), otherwise)


def visits(hours: float, leave: dict[tuple[float, float], float], seed: int = 1) -> Events:
    """Thirty visits a minute, of one page or two; half leave after the first, or the share that `leave` has."""
    random = Random(seed)
    events: Events = []
    for number in range(round(hours * 1800)):
        at_ms = BEGIN_MS + number * 2000
        hour = number / 1800
        share = within(leave, hour, 0.5)
        user = {"type": "page", "anonymousId": f"v-{number}"}
        events.append(user | {"timestamp": at_ms})
        if random.random() >= share:
            events.append(user | {"timestamp": at_ms + 5000})
    return sorted(events, key=lambda event: event["timestamp"])


def write(file: Path, events: Events) -> Path:
    """Events as a file, compressed when its name says so."""
    text = "".join(json.dumps(event) + "\n" for event in events).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return file


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Events of a day and six hours, in which from 02:00 to 03:00 of the second day most visitors leave at once."""
    folder = tmp_path_factory.mktemp("journal")
    config = folder / "journal.yaml"
    config.write_text(CONFIG)
    return write(folder / "events.ndjson.gz", visits(30, {(26, 27): 0.95})), config


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """What the command lists."""
    assert main(["backtest", *arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_bounce_spike_is_listed_at_the_time_at_which_it_would_have_told(
    story: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    02:00        02:05                02:15          02:50  03:00                03:15
      |------------|--------------------|--------------|------|--------------------|
      begins       first visits settle  all of ten     ...    ends                 the last ones leave the ten minutes
                                        minutes
                        02:10 is a rise of more than 0.1, so with `for: 5m` it fires at 02:15
                        03:15 is none any more, so with `keep_firing_for: 15m` it resolves at 03:30
    """
    events, config = story
    assert listed(capsys, str(events), "--config", str(config), "--step", "5m") == [
        {
            "alert": "BounceSpike",
            "labels": {},
            "severity": "page",
            "fired_at": "2026-09-23T02:15:00Z",
            "resolved_at": "2026-09-23T03:30:00Z",
        }
    ]


def beginners(hours: int, reach: dict[tuple[float, float], float], back: dict[tuple[float, float], float]) -> Events:
    """Forty sign-ups an hour. Four in ten reach their first report in ten minutes, or the share that `reach` has for
    the hour of the sign-up; half come back after 30 hours, or the share that `back` has.
    """
    random = Random(5)
    events: Events = []
    for number in range(hours * 40):
        at_ms, hour = BEGIN_MS + number * 90_000, number / 40
        user = {"type": "track", "userId": f"u-{number}"}
        events.append(user | {"event": "Signed Up", "timestamp": at_ms})
        if random.random() < within(reach, hour, 0.4):
            events.append(user | {"event": "Report Created", "timestamp": at_ms + 10 * MINUTE_MS})
        if random.random() < within(back, hour, 0.5):
            events.append(user | {"event": "Report Opened", "timestamp": at_ms + 30 * HOUR_MS})
    return sorted(
        (event for event in events if event["timestamp"] < BEGIN_MS + hours * HOUR_MS), key=lambda e: e["timestamp"]
    )


def test_a_fall_of_a_milestone_and_of_the_retention_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day's users (960) are compared with those of the day before. Each fall takes hours to show in a day:

    milestone    of those who sign up from hour 60 to 72 one in ten, not four, reach it. After x of these hours the
                 rate is 0.4 - 0.3 x / 24, and below three quarters of 0.4 once x is 8, at 20:00 of the third day.
    retention    of those who sign up from hour 24 on a fifth, not half, come back, which is known two days later. After
                 x hours the share is 0.5 - 0.3 x / 24, and below three quarters of 0.5 once x is 10, at 10:00 on day 4.
    """
    config = tmp_path / "journal.yaml"
    config.write_text(
        f"{CONFIG}retention: {{days: [1]}}\n"
        "milestones: {first_report: {from: Signed Up, to: Report Created, within: 24h}}\n"
    )
    events = write(tmp_path / "events.ndjson.gz", beginners(96, {(60, 72): 0.1}, {(24, 96): 0.2}))
    found = listed(capsys, str(events), "--config", str(config), "--step", "5m")
    assert [(row["alert"], row["labels"], row["fired_at"], row["resolved_at"]) for row in found] == [
        ("MilestoneDrop", {"milestone": "first_report"}, "2026-09-24T20:30:00Z", "2026-09-25T14:50:00Z"),
        ("RetentionDrop", {}, "2026-09-25T10:15:00Z", None),
    ]


def test_rules_of_ones_own_are_taken_from_a_file_or_a_folder(
    story: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, config = story
    rules = {"alert": "Half", "expr": 'tidegauge_bounce_ratio{stage="provisional"} > 0.9', "for": "10m"}
    (tmp_path / "own.yml").write_text(json.dumps({"groups": [{"name": "own", "rules": [rules]}]}))
    by_file = listed(capsys, str(events), "--config", str(config), "--rules", str(tmp_path / "own.yml"), "--step", "5m")
    assert [(row["fired_at"], row["resolved_at"]) for row in by_file] == [
        ("2026-09-23T02:25:00Z", "2026-09-23T03:10:00Z")
    ]
    assert listed(capsys, str(events), "--config", str(config), "--rules", str(tmp_path), "--step", "5m") == by_file


def test_the_table_says_what_still_fires_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "journal.yaml"
    config.write_text("product: journal\n")
    events = write(tmp_path / "events.ndjson", visits(1, {(0, 1): 1.0}))
    assert main(["backtest", str(events), "--config", str(config)]) == 0
    assert capsys.readouterr().out == (
        "alert        which  severity  fired at              resolved at\n"
        "BounceSpike         page      2026-09-22T00:17:00Z  still firing\n"
        "1 times an alert would have fired: 2026-09-22T00:00:00Z to 2026-09-22T01:00:00Z, 61 evaluations\n"
    )


def test_a_stream_without_trouble_lists_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = write(tmp_path / "events.ndjson", visits(1, {}))
    assert main(["backtest", str(events)]) == 0
    assert capsys.readouterr().out.startswith("no alert would have fired: 2026-09-22T00:00:00Z to ")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("groups: [", "is no rule file of Prometheus"),
        ('{"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "sum by ("}]}]}', "promtool cannot evaluate"),
    ],
)
def test_rules_that_cannot_be_used_are_told(
    rules: str, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.yml").write_text(rules)
    events = write(tmp_path / "events.ndjson", visits(0.1, {}))
    assert main(["backtest", str(events), "--rules", str(tmp_path / "broken.yml")]) == 1
    assert message in caplog.text


def test_a_file_without_events_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty.ndjson").write_text("")
    assert main(["backtest", str(tmp_path / "empty.ndjson")]) == 1
    assert "there are no records in it" in caplog.text


def test_a_file_of_another_tool_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "theirs.ndjson").write_bytes(b"\n".join([AMPLITUDE] * 3))
    assert main(["backtest", str(tmp_path / "theirs.ndjson")]) == 1
    assert "0 of 3 records accepted" in caplog.text
    assert "first at line 1: $.type: missing" in caplog.text
    assert "They look like Amplitude's events" in caplog.text


def test_series_are_those_of_the_reference_at_each_step(tmp_path: Path) -> None:
    """Cut anywhere, the recording has the numbers of the events up to there; subscriptions and rejected lines too."""
    config = load(ROOT / "deploy" / "examples" / "shop.yaml", environment={}).config
    random = Random(7)
    events: list[dict[str, Any]] = visits(0.5, {})
    for number in range(0, len(events), 9):
        event = events[number]
        state = {"subscription_id": f"s{number % 40}", "status": random.choice(["active", "cancelled"]), "plan": "plus"}
        state |= {"amount": "9.90", "interval": "month", "currency": "EUR"}
        events[number] = event | {"type": "track", "event": "Subscription Changed", "properties": state}
    lines = [json.dumps(event) for event in events]
    for number in range(5, len(lines), 50):
        lines[number] = lines[number][:-1]  # broken
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(lines))
    limits = Limits(poll_records=100)
    rejections = Rejections()
    with closing(FileSource(file, limits=limits)) as source:
        recording = record(source, config, limits, Everything(), 10 * MINUTE_MS, rejections)
    assert [reason.name for reason in rejections.reasons()] == ["not_json"]
    assert recording is not None
    assert recording.steps == 5  # the last event is 3 s after the half hour
    target = '{job="tidegauge",instance="backtest",'
    for step in range(recording.steps):
        now_ms = recording.begins_ms + step * recording.step_ms
        read = [line for line, event in zip(lines, events, strict=True) if event["timestamp"] < now_ms]
        records = [Record(line.encode(), 0, offset) for offset, line in enumerate(read)]
        expected = recompute(records, config, now_ms).cells if records else {}
        for family in product_families(catalogue(config), config.product):
            for cell, scale, series in family.series:
                value = expected.get(cell)
                found = recording.series[series.replace("{", target, 1)][step]
                if value is None or not records:
                    assert found is None or not records
                else:
                    assert found == pytest.approx(value if scale == 1 else value / (1 / scale), rel=1e-12)


class Everything(Selectors):
    """All series."""

    def __init__(self) -> None:
        super().__init__([])

    def __call__(self, series: str) -> bool:
        return series.split("{")[0] not in ("tidegauge_build_info",)


def test_values_are_written_in_runs() -> None:
    assert notation([1, 1, 1, None, None, 2, None, 0.1]) == "1.0x2 _x2 2.0 _ 0.1"


@pytest.mark.data
def test_recorded_data_can_be_backtested(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The marketplace has no checkout in its events, so on its first day that funnel converts nobody: this is told. Its
    orders have no amounts.
    """
    shop = yaml.safe_load((ROOT / "deploy" / "examples" / "shop.yaml").read_text(encoding="utf-8"))
    for breakdown in shop["breakdowns"].values():
        breakdown["of"] = [name for name in breakdown["of"] if name != "orders"]
    (tmp_path / "shop.yaml").write_text(
        yaml.safe_dump({key: part for key, part in shop.items() if key not in ("orders", "acquisition")})
    )
    config = str(tmp_path / "shop.yaml")
    found = listed(capsys, str(data_dir / "taobao.ndjson.gz"), "--config", config, "--step", "5m")
    assert [row["alert"] for row in found] == ["ConversionDrop", "ConversionDrop"]
    assert [row["labels"] for row in found] == [{"funnel": "checkout"}, {"funnel": "purchase"}]
