"""A fact: what a kind of event tells beyond its name, user and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.messages.columns import FACT


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of facts."""

    name: str
    columns: Sequence[tuple[str, str]]  # of its own: names, and types as numpy writes them
    by_user: bool  # its key is the user
    late_counts: bool  # a late one takes its turn when it is read; else it is left out

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Of its rows: FACT, and behind it the columns of its own."""
        return np.dtype([*FACT.descr, *self.columns])
