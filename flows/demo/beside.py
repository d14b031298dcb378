"""A module of the demo that works beside it, in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import BinaryIO, Self, cast


class Beside:
    """The process, which takes questions and answers through pipes; leaving the `with` block ends it."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which ends this in its own time
        )
        self.questions = cast(BinaryIO, self._process.stdin)
        self.answers = cast(BinaryIO, self._process.stdout)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self.questions, self.answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
