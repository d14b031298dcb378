"""What the pages say is true: links lead somewhere, commands and options exist, snippets work, names are real."""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
import redis
import yaml

import flows.measure.shard
import flows.metrics.catalogue
from flows.app import COMMANDS
from flows.audit import Record, recompute
from flows.audit.cells import Cells
from flows.audit.clock import judge
from flows.audit.parse import parse
from flows.audit.recompute import numbers
from flows.commands import config_page, metrics_page
from flows.config.file import load, load_alerts, read
from flows.config.limits import Limits
from flows.config.model import Config
from flows.config.settings import Settings
from flows.messages.snapshot import ACCOUNTS
from flows.metrics.catalogue import catalogue, families
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.minutes import MinuteBook
from flows.process.health import Health
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.product import TOP, product_families
from flows.publish.prometheus.samples import tally_families
from tests.comparison import differences
from tests.engine import Engine, polls
from tests.lacking import program
from tests.scenarios.story import read_story
from tests.services import RedisServer
from tests.test_architecture import FAMILIES, ROOT, tracked

PAGES = sorted(file for file in tracked() if file.suffix == ".md")
README = ROOT / "README.md"
ADDING, COMMANDS_PAGE, COMPARISON = (ROOT / "flows" / f"{name}.md" for name in ("ADDING", "COMMANDS", "COMPARISON"))
NUMBERS = ROOT / "deploy" / "NUMBERS.md"
SHOP, SAAS = (load(ROOT / "deploy" / "examples" / f"{name}.yaml", environment={}).config for name in ("shop", "saas"))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: what follows the fence, as language and the name of a file, and its text."""

    page: Path
    line: int
    language: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of `page`."""
    found = []
    for match in re.finditer(r"(?ms)^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8")):
        language, _, name = match[1].strip().partition(" ")
        found.append(Block(page, match.string.count("\n", 0, match.start()) + 1, language, name, match[2]))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def in_language(*languages: str) -> pytest.MarkDecorator:
    """The test is run for every block in one of `languages`."""
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in languages], ids=str)


def block_named(name: str) -> Block:
    """The one block of the page on adding a metric that is the file `name`."""
    found = [block for block in BLOCKS if block.page == ADDING and block.name == name]
    assert len(found) == 1, f"{ADDING.name} has {len(found)} blocks of {name}"
    return found[0]


def prose_of(page: Path) -> str:
    """`page` without its fenced blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


# --------------------------------------------------------------------------------------------------------- links


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of `page`."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose_of(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


def test_the_readme_can_be_read_in_five_minutes() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_every_statement_on_other_products_names_its_source() -> None:
    text = COMPARISON.read_text(encoding="utf-8")
    others = text[text.index("## Live numbers") : text.index("## Sources")]
    rows = [row for row in others.splitlines() if re.match(r"\| (?!---|product|\*\*Tidegauge)", row)]
    stated = [cell.strip() for row in rows for cell in row.split("|")[2:-1]]
    assert len(stated) > 30
    assert [cell for cell in stated if cell != "not stated" and not re.search(r"\[\d+\]", cell)] == []
    sources = re.findall(r"(?m)^(\d+)\. \S.+: <https://\S+>$", text[text.index("## Sources") :])
    assert sources == [str(number + 1) for number in range(len(sources))]
    assert set(re.findall(r"\[(\d+)\]", others)) == set(sources)


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        page = waiting.pop()
        for target in re.findall(r"\]\(([^)\s#]+)", prose_of(page)):
            file = (page.parent / target).resolve()
            if file.suffix == ".md" and file.is_file() and file not in reached:
                reached.add(file)
                waiting.append(file)
    assert [page for page in PAGES if page not in reached] == []


@pytest.mark.parametrize(
    "module",
    [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for folder in ("flows", "schemas")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if ">>> " in file.read_text(encoding="utf-8")
    ],
)
def test_the_examples_in_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_is_there(page: Path) -> None:
    tests = {
        name for file in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert [name for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")) if name not in tests] == []


def test_every_invariant_names_the_test_that_holds_it() -> None:
    paragraphs = (ROOT / "flows" / "README.md").read_text(encoding="utf-8").split("\n\n")
    invariants = [paragraph for paragraph in paragraphs if paragraph.startswith("**Architecture Invariant:**")]
    assert len(invariants) > 15
    assert [text for text in invariants if not re.search(r"\*Held by\*\s+`test_", text)] == []


def test_every_folder_of_the_code_is_on_the_map() -> None:
    page = prose_of(ROOT / "flows" / "README.md")
    code_map = page[page.index("## Code map") : page.index("**Architecture Invariant:**")]
    mapped = set(re.findall(r"(?m)^\| \[(\w+)/\]", code_map)) | set(re.findall(r" \[(\w+)/\]", code_map))
    folders = {file.parent.name for file in (ROOT / "flows").glob("*/__init__.py")}
    assert folders - mapped == set()


# ------------------------------------------------------------------------------------------------------ commands


def command_lines(block: Block) -> list[list[str]]:
    """The commands of a block, as words; `$ ` before and `# ...` behind are not of them, pipes end them."""
    found = []
    for line in block.text.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True) if line.strip() else []
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        found.append(words[: words.index("|")] if "|" in words else words)
    return [words for words in found if words]


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a `tidegauge` command; a wrong use raises ValueError."""

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ValueError(message)

    parser = Parser(prog=f"tidegauge {command}", exit_on_error=False)
    import_module(f"flows.commands.{command}").add_arguments(parser)
    return parser


