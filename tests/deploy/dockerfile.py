"""Reads a Dockerfile and carries out its steps without a container engine, in a mount namespace of their own.

The folders that steps write to (/opt, /var/lib, /etc) are bound to a temporary one, so that every instruction is
carried out word for word, and nothing of this machine changes. What a run of the image may not do is forbidden here,
too: its user is not root, its root is read-only, and only /tmp and its volume can be written.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.services import ROOT, tied

BOUND = {"opt": "/opt", "lib": "/var/lib", "etc": "/etc"}
"""Folder below the temporary one -> where steps see it."""


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the values of its `${NAME}`; KeyError for one that is not known."""
    return re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], text)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its words as one line."""

    name: str
    text: str


def read(dockerfile: Path) -> list[list[Instruction]]:
    """The stages, each with its FROM first; what stands before the first FROM is in the first stage."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[list[Instruction]] = [[]]
    for line in joined.splitlines():
        name, _, text = line.partition(" ")
        if name == "FROM" and any(one.name == "FROM" for one in stages[-1]):
            stages.append([])
        stages[-1].append(Instruction(name, text.strip()))
    return stages


@dataclass
class Image:
    """What the Dockerfile makes: its files below `folder`, and how it is started."""

    folder: Path
    python: Path  # the interpreter that stands for the one of the base image
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    user: str = "0:0"

    def build(self, dockerfile: Path, log: IO[bytes]) -> None:
        """Carry out every stage."""
        for name in BOUND:
            (self.folder / name).mkdir(parents=True)
        (self.folder / "opt" / "base").mkdir()
        (self.folder / "opt" / "base" / "python").symlink_to(self.python)
        subprocess.run(["cp", "--archive", "/etc/.", str(self.folder / "etc")], check=True)
        for stage in read(dockerfile):
            self._carry_out(stage, log)

    def _carry_out(self, stage: Sequence[Instruction], log: IO[bytes]) -> None:
        environment = {"PATH": "/opt/base:/usr/local/bin:/usr/bin:/bin:/usr/sbin"}
        arguments: dict[str, str] = {}
        work = "/"
        for instruction in stage:
            known = {**arguments, **environment}
            text = instruction.text
            if instruction.name in ("ENV", "ARG", "WORKDIR", "USER"):
                text = expanded(text, known)
            match instruction.name:
                case "ARG":
                    name, _, value = text.partition("=")
                    arguments[name] = value
                case "ENV":
                    environment |= dict(word.split("=", 1) for word in shlex.split(text))
                case "WORKDIR":
                    work = text
                    self._inside(work).mkdir(parents=True, exist_ok=True)
                case "COPY" if not text.startswith("--from="):
                    *sources, target = shlex.split(text)
                    for source in sources:
                        self._copy(source, self._inside(os.path.join(work, target)), whole=target.endswith("/"))
                case "RUN":
                    step = re.sub(r"^(--mount=\S+\s+)+", "", text)
                    inherited = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME"))}
                    command = ["sh", "-ec", f"cd {shlex.quote(work)} && {step}"]
                    subprocess.run(
                        self._inside_namespace(command),
                        env=inherited | environment,
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                        check=True,
                    )
                case "USER":
                    self.user = text
                case "ENTRYPOINT" | "CMD" | "HEALTHCHECK":
                    words: list[str] = re.findall(r'"([^"]*)"', text)
                    attribute = {"ENTRYPOINT": "entrypoint", "CMD": "command", "HEALTHCHECK": "health"}
                    setattr(self, attribute[instruction.name], words)
        self.environment = environment

    def _inside(self, path: str) -> Path:
        """Where a path of the image lies on this machine."""
        for name, seen in BOUND.items():
            if path.startswith(seen + "/"):
                return self.folder / name / path[len(seen) + 1 :]
        raise ValueError(f"{path} is not in a folder that steps may write to")

    def _copy(self, source: str, target: Path, *, whole: bool) -> None:
        if ignored(source):
            raise FileNotFoundError(f"{source} is left out by the .dockerignore")
        found = ROOT / source
        if found.is_dir():
            leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(found, target, ignore=leave, dirs_exist_ok=True)
        else:
            into = target / found.name if whole else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, into)

    def _inside_namespace(self, command: Sequence[str], *, sealed: bool = False) -> list[str]:
        mounts = [f"mount --bind {self.folder / name} {seen}" for name, seen in BOUND.items()]
        words = list(command)
        if sealed:
            state = "/var/lib/tidegauge"
            mounts += [f"mount --bind {state} {state}", "mount -t tmpfs -o mode=1777 none /tmp"]
            mounts += [f"mount -o remount,bind,ro {seen}" for seen in BOUND.values()]
            mounts += ["mount -o remount,bind,ro /"]
            user, group = self.user.split(":")
            drop = ["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
            words = ["setpriv", f"--reuid={user}", f"--regid={group}", *drop, *words]
        script = " && ".join(["mount --make-rprivate /", *mounts, f"exec {shlex.join(words)}"])
        return ["unshare", "--mount", "sh", "-ec", script]

    def put(self, path: str, content: str) -> None:
        """A file that is mounted into the container."""
        file = self._inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """One command in a sealed container, to its end."""
        return subprocess.run(
            self._inside_namespace(command, sealed=True),
            env=self.environment | dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @contextmanager
    def running(
        self, environment: Mapping[str, str], log: Path, command: Sequence[str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The image's entry point with its command, or another, sealed off; SIGKILL at the end of the block."""
        words = [*self.entrypoint, *(self.command if command is None else command)]
        with log.open("wb") as output:
            started = subprocess.Popen(
                tied(self._inside_namespace(words, sealed=True)),
                env=self.environment | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield started
        finally:
            if started.poll() is None:
                started.send_signal(signal.SIGKILL)
            started.wait()


def ignored(path: str) -> bool:
    """Whether the .dockerignore beside the Dockerfile leaves out a path of the context."""
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    left_out = False
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").removeprefix("**/")
        if fnmatch.fnmatch(path, pattern) or path.startswith(pattern + "/"):
            left_out = not line.startswith("!")
    return left_out
