"""`deploy/install-needs` on machines that lack something: what it installs, and what it says where it may not.

Such a machine is a folder of programs that is all of PATH. Its apt-get writes down what it is asked for, and brings
what the package brings.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.test_commands import put_python
from tests.services import ROOT

SCRIPT = ROOT / "deploy" / "install-needs"
NEEDS = [
    (programs.split(), package) for programs, package in re.findall(r'(?m)^    "(.+) : (\S+)"$', SCRIPT.read_text())
]
"""The script's own list: the names of a program, and its package."""


class Machine:
    """A project, and a PATH with what the tests need but for `without`; `uid` and `apt` as the story wants them."""

    def __init__(self, folder: Path, *without: str, uid: int = 0, apt: str = "brings") -> None:
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.project = folder / "project"
        self.bin.mkdir(parents=True)
        self.log.touch()
        (self.project / "deploy").mkdir(parents=True)
        for script in ("install-needs", "find-python"):
            shutil.copy(ROOT / "deploy" / script, self.project / "deploy")
        if "python" not in without:
            put_python(self.bin, "python3", (3, 11))
        for programs, _ in NEEDS:
            if programs[0] not in without:
                self.put(programs[0], "")
        self.put("id", f"echo {uid}")
        for changing in ("install", "rm"):  # a policy against starting services, on the machine that runs this
            self.put(changing, "")
        if apt:
            brought = [(names[0], package, "/bin/true") for names, package in NEEDS]
            brought.append(("python3", "python3", put_python(folder, "python3", (3, 11))))
            bringing = [
                f'[[ " $* " != *" install "*" {package} "* ]] || /bin/ln -sf {program} {self.bin}/{name}'
                for name, package, program in brought
            ]
            then = {"brings": bringing, "fails": ["exit 100"], "lies": []}[apt]
            self.put("apt-get", "\n".join([f'echo "$*" >> {self.log}', *then]))

    def put(self, name: str, script: str) -> None:
        """A program on PATH."""
        (self.bin / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.bin / name).chmod(0o755)

    def run(self) -> tuple[int, str]:
        """Exit code and all that is said."""
        command = ["/bin/bash", str(self.project / "deploy" / "install-needs")]
        done = subprocess.run(command, env={"PATH": str(self.bin)}, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    @property
    def asked(self) -> list[list[str]]:
        """The packages of each call of apt-get that installs."""
        lines = self.log.read_text().splitlines()
        return [line.partition("--no-install-recommends ")[2].split() for line in lines if " install " in line]


def test_where_all_is_there_nothing_is_said_or_done(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.run() == (0, "")
    assert machine.log.read_text() == ""


@pytest.mark.parametrize("programs", [programs for programs, _ in NEEDS if len(programs) > 1], ids=" or ".join)
def test_a_program_may_have_another_name(programs: list[str], tmp_path: Path) -> None:
    machine = Machine(tmp_path, programs[0])
    machine.put(programs[1], "")
    assert machine.run() == (0, "")


def test_what_is_missing_is_named_and_installed_at_once_and_the_second_time_nothing_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "redis-server", "prometheus", "promtool", "amtool")
    packages = ["redis-server", "prometheus", "prometheus-alertmanager"]
    code, text = machine.run()
    assert code == 0, text
    assert text.startswith(f"install-needs: installing {' '.join(packages)};")
    assert machine.asked == [packages]
    assert machine.run() == (0, "")


def test_on_a_bare_machine_everything_is_installed_python_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "python", *(programs[0] for programs, _ in NEEDS))
    code, text = machine.run()
    assert code == 0, text
    assert machine.asked == [[*dict.fromkeys(package for _, package in NEEDS), "python3", "python3-venv"]]


def test_a_python_that_the_environment_was_built_with_is_enough(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "python")
    (machine.project / ".venv" / "bin").mkdir(parents=True)
    put_python(machine.project / ".venv" / "bin", "python", (3, 11))
    assert machine.run() == (0, "")


def test_without_the_right_to_install_the_one_command_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "promtool", "jq", uid=1000)
    said = "install-needs: missing: promtool jq. To install them: sudo deploy/install-needs\n"
    assert machine.run() == (1, said)
    assert machine.asked == []


def test_where_packages_come_in_another_way_programs_and_packages_are_named(tmp_path: Path) -> None:
    code, text = Machine(tmp_path, "java", "npm", apt="").run()
    assert code == 1
    assert text.startswith("install-needs: missing: java npm. ")
    assert text.endswith("Debian's packages are: default-jre-headless npm.\n")


@pytest.mark.parametrize(("apt", "why"), [("fails", "could not install jq"), ("lies", "did not bring them")])
def test_an_installation_in_vain_is_said(apt: str, why: str, tmp_path: Path) -> None:
    code, text = Machine(tmp_path, "jq", apt=apt).run()
    assert code == 1
    assert "install-needs: missing: jq. " in text
    assert why in text


def test_the_list_has_every_program_without_which_tests_are_skipped() -> None:
    sources = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("*.py"))
    asked = set(re.findall(r'\bprogram\("([\w-]+)"\)', sources))
    assert {"promtool", "openssl"} <= asked
    assert asked - {name for programs, _ in NEEDS for name in programs} == set()
