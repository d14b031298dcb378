from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from flows.messages.raw import Rejected
from flows.publish.dead_letters.letters import Allowance, DeadLetterError, FileLetters, to_json


def rejected(payload: bytes = b"{}", message: str = "$.type: expected str, got int", offset: int = 7) -> Rejected:
    return Rejected("bad_type", message, "events", 3, offset, 1_700_000_000_000, payload)


def letter(record: Rejected) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(to_json(record))
    return parsed


# The JSON


def test_a_letter_says_what_and_where_and_why() -> None:
    assert letter(rejected(b'{"type": 5}')) == {
        "reason": "bad_type",
        "message": "$.type: expected str, got int",
        "topic": "events",
        "partition": 3,
        "offset": 7,
        "timestamp": 1_700_000_000_000,
        "payload": '{"type": 5}',
    }


def test_bytes_that_are_no_text_are_kept_in_base64() -> None:
    found = letter(rejected(b"\x1f\x8b\xff"))
    assert found["payload_encoding"] == "base64"
    assert base64.b64decode(found["payload"]) == b"\x1f\x8b\xff"


@pytest.mark.parametrize("extra", [0, 1, 100_000])
def test_a_large_payload_is_cut_between_characters(extra: int) -> None:
    payload = b"x" + "\u00e9".encode() * 16_384 + b"y" * extra  # the 32768th byte is the first half of one
    found = letter(rejected(payload))
    assert found["payload"] == "x" + "\u00e9" * 16_383
    assert "payload_encoding" not in found


def test_half_a_character_at_the_end_of_a_short_payload_is_kept_as_bytes() -> None:
    assert letter(rejected(b"caf\xc3"))["payload_encoding"] == "base64"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"\xed\xa0\x80",
        b"\xff" * 40_000,
        b"\n\r\x1b",
        "\U0001f600\u202e".encode(),
    ],
)
def test_any_payload_makes_one_line_of_json_that_gives_it_back(payload: bytes) -> None:
    line = to_json(rejected(payload))
    assert b"\n" not in line
    found = json.loads(line)
    if found.get("payload_encoding") == "base64":
        assert base64.b64decode(found["payload"]) == payload[: 32 * 1024]
    else:
        assert found["payload"].encode() == payload


def test_a_lone_surrogate_in_the_message_is_replaced() -> None:
    assert letter(rejected(message="$.userId: \ud800"))["message"] == "$.userId: ?"


# The limit


def test_only_so_many_a_second_are_copied_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    now = 0.0
    allowance = Allowance(10, monotonic=lambda: now)
    letters = [rejected(offset=offset) for offset in range(25)]
    assert [len(allowance.grant(letters)), len(allowance.grant(letters))] == [10, 0]
    now = 0.5
    assert [one.offset for one in allowance.grant(letters)] == [0, 1, 2, 3, 4]
    now = 3600.0
    assert len(allowance.grant(letters)) == 10
    assert (allowance.copied, allowance.skipped) == (25, 75)
    assert len(caplog.records) == 2  # at most once a minute


# To a file


def test_a_file_gets_one_line_per_letter_and_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    path.write_text("old\n")
    kept = FileLetters(path)
    kept.write([rejected(offset=1)])
    kept.write([rejected(offset=2), rejected(offset=3)])
    kept.settle()
    assert [json.loads(line)["offset"] for line in path.read_bytes().splitlines()] == [1, 2, 3]
    kept.close()


def test_a_new_file_of_letters_can_be_read_by_its_user_alone(tmp_path: Path) -> None:
    FileLetters(tmp_path / "dead.ndjson").close()
    assert (tmp_path / "dead.ndjson").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeadLetterError, match=r"cannot be written to .*dead: No such file or directory"):
        FileLetters(tmp_path / "absent" / "dead")
