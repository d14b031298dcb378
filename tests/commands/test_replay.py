"""What `tidegauge replay` says of the records that it could not use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.app import main
from schemas.formats import FORMATS
from tests.rejecting import AMPLITUDE
from tests.schemas.test_formats import CAPTURES

GOOD = b'{"type": "page", "userId": "ana", "timestamp": "2026-11-29T09:00:00Z"}'
NAMELESS = b'{"type": "page", "timestamp": "2026-11-29T09:00:00Z"}'


def replay(file: Path, content: bytes, *options: str) -> int:
    file.write_bytes(content)
    return main(["replay", str(file), *options])


def test_a_file_that_is_rejected_whole_is_a_failure_that_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "theirs.ndjson"
    assert replay(file, b"\n".join([AMPLITUDE] * 12)) == 1
    (told,) = caplog.records
    assert told.levelname == "ERROR"
    heading, reason, likeness = told.getMessage().splitlines()
    assert heading == f"{file}: 0 of 12 records accepted"
    assert reason == "missing_field  12  first at line 1: $.type: missing"
    assert likeness.startswith("They look like Amplitude's events: ")
    printed = json.loads(capsys.readouterr().out)  # the accounts, for scripts
    assert (printed["accounting"]["consumed"], printed["accounting"]["rejected.missing_field"]) == (12, 12)


def test_what_is_rejected_of_a_file_is_summed_up_and_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "events.ndjson"
    assert replay(file, b"\n".join([GOOD, GOOD, b"{", NAMELESS, NAMELESS]), "--partitions", "3") == 0
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    assert told.getMessage().splitlines() == [
        f"{file}: 3 of 5 records rejected",
        "missing_field  2  first at line 4: $: neither userId nor anonymousId",
        "not_json       1  first at line 3: $: Input data was truncated",
    ]


def test_a_file_that_is_accepted_whole_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert replay(tmp_path / "events.ndjson", GOOD) == 0
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("content", "config", "said"),
    [
        (b"", "", "there are no records in it"),
        (GOOD, "exclude: {events: [page_viewed]}", "all records are excluded by the config (1)"),
    ],
)
def test_a_file_of_nothing_to_measure_is_no_failure_but_told(
    content: bytes, config: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.yaml").write_text(config)
    assert replay(tmp_path / "events.ndjson", content, "--config", str(tmp_path / "c.yaml")) == 0
    assert caplog.messages == [f"{tmp_path / 'events.ndjson'}: {said}"]


@pytest.mark.parametrize("name", ["stripe", "snowplow-tsv", "confluent-json", "segment-batch", "jitsu"])
def test_each_file_of_another_tool_is_a_failure_with_its_name(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (title,) = (one.title for one in FORMATS if one.name == name)
    assert replay(tmp_path / "theirs", (CAPTURES / f"{name}.ndjson").read_bytes()) == 1
    assert f"like {title}: " in caplog.text
