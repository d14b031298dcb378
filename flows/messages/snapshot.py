"""Everything that one tick publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from flows.messages.columns import REASONS
from schemas.event import EXCLUSIONS

ACCOUNTS = (
    "consumed",
    "accepted",
    "on_time",
    "late",
    "late_in_order",  # for their user: ordered metrics use them, too
    "late_out_of_order",
    "duplicate",
    "excluded",
    "clamped",  # accepted, but its timestamp lay ahead and was replaced
    *(f"rejected.{reason}" for reason in REASONS),
    *(f"excluded.{kind}" for kind in EXCLUSIONS),
)
"""What becomes of records: consumed = accepted + rejected + duplicate + excluded, accepted = on_time + late,
late = late_in_order + late_out_of_order.
"""


DAY_HISTORY_MS = 400 * 86_400_000
"""How long the numbers of a closed day are kept."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one tick publishes: consistent, because all shards reported at the same cut and time."""

    number: int
    as_of_ms: int | None  # the stream clock T; None before the first event
    watermark_ms: int | None
    cells: Mapping[str, int | float]  # counted and derived, by cell name; finite
    minutes: Mapping[int, Mapping[str, int]]  # minutes closed since the last tick: epoch ms -> field -> value
    accounting: Mapping[int, Mapping[str, int]]  # partition -> one of ACCOUNTS -> records since the beginning
    days: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Local days with numbers final since the last tick: ISO date -> field -> value, those before that, too."""
    tallies: Mapping[str, int] = field(default_factory=dict)  # cells of the catalogue's tallies, since the beginning
    final: bool = False
    since: Mapping[str, int] = field(default_factory=dict)
    """Of every family, and of other parts that began later than the stream: when (ms); 0: at the beginning."""
    partial: Sequence[str] = ()
    """Cells whose window reaches back to before what they count began."""
    offsets: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """By partition that something was read from: of the first record that is counted, and behind the last."""
    changed: Set[str] | None = None  # cells that may differ from those of the snapshot before; None: any
    top: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """By list and window: the values that count most, the largest first, ties by text."""
