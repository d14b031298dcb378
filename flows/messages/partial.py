"""What one shard reports at a tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ranked: TypeAlias = tuple[tuple[tuple[int, str], ...], ...]
"""By window of a top list: the values that count most, (count, text), the largest first, ties by text."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What one shard reports at a tick; the sums over all shards are the published counts."""

    number: int
    final: bool
    as_of_ms: int  # T, NO_TIME before the first event; the same in every shard
    watermark_ms: int
    values: NDArray[np.int64]  # in the order of catalogue(config).cells
    minutes: dict[int, NDArray[np.int64]]  # closed since the last tick: epoch ms -> one count per minute field
    days: dict[int, NDArray[np.int64]]  # with numbers final since the last tick: local day -> one count per day field
    accounting: NDArray[np.int64]  # (partitions, len(ACCOUNTS)) since the beginning
    offsets: NDArray[np.int64]  # (partitions, 2): of the first record ever counted, and behind the last; 0, 0: none
    since: Mapping[str, int] = field(default_factory=dict)  # of parts that began later than the stream: when, ms
    top: Mapping[str, Ranked] = field(default_factory=dict)  # by list: of the values that live in this shard