def targets() -> set[str]:
    """The targets of make."""
    return set(re.findall(r"(?m)^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text()))


def check(words: list[str], *, whole: bool) -> None:
    """Raise ValueError when a command of ours does not exist, or (`whole`) would not be understood."""
    if words[0] == "make":
        for word in words[1:]:
            if not word.startswith("-") and "=" not in word and word not in targets():
                raise ValueError(f"make has no target {word}")
    elif words[0].endswith("tidegauge") and len(words) > 1 and words[1] != "--version":
        if words[1] not in COMMANDS:
            raise ValueError(f"tidegauge has no command {words[1]}")
        parser = parser_of(words[1])
        if whole:
            parser.parse_args(words[2:])
        for word in words[2:]:
            if word.startswith("--") and word.split("=")[0] not in parser._option_string_actions:
                raise ValueError(f"tidegauge {words[1]} has no option {word}")


@in_language("sh", "console")
def test_commands_in_blocks_are_understood(block: Block) -> None:
    for words in command_lines(block):
        check(words, whole=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_exist(page: Path) -> None:
    for span in re.findall(r"`([^`\n]+)`", prose_of(page)):
        words = span.split()
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            check(words, whole=False)
    options = {option for command in COMMANDS for option in parser_of(command)._option_string_actions}
    for span in re.findall(r"`(--[a-z-]+)", prose_of(page)):
        assert span in options | {"--version"} or page.parent.name == "kafka", f"no command has {span}"


@pytest.mark.parametrize(
    "words",
    ["make nonsense", "tidegauge nonsense", "tidegauge run --nonsense", "tidegauge demo --inject nonsense"],
)
def test_a_command_that_is_none_is_noticed(words: str) -> None:
    with pytest.raises((ValueError, argparse.ArgumentError)):
        check(words.split(), whole=True)


def test_every_command_has_a_row_on_the_page_of_commands() -> None:
    rows = re.findall(r"(?m)^\| `tidegauge ([a-z]+)", COMMANDS_PAGE.read_text(encoding="utf-8"))
    assert set(rows) == set(COMMANDS)


# ------------------------------------------------------------------------------------------------------ snippets


@in_language("json")
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@in_language("yaml")
def test_yaml_is_what_it_is_named_after(block: Block, tmp_path: Path) -> None:
    yaml.safe_load(block.text)
    file = tmp_path / Path(block.name).name
    file.write_text(block.text)
    if block.name == "tidegauge.yaml":
        report = read(file, environment={})
        assert (report.mistakes, report.warnings) == ([], [])
    elif block.name == "prometheus.yml":
        promtool("check", "config", str(file))
    elif block.name.startswith("tests/scenarios/"):
        if block.page == ADDING:  # on another page: of a family whose config is not there (test_adding_a_metric.py)
            assert read_story(file)
    else:
        pytest.fail(f"{block}: say which file it is, after ```yaml")


@in_language("python")
def test_python_is_written_as_the_project_is(block: Block) -> None:
    ast.parse(block.text)
    piece = (
        [] if block.name.startswith("flows/metrics/") else ["--ignore", "F,D"]
    )  # of a file that imports what it uses
    for command in (["check", *piece], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(ROOT / (block.name or "snippet.py")), "-"],
            input=block.text, capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_snippet_for_redis_tells_current_and_old_numbers_apart(redis_server: RedisServer) -> None:
    (snippet,) = (block for block in BLOCKS if block.page == NUMBERS and block.language == "python" and not block.name)

    def run() -> str:
        environment = os.environ | {"REDIS_URL": redis_server.url}
        command = [sys.executable, "-c", snippet.text]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert run().startswith("no current data")
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        fields = {"active_users.5m": "42", "_published_at": str(time.time_ns() // 1_000_000 + 60_000)}
        client.hset("tidegauge:v1:{shop}:live", mapping=fields)
        assert run() == "active now: 42\nbounce rate: no session closed\n"
        client.hset("tidegauge:v1:{shop}:live", "bounce_rate.1h", "0.25")
        assert run() == "active now: 42\nbounce rate: 0.25\n"
        client.hset("tidegauge:v1:{shop}:live", "_published_at", "1700000000000")
        assert run().startswith("no current data")


# --------------------------------------------------------------------------------------------------------- names


def published(config: Config) -> set[str]:
    """All cells of a config."""
    listed = catalogue(config)
    cells: list[Cell | Derived] = [*listed.cells, *listed.derived]
    return {cell.name for cell in cells if cell.metric}


@in_language("sh")
def test_fields_read_from_redis_are_published(block: Block) -> None:
    reserved = {"_as_of", "_watermark", "_published_at", "_run", "_consumed"}
    for words in command_lines(block):
        if words[0] == "redis-cli" and words[1] in ("HGET", "HMGET"):
            configs = {f"tidegauge:v1:{{{config.product}}}:live": config for config in (SHOP, SAAS)}
            accounts = {f"accounting.{account}" for account in ACCOUNTS}
            assert set(words[3:]) <= published(configs[words[2]]) | accounts | reserved


def test_examples_of_numbers_are_published() -> None:
    text = prose_of(NUMBERS)
    table = text[text.index("| family | for example |") : text.index("**Windows** are trailing")]
    examples = [row.split("|")[2] for row in table.splitlines()[2:] if row]
    named = [cell for example in examples for cell in re.findall(r"`([^`]+)`", example)]
    numbers = [name for name in named if not name.startswith("accounting.")]
    assert len(numbers) > 10
    assert set(numbers) <= published(SHOP)


@cache
def series() -> Mapping[str, Sequence[Mapping[str, str]]]:
    """By name: the labels of every series of the examples, of all there is, and of the families of health."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for config, product in ((SHOP, SHOP.product), (SAAS, SAAS.product), (metrics_page.EVERYTHING, SHOP.product)):
        for family in product_families(catalogue(config), product):
            for _, _, text in family.series:
                found[family.name].append(dict(re.findall(r'(\w+)="([^"]*)"', text)))
    found[TOP].append({"product": SHOP.product, "list": "pages", "window": "5m", "value": "/"})
    for healthy in (
        *tally_families(catalogue(SHOP).tallies, None, None),
        *health_families(None, None, Health(redis_configured=True).read(), SHOP.product),
    ):
        endings = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_count", "_sum", "")}
        labels = {"product": SHOP.product} if healthy.type == "info" else {}
        for ending in endings.get(healthy.type, ("",)):
            found[healthy.name + ending].append(labels)
    return found


@cache
def recorded() -> frozenset[str]:
    """The names that the rules of the examples record."""
    files = [ROOT / "deploy" / "prometheus" / name for name in ("rules/shop.yml", "examples/saas.yml")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return frozenset(rule["record"] for group in groups for rule in group["rules"] if "record" in rule)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_prometheus_family_that_is_named_is_served(page: Path) -> None:
    named = set(re.findall(r"\btidegauge_[a-z_]*[a-z]\b(?![*{]?\*)", page.read_text(encoding="utf-8")))
    assert named - series().keys() == set()


@in_language("promql")
def test_every_selector_selects_something(block: Block) -> None:
    named = set(re.findall(r"\btidegauge:\w+:\w+", block.text))
    assert named <= recorded()
    selectors = re.findall(r"\b(tidegauge_\w+)(?:\{([^}]*)\})?", block.text)
    assert selectors or named
    for name, matchers in selectors:
        wanted = re.findall(r'(\w+)(!?=)"([^"]*)"', matchers)
        assert any(
            all((labels.get(label, "") == value) == (sign == "=") for label, sign, value in wanted)
            for labels in series().get(name, ())
        ), f"{name}{{{matchers}}} selects nothing"


def promtool(*arguments: str) -> None:
    """Run promtool, which must be content; without it the test is skipped, and fails in CI."""
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions(block: Block) -> list[str]:
    """The queries of a block: each begins at the margin, goes on where it is indented; `#` is a comment."""
    lines = [line for line in block.text.splitlines() if line.strip() and not line.startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines))


@in_language("promql")
def test_prometheus_understands_every_query(block: Block, tmp_path: Path) -> None:
    queries = expressions(block)
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "readme", "rules": rules}]}))
    promtool("check", "rules", str(file))


# ----------------------------------------------------------------------------------------- the page of all metrics


def test_the_stored_reference_of_the_config_is_that_of_the_models() -> None:
    stored = (ROOT / "flows" / "CONFIG.md").read_text(encoding="utf-8")
    assert stored == config_page.page(), "flows/CONFIG.md is stale: make docs"


def test_every_key_of_the_config_has_a_meaning_and_an_example_of_its_own(tmp_path: Path) -> None:
    example = tmp_path / "every-key.yaml"
    every_key = config_page.every_key()
    example.write_text(yaml.safe_dump(every_key, sort_keys=False), encoding="utf-8")
    load_alerts(example)
    load(example)
    found = [(part.path, key) for part in config_page.parts() for key in part.keys]
    assert len(found) > 100
    assert [path for path, key in found if not key.meaning] == []
    same = [
        (*path, key.name)
        for path, key in found
        if config_page.written(config_page.found_at(every_key, (*path, key.name))) == key.default
    ]
    assert same == [("version",)]


def test_the_stored_page_is_the_one_of_the_catalogue() -> None:
    stored = (ROOT / "flows" / "METRICS.md").read_text(encoding="utf-8")
    assert stored == metrics_page.page(), "flows/METRICS.md is stale: make docs"


OTHERS = [f"flows.metrics.{name}" for name in ("minutes", "tree", "economics")]
"""What defines metrics and is no family, or is shared by families."""


def test_every_metric_of_the_code_is_on_the_page() -> None:
    modules = [import_module(name) for name in (*FAMILIES, *OTHERS)]
    values = [value for module in modules for value in vars(module).values()]
    values += [item for value in values if isinstance(value, dict) for item in value.values()]
    defined = {value.name for value in values if isinstance(value, Metric)}
    assert len(defined) > 30
    assert {metric.name for metric in catalogue(metrics_page.EVERYTHING).metrics()} == defined


def test_the_page_of_a_config_tells_its_metrics_only() -> None:
    page = metrics_page.page(Config())
    assert "| `active_users.<window>` | Distinct users with an event in the window. | users |" in page
    assert "funnel." not in page


# ------------------------------------------------------------------------------------------- how to add a metric


def load_from(block: Block, folder: Path) -> ModuleType:
    """The block as a module."""
    file = folder / block.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text)
    spec = importlib.util.spec_from_file_location(f"readme_{file.parent.name}_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def test_the_metric_that_the_page_adds_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family: Callable[[Config], object] = load_from(block_named("flows/metrics/screens.py"), tmp_path).Screens

    def with_screens(config: Config, book: MinuteBook, limits: Limits | None = None) -> dict[str, object]:
        return {**families(config, book, limits), "screens": family(config)}

    monkeypatch.setattr(flows.metrics.catalogue, "families", with_screens)
    monkeypatch.setattr(flows.measure.shard, "families", with_screens)
    screen_cells: Callable[..., Cells] = load_from(block_named("flows/audit/screens.py"), tmp_path).screen_cells

    story = tmp_path / "screens_seen.yaml"
    story.write_text(block_named("tests/scenarios/screens_seen.yaml").text)
    (told,) = read_story(story)
    split = {"platform": {"field": "context.p", "values": ["ios"], "of": ["events"]}}
    config = Config.model_validate(told.config.model_dump(mode="json") | {"shards": 3, "breakdowns": split})
    engine = Engine(config)
    for raw in polls(told.records, [1, 2], 1):
        engine.read(raw)
        engine.tick()
        engine.restart()
    snapshot = engine.tick(told.as_of_ms, final=True)
    assert {name: snapshot.cells[name] for name in told.cells} == told.cells
    expected = reference_of(list(told.records), config, told.as_of_ms, screen_cells)
    assert "screens.1h{platform=unknown}" in expected
    assert differences(expected, snapshot.cells) == {}


def reference_of(records: list[Record], config: Config, as_of_ms: int, screen_cells: Callable[..., Cells]) -> Cells:
    """All cells by the reference, with those that the page on adding a metric adds to it."""
    expected = dict(recompute(records, config, as_of_ms).cells)
    judgement = judge(records, [parse(record, config) for record in records], config, as_of_ms)
    return expected | screen_cells(judgement.accepted, config, as_of_ms, expected)


def test_pages_that_name_the_time_of_a_tick_name_the_default() -> None:
    named = {
        page.name: set(re.findall(r"tick`? \((\d+) ms", page.read_text(encoding="utf-8")))
        for page in (ROOT / "schemas/redis.v1.md", ROOT / "flows/GUARANTEES.md")
    }
    assert all(times == {str(Settings().tick_ms)} for times in named.values()), named
    assert 1000 / Settings().tick_ms == 4  # "Four a second are usual", on the dashboard of the pipeline


def test_the_steps_of_adding_a_metric_name_what_is_there() -> None:
    text = prose_of(ADDING)
    steps = text[text.index("## Adding a metric") : text.index("## An ordered family")]
    assert "families()" in steps
    assert inspect.isfunction(flows.metrics.catalogue.families)
    assert "cells |= active_user_cells(judgement.accepted, config, as_of)" in inspect.getsource(numbers)
    assert re.search(r"(?m)^VERSION: Final = \d+$", (ROOT / "flows" / "checkpoint" / "layout.py").read_text())
