"""Compiled loops are good for as long as no source that can reach them has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.compiled.sources import PROJECT, closure, digest
from tests.services import ROOT

SMALL_PROJECT = {
    "schemas/__init__.py": "",
    "flows/__init__.py": "ABOVE = 1",
    "flows/plain.py": "NAMED = 1",
    "flows/whole.py": "OF_A_MODULE = 1",
    "flows/renamed.py": "UNDER_ANOTHER_NAME = 1",
    "flows/far.py": "TWO_STEPS_AWAY = 1",
    "flows/near.py": "from flows.far import TWO_STEPS_AWAY as FAR",
    "flows/parts/__init__.py": "OF_A_PACKAGE = 1",
    "flows/parts/inner.py": "IN_A_PACKAGE = 1",
    "flows/helper.py": (
        "from flows.compiled.loops import inlined\n\n@inlined\ndef helper() -> int:\n    return 1  # IN_A_HELPER = 1\n"
    ),
    "flows/loop.py": """
import flows
import flows.renamed as other
from flows import whole
from flows.helper import helper
from flows.near import FAR
from flows.parts import OF_A_PACKAGE
from flows.parts.inner import (
    IN_A_PACKAGE,
)
from flows.plain import NAMED
from flows.compiled.loops import compiled

ABOVE = flows.ABOVE
OWN = 1

@compiled
def loop() -> int:
    total = OWN + NAMED + whole.OF_A_MODULE + other.UNDER_ANOTHER_NAME + FAR + ABOVE
    return total + OF_A_PACKAGE + IN_A_PACKAGE + helper()
""",
}
"""Nine constants of 1, each in another kind of place; their sum is compiled in."""

PLACES = {
    "the loop's own module": ("flows/loop.py", "OWN = 1", "OWN = 2"),
    "an imported name": ("flows/plain.py", "= 1", "= 2"),
    "an imported module": ("flows/whole.py", "= 1", "= 2"),
    "a module under another name": ("flows/renamed.py", "= 1", "= 2"),
    "an import of an import": ("flows/far.py", "= 1", "= 2"),
    "the package above": ("flows/__init__.py", "= 1", "= 2"),
    "another package": ("flows/parts/__init__.py", "= 1", "= 2"),
    "a module in a package": ("flows/parts/inner.py", "= 1", "= 2"),
    "a helper that is copied in": ("flows/helper.py", "return 1", "return 2"),
}


def python(folder: Path, code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_changed_constant_is_compiled_in_wherever_it_stands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flows" / "compiled", tmp_path / "flows" / "compiled")
    for name, text in SMALL_PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def result() -> int:
        code = "from flows.loop import loop; print(loop())"
        return int(python(tmp_path, code, TIDEGAUGE_CACHE=str(tmp_path / "cache"), PYTHONDONTWRITEBYTECODE="1"))

    expected = len(PLACES)
    assert result() == expected
    for place, (file, before, after) in PLACES.items():
        source = tmp_path / file
        assert source.read_text().count(before) == 1
        source.write_text(source.read_text().replace(before, after))
        expected += 1
        assert result() == expected, place


@pytest.mark.parametrize(
    "module",
    [
        "flows.decode.scanner",
        "flows.decode.intake",
        "flows.measure.clock",
        "flows.metrics.sessions",
        "flows.measure.shard",
    ],
)
def test_everything_that_a_module_loads_is_among_its_sources(module: str) -> None:
    code = (
        f"import json, sys, {module}\n"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('flows', 'schemas')]))"
    )
    assert set(json.loads(python(PROJECT, code))) <= closure(module)


def test_what_a_loop_cannot_come_to_is_none_of_its_sources() -> None:
    assert "flows.commands.run" not in closure("flows.metrics.sessions")
    assert "flows.metrics.sessions" not in closure("flows.decode.scanner")


def test_a_module_from_elsewhere_has_no_digest() -> None:
    assert digest("numpy") is None
    assert digest("__main__") is None
