"""`make faults`: histories with several faults each, from seeds; prints each, then a table; 1 when anything differs.

python -m tests.faults.campaign --seeds 50            the histories 0 to 49
python -m tests.faults.campaign --seed 7              history 7 again
python -m tests.faults.campaign --faults "run killed,Redis frozen"
python -m tests.faults.campaign --brokers             a Kafka of three brokers, and the faults of such
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests import services
from tests.faults.faults import FAULTS, FAULTS_OF_BROKERS, QUIET, Fault
from tests.faults.report import Outcome, table
from tests.faults.stage import History, Stage, running_stage

FAULTS_EACH = 4
LEAD_STEPS = 100
"""Before the first fault: more than the lateness, so that the ordered numbers have begun."""
EVERY_FAULT = FAULTS | FAULTS_OF_BROKERS
ORDERED_END = "(an ordered end takes)"


def faults_of(seed: int, faults: Mapping[str, Fault] = FAULTS) -> list[str]:
    """The faults of a history: whole decks, shuffled, dealt out in order, so that every one comes as often."""
    first = seed * FAULTS_EACH
    dealt: list[str] = []
    deck = 0
    while len(dealt) < first + FAULTS_EACH:
        names = list(faults)
        Random(deck).shuffle(names)
        dealt += names
        deck += 1
    return dealt[first : first + FAULTS_EACH]


def play(stage: Stage, seed: int, faults: Sequence[str], mutation: str | None = None) -> list[Outcome]:
    """One history: after each fault the numbers are waited for and compared."""
    outcomes = []
    with History(stage, seed, partitions=1 + seed % 3, mutation=mutation) as history:
        history.start()
        history.burst(LEAD_STEPS)
        history.wait_for_all()
        history.check()
        for name in faults:
            if name in QUIET:
                ended = EVERY_FAULT[name](history)
            else:
                with history.traffic():
                    time.sleep(0.2)
                    ended = EVERY_FAULT[name](history) or time.monotonic()
            began = time.monotonic() if ended is None else ended
            history.wait_for_all()
            seconds = time.monotonic() - began
            history.check()
            outcomes.append(Outcome(seed, name, seconds, tuple(history.wrong), history.memory_mb))
            history.wrong.clear()
        history.stop()
        history.check()
        history.check_in_the_end()
        if history.wrong:
            outcomes.append(Outcome(seed, "(in the end)", 0.0, tuple(history.wrong), history.memory_mb))
        outcomes += [Outcome(seed, ORDERED_END, seconds, (), history.memory_mb) for seconds in history.stops]
    return outcomes


def main() -> int:
    """0 when no number of no history was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many histories (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--minutes", type=float, help="begin no history after so long; the table then says so")
    parser.add_argument("--faults", help="these instead of the seed's own, with commas between")
    parser.add_argument("--brokers", action="store_true", help="three brokers instead of one, and their faults")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and checkpoints there")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where a shell has it ignored: the table is told
    dealt = FAULTS_OF_BROKERS if options.brokers else FAULTS
    seeds = range(options.seeds) if options.seed is None else [options.seed]
    outcomes: list[Outcome] = []
    try:
        services.install_kafka()
        with ExitStack() as stack:
            folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegauge-faults-")))
            folder.mkdir(parents=True, exist_ok=True)
            stage = stack.enter_context(running_stage(folder, three_brokers=options.brokers))
            until = time.monotonic() + 60 * (options.minutes or 1e6)
            for seed in seeds:
                if time.monotonic() > until:
                    print(f"{options.minutes:g} minutes are over: {len(seeds) - seeds.index(seed)} histories left out")
                    break
                names = options.faults.split(",") if options.faults else faults_of(seed, dealt)
                began = time.monotonic()
                try:
                    found = play(stage, seed, names)
                except (AssertionError, TimeoutError) as failure:
                    found = [Outcome(seed, "(broken off)", 0.0, (str(failure),), 0)]
                outcomes += found
                print(f"seed {seed}, {time.monotonic() - began:.0f} s: {', '.join(names)}", flush=True)
                for outcome in found:
                    for wrong in outcome.wrong:
                        print(f"  WRONG after {outcome.fault}: {wrong}", flush=True)
    except KeyboardInterrupt:
        print("broken off")
    except services.ServerUnavailable as missing:
        print(f"this machine lacks a server: {missing}", file=sys.stderr)
        return 2
    print(table(outcomes))
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
