"""Everything is compiled before the first event, so that nothing rare holds up the stream when it first happens."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from numba.core.dispatcher import Dispatcher

from deploy.bench.everything import every_option
from deploy.bench.rich_stream import RichStream
from deploy.bench.stream import config as todays
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.messages.raw import Raw
from flows.run.warm_up import NOW_MS, warm_up, warming_events
from tests.engine import Engine, polls
from tests.services import ROOT

CONFIGS = {"today": todays, "every option": every_option}
RECORDS = 4_000
USERS = 700


@pytest.mark.parametrize("name", CONFIGS)
def test_all_that_it_sends_is_taken(name: str) -> None:
    values = [value for batch in warming_events(CONFIGS[name]()) for value in batch]
    raw = Raw.of("events", 0, 1, values, range(len(values)), [NOW_MS] * len(values), True, None)
    _, rejected = Intake(CONFIGS[name](), Limits()).read(raw)
    assert rejected == []


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_is_compiled_after_it(name: str) -> None:
    """In a process of its own: another test may have compiled what is missing."""
    command = [sys.executable, "-m", "tests.run.test_warm_up", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def _compiled() -> set[tuple[str, str]]:
    """Loops, by name, and the types of arguments that each has been compiled for."""
    return {
        (f"{one.py_func.__module__}.{one.py_func.__name__}", str(types))
        for one in gc.get_objects()
        if isinstance(one, Dispatcher)
        for types in one.overloads
    }


def _live_through(config: Config) -> None:
    engine = Engine(config)
    for number, raw in enumerate(polls(RichStream(USERS).records(RECORDS), [200] * RECORDS, 8)):
        engine.read(raw)
        if number % 10 == 0:
            engine.tick()
        if number == RECORDS // 400:
            engine.restart()
    engine.tick(final=True)


if __name__ == "__main__":
    measured = CONFIGS[sys.argv[1]]()
    warm_up(measured)
    known = _compiled()
    _live_through(measured)
    for loop, types in sorted(_compiled() - known):
        print(loop, types)
