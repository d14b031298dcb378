"""What came of the faults: one row each, and whether anything was wrong."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One fault in one history."""

    seed: int
    fault: str
    recovery_seconds: float  # from its end to the first right numbers
    wrong: Sequence[str]  # what was not as it has to be, a sentence each
    memory_mb: int


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(outcomes: Sequence[Outcome]) -> str:
    """As text, in the order of names."""
    by_fault: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_fault[outcome.fault].append(outcome)
    width = max(map(len, by_fault), default=5)
    lines = [f"{'fault':{width}}  times  recovery p50   p99   differences"]
    for fault, found in sorted(by_fault.items()):
        seconds = [one.recovery_seconds for one in found]
        half, most = percentile(seconds, 0.5), percentile(seconds, 0.99)
        wrong = sum(len(one.wrong) for one in found)
        lines.append(f"{fault:{width}}  {len(found):5}  {half:10.2f} s {most:6.2f} s  {wrong:8}")
    total = sum(len(one.wrong) for one in outcomes)
    most_mb = max((one.memory_mb for one in outcomes), default=0)
    faults = sum(not one.fault.startswith("(") for one in outcomes)
    lines.append(f"{faults} faults, {total} differences, at most {most_mb} MB of memory in a run")
    return "\n".join(lines)
