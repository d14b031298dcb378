"""Each peer's own environment, made once: its pinned packages, and nothing of Tidegauge's or of another peer.

They lie in `peers/<name>-<digest of the pins>` of the cache folder ($TIDEGAUGE_CACHE, else ~/.cache/tidegauge).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from tests.services import ServerUnavailable

HERE: Final = Path(__file__).resolve().parent
REQUIREMENTS: Final = HERE / "requirements"
POM: Final = HERE / "flink" / "pom.xml"


def cache_folder() -> Path:
    """Where environments are kept."""
    return Path(os.environ.get("TIDEGAUGE_CACHE") or Path.home() / ".cache" / "tidegauge") / "peers"


def _folder(name: str, pins: Path) -> Path:
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache_folder() / f"{name}-{digest}"


def python(name: str) -> Path:
    """The interpreter of a peer in Python, with the packages of `requirements/<name>.txt`, by hash."""
    pins = REQUIREMENTS / f"{name}.txt"
    folder = _folder(name, pins)
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _must([*command, "--only-binary", ":all:", "--require-hashes", "-r", str(pins)], f"the packages of {name}")
        (folder / "installed").touch()
    return folder / "bin" / "python"


def jars() -> Path:
    """The folder of Flink's jars, as its pom pins them; they are checked against the repository's checksums."""
    for program, package in (("java", "a JDK 17"), ("javac", "a JDK 17"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise ServerUnavailable(f"there is no {program} on PATH: Flink needs {package}")
    folder = _folder("flink", POM)
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        command = ["mvn", "-q", "-B", "--strict-checksums", "-f", str(POM), "dependency:copy-dependencies"]
        _must([*command, f"-DoutputDirectory={folder}"], "Flink's jars")
        (folder / "installed").touch()
    return folder


def versions(interpreter: Path, *packages: str) -> str:
    """What is installed, as `name version, ...`."""
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    done = subprocess.run([str(interpreter), "-c", code, *packages], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _must(command: list[str], what: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerUnavailable(f"{what} cannot be had here:\n{(done.stdout + done.stderr).strip()[-1500:]}")
