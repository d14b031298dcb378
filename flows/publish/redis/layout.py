"""Where a product's numbers are in Redis, and how they are written there: names of keys, fields, decimals.

The contract is schemas/redis.v1.md.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from flows.messages.snapshot import Snapshot

RESERVED: Final = ("_as_of", "_watermark", "_published_at", "_run", "_consumed", "_partial")
"""Fields of the live hash that are no cells. Those that begin with `_since.` are none either, nor are two for each
partition, see OFFSETS."""

OFFSETS: Final = ("_from_offset", "_to_offset")
"""Of the first record of a partition that the numbers count, and of the first one that they do not count yet."""

LIVE_SECONDS: Final = 600
"""The live hash goes away after so long without a publish: no number is better than an old one."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of everything that one product has in Redis; the braces keep them in one slot of a cluster."""

    product: str

    @property
    def live(self) -> str:
        """Hash of the current numbers."""
        return f"tidegauge:v1:{{{self.product}}}:live"

    @property
    def fence(self) -> str:
        """The largest token that any run has taken."""
        return f"tidegauge:v1:{{{self.product}}}:fence"

    @property
    def changes(self) -> str:
        """Channel that gets the `_published_at` of each publish."""
        return f"tidegauge:v1:{{{self.product}}}:changes"

    def top(self, name: str, window: str) -> str:
        """Sorted set of one top list over one window: value -> count."""
        return f"tidegauge:v1:{{{self.product}}}:top:{name}:{window}"

    def minute(self, start_ms: int) -> str:
        """Hash of the closed minute that began at `start_ms`."""
        start = datetime.fromtimestamp(start_ms // 1000, UTC)
        return f"tidegauge:v1:{{{self.product}}}:minute:{start:%Y-%m-%dT%H:%M}Z"

    def day(self, date: str) -> str:
        """Hash of the closed local day of that ISO date."""
        return f"tidegauge:v1:{{{self.product}}}:day:{date}"


Value = int | float | tuple[str, ...]


def format_value(value: Value) -> str:
    """The shortest positional decimal that reads back as the same number; 3.0 is `3`. Names are a JSON list."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return json.dumps(value, ensure_ascii=False)
    text = repr(float(value))
    if "e" in text:
        return np.format_float_positional(value, trim="-")
    return text.removesuffix(".0")


def live_fields(snapshot: Snapshot) -> dict[str, Value]:
    """Everything that the live hash holds of a snapshot, by field name."""
    return dict(snapshot.cells) | own_fields(snapshot)


def own_fields(snapshot: Snapshot) -> dict[str, Value]:
    """Accounts, and those reserved fields that the snapshot determines."""
    fields: dict[str, Value] = {}
    totals: Counter[str] = Counter()
    for partition, accounts in snapshot.accounting.items():
        totals.update(accounts)
        for account, records in accounts.items():
            fields[f"accounting.{account}{{partition={partition}}}"] = records
    for account, records in totals.items():
        fields[f"accounting.{account}"] = records
    fields["_consumed"] = totals["consumed"]
    fields["_partial"] = tuple(snapshot.partial)
    for part, since_ms in snapshot.since.items():
        fields[f"_since.{part}"] = since_ms
    for partition, span in snapshot.offsets.items():
        for name, offset in zip(OFFSETS, span, strict=True):
            fields[f"{name}{{partition={partition}}}"] = offset
    if snapshot.as_of_ms is not None:
        fields["_as_of"] = snapshot.as_of_ms
    if snapshot.watermark_ms is not None:
        fields["_watermark"] = snapshot.watermark_ms
    return fields
