from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from flows.config.file import MAX_FILE_BYTES, config_schema, load, read
from flows.config.mistakes import ConfigErrors
from flows.config.model import Config
from flows.config.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))

TEN_MISTAKES = """\
version: 1
product: My Shop
latness: 10s
sessions:
  timeout: 1:30
  engaged: {views: two}
key_actions: [Order Completed, "!!!"]
funnels:
  checkout:
    window: 1h
    steps: [Product Viewed, Order Completed]
    reentry: lates
  signup:
    steps: [Signed Up, Other]
breakdowns:
  platform:
    field: contxt.device.type
    values: [web, iOS, ios]
exclude:
  events: [order-completed]
product: shop
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.yaml"


def mistakes(file: Path, text: str) -> list[str]:
    """What is said of a file with this text, without the folder it lies in."""
    file.write_text(text, encoding="utf-8")
    return [str(mistake).removeprefix(f"{file.parent}/") for mistake in read(file, environment={}).mistakes]


def test_all_mistakes_are_told_at_once_each_with_its_line_and_column(file: Path) -> None:
    assert mistakes(file, TEN_MISTAKES) == [
        "shop.yaml:2:10: product: found 'My Shop', expected lower-case letters, digits and _ only;"
        " did you mean my_shop?",
        "shop.yaml:3:1: latness: there is no such key; did you mean lateness?",
        "shop.yaml:5:12: sessions.timeout: found '1:30', expected a duration such as 10s, 30m, 1h or 30d;"
        " did you mean 90m?",
        "shop.yaml:6:20: sessions.engaged.views: found 'two', expected a whole number",
        "shop.yaml:7:32: key_actions[1]: found '!!!', expected a name with a letter, digit or symbol",
        "shop.yaml:12:14: funnels.checkout.reentry: found 'lates', expected first or latest; did you mean latest?",
        "shop.yaml:13:3: funnels.signup.window: this is missing",
        "shop.yaml:14:24: funnels.signup.steps[1]: found 'Other', but `other` stands for all events not named",
        "shop.yaml:17:12: breakdowns.platform.field: found 'contxt.device.type', expected a field such as"
        ' context.device.type, properties."Plan Type" or channel; did you mean context.device.type?',
        "shop.yaml:18:24: breakdowns.platform.values[2]: 'ios' cannot be told from 'iOS': both are `ios`",
        "shop.yaml:20:12: exclude.events[0]: 'order-completed' is left out here but wanted in key_actions",
        "shop.yaml:21:1: product: this key is given twice, first in line 2",
    ]


def test_what_only_follows_from_another_mistake_is_not_told(file: Path) -> None:
    # Without the other mistakes, 2h would be one of the windows and less than the maximum.
    text = "windows: [5m, 2 h, soon]\nratio_windows: [2h]\nsessions: {timeout: 2h, max_duration: long}\n"
    assert [line.split(": ")[1] for line in mistakes(file, text)] == ["windows[2]", "sessions.max_duration"]


def test_a_mistake_in_an_anchor_is_told_where_it_is_written(file: Path) -> None:
    text = "funnels:\n  a: &base\n    window: soon\n    steps: [A, B]\n  b:\n    <<: *base\n    steps: [C, D]\n"
    assert [line.split(": found")[0] for line in mistakes(file, text)] == [
        "shop.yaml:3:13: funnels.a.window",
        "shop.yaml:3:13: funnels.b.window",
    ]


def test_mistakes_of_the_text_and_of_its_meaning_are_told_together(file: Path) -> None:
    told = mistakes(file, "lateness: soon\nsessions:\n\ttimeout: 1d\n\tbounce: never\nwindows: 5\n")
    assert [line.split(": ")[0] for line in told] == [
        "shop.yaml:1:11",
        "shop.yaml:3:1",
        "shop.yaml:4:1",
        "shop.yaml:4:10",
        "shop.yaml:5:10",
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}", "funnels:\nconnections:\nlimits:\n"])
def test_a_file_that_says_nothing_means_all_defaults(file: Path, text: str) -> None:
    file.write_text(text)
    assert load(file, environment={}) == (Config(), Settings())


def test_no_file_means_all_defaults() -> None:
    assert load(None, environment={}) == (Config(), Settings())


def test_values_need_no_quotes_to_stay_what_they_are(file: Path) -> None:
    file.write_text("breakdowns: {b: {field: traits.b, values: [no, on, 1, 007, 1.10, true]}}\nexclude: {bots: no}\n")
    config = load(file, environment={}).config
    assert config.breakdowns["b"].values == ("no", "on", "1", "007", "1.10", "true")
    assert config.exclude.bots is False


def test_a_file_of_text_or_a_list_is_refused(file: Path) -> None:
    for text, found in (("shop", "'shop'"), ("- a", "a list of 1"), ("5", "5")):
        assert mistakes(file, text) == [f"shop.yaml:1:1: found {found}, expected lines such as `product: shop`"]


def test_a_file_that_is_not_there_is_said_plainly_with_the_one_that_is(file: Path) -> None:
    file.write_text("")
    missing = file.with_name("shop.yml")
    assert [str(m) for m in read(missing, environment={}).mistakes] == [
        f"{missing}: there is no such file; did you mean {file}?"
    ]
    lonely = file.parent / "nowhere" / "shop.yaml"
    assert [str(m) for m in read(lonely, environment={}).mistakes] == [f"{lonely}: there is no such file"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert [str(m) for m in read(tmp_path, environment={}).mistakes] == [
        f"{tmp_path}: this is a folder, expected a file"
    ]


def test_a_file_beyond_the_limit_is_not_read(file: Path) -> None:
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    (mistake,) = read(file, environment={}).mistakes
    assert "larger than 1024 KiB" in str(mistake)


def test_mistakes_in_selectors_are_told_where_they_stand_however_they_are_written(file: Path) -> None:
    text = """\
