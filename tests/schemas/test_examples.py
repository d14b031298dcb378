"""The examples are the contract: each valid one is taken, each invalid one is refused for its folder's
reason.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import schemas
from flows.commands.facts_page import schema_text, whole_schema, with_tables
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.messages.columns import KINDS, REASONS, Columns
from flows.messages.raw import Raw, Rejected
from schemas.event import EXCLUSIONS, TYPES

FOLDER = Path(schemas.__file__).parent
VALID = sorted((FOLDER / "examples/valid").iterdir())
INVALID = sorted((FOLDER / "examples/invalid").glob("*/*"))
EXCLUDED = sorted((FOLDER / "examples/excluded").glob("*/*"))
RECORD_MS = 1_772_442_060_000  # 2026-03-02T09:01:00Z

# What the schema of one JSON object cannot say.
BEYOND_A_SCHEMA = {
    *(path for path in INVALID if path.parent.name in ("empty", "too_large", "not_json", "unsupported_currency")),
    FOLDER / "examples/invalid/bad_timestamp/no_such_day.json",
    FOLDER / "examples/invalid/bad_timestamp/two_days_ahead.json",
    FOLDER / "examples/invalid/bad_timestamp/original_timestamp_in_words.json",
    FOLDER / "examples/invalid/bad_property/a_subscription_that_replaces_itself.json",
}
CONFIG = Config.model_validate(
    {
        "breakdowns": {
            "platform": {"field": "context.device.type", "values": ["web", "ios", "android"]},
            "plan": {"field": "properties.plan", "values": ["free", "pro"]},
        },
        "exclude": {"events": [{"event": "Page Viewed", "where": {"properties.path": "/healthz"}}]},
        "subscriptions": {"currency": "USD", "plans": ["team"]},
    }
)


def read(path: Path) -> tuple[Columns, list[Rejected]]:
    raw = Raw.of("events", 0, 1, [path.read_bytes()], [7], [RECORD_MS], True, None)
    return Intake(CONFIG, Limits()).read(raw)


def refusals(path: Path) -> list[str]:
    columns, rejected = read(path)
    assert len(columns.rows) + len(rejected) == 1
    return [one.reason for one in rejected]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_example_is_taken(path: Path) -> None:
    assert refusals(path) == []


@pytest.mark.parametrize("path", INVALID, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_invalid_example_is_refused_for_the_reason_of_its_folder(path: Path) -> None:
    assert refusals(path) == [path.parent.name]


@pytest.mark.parametrize("path", EXCLUDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_excluded_example_is_left_out_and_counted_under_its_folders_kind(path: Path) -> None:
    columns, rejected = read(path)
    assert (len(columns.rows), rejected) == (0, [])
    assert columns.excluded.tolist() == [int(kind == path.parent.name) for kind in EXCLUSIONS]


def test_rows_know_the_types_in_the_same_order() -> None:
    assert KINDS == TYPES


def test_every_reason_has_an_example() -> None:
    assert {path.parent.name for path in INVALID} == set(REASONS)
    assert {path.parent.name for path in EXCLUDED} == set(EXCLUSIONS)


def test_the_schema_on_disk_is_the_one_that_the_rules_give() -> None:
    path = FOLDER / "event.v1.schema.json"
    assert path.read_text() == schema_text(), "make docs"


def test_the_tables_of_facts_are_those_that_their_declarations_give() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert page == with_tables(page), "make docs"
    assert "| `subscription_id` |" in page


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(whole_schema())


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_schema_takes_a_valid_example(path: Path) -> None:
    jsonschema.Draft202012Validator(whole_schema()).validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize(
    "path",
    [path for path in INVALID if path not in BEYOND_A_SCHEMA],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_the_schema_refuses_an_invalid_example(path: Path) -> None:
    assert not jsonschema.Draft202012Validator(whole_schema()).is_valid(json.loads(path.read_bytes()))