key_actions: {event: "!", wher: {}}
active_users:
  events:
    - {where: {properties.x: y}}
    - {event: [A, "?"]}
funnels:
  f:
    window: 1h
    steps:
      - {event: A, where: {userId: 7}, as: b}
      - [B, {event: C, as: d}]
  g: {window: 1h, steps: [{event: "..."}, {event: A, as: "/"}]}
"""
    assert mistakes(file, text) == [
        "shop.yaml:1:27: key_actions.wher: there is no such key; did you mean where?",
        "shop.yaml:4:7: active_users.events[0].event: this is missing",
        "shop.yaml:10:28: funnels.f.steps[0].where.userId: found the name 'userId', expected another field: userId"
        " says who it was, and is not published",
        "shop.yaml:12:27: funnels.g.steps[0]: found '...', expected a name with a letter, digit or symbol",
        "shop.yaml:12:58: funnels.g.steps[1].as: found '/', expected a name with a letter, digit or symbol",
    ]
    assert mistakes(file, text.replace("{userId: 7}", "{channel: 7}").replace(", wher:", ", where:")) == [
        "shop.yaml:1:14: key_actions: found '!', expected a name with a letter, digit or symbol",
        "shop.yaml:4:7: active_users.events[0].event: this is missing",
        "shop.yaml:11:24: funnels.f.steps[1][1].as: only the first alternative names the step: move this there",
        "shop.yaml:12:27: funnels.g.steps[0]: found '...', expected a name with a letter, digit or symbol",
        "shop.yaml:12:58: funnels.g.steps[1].as: found '/', expected a name with a letter, digit or symbol",
    ]


def test_mistakes_are_one_printable_line_each_whatever_the_file_holds(file: Path) -> None:
    told = mistakes(file, 'product: "\\e[31m\\u202E\\n' + "x" * 1000 + '"\n"a\\nb\\e": 1\n')
    assert len(told) == 2
    assert all(line.isprintable() and len(line) < 250 for line in told)


def test_load_raises_all_mistakes_and_logs_warnings(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("funnels: {f: {window: 1h, steps: [A, A]}}\n")
    with caplog.at_level(logging.WARNING):
        load(file, environment={})
    assert "funnels.f.steps[1]: step 2 can be the same event as step 1" in caplog.text
    file.write_text("lateness: soon\nwindows: soon\n")
    with pytest.raises(ConfigErrors) as caught:
        load(file, environment={})
    assert len(caught.value.mistakes) == 2
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_right_and_unremarkable(example: Path) -> None:
    report = read(example, environment={})
    assert (report.mistakes, report.warnings) == ([], [])


def test_there_are_examples() -> None:
    assert {path.name for path in EXAMPLES} >= {"minimal.yaml", "saas.yaml", "shop.yaml"}


def test_the_stored_schema_is_the_one_of_the_code() -> None:
    stored = (ROOT / "schemas" / "config.v1.schema.json").read_text(encoding="utf-8")
    assert stored == config_schema(), "stale: run `tidegauge schema config > schemas/config.v1.schema.json`"


def test_the_schema_knows_every_key_and_says_defaults_as_they_are_written() -> None:
    schema = json.loads(config_schema())
    assert set(schema["properties"]) == {*Config.model_fields, "alerts", "connections", "limits"}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["lateness"]["default"] == "10s"
    assert schema["properties"]["ratio_windows"]["default"] == ["5m", "1h", "24h"]
    assert schema["$defs"]["Engaged"]["properties"]["longer_than"]["default"] == "10s"
    assert schema["$defs"]["LimitsSection"]["properties"]["skew"]["default"] == "1m"
    assert all("description" in part for part in schema["$defs"]["Connections"]["properties"].values())
