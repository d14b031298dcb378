"""Polls of which only matters how many records were accepted and what was rejected."""

from __future__ import annotations

import numpy as np

from flows.messages.columns import EVENT, NO_TIME, REASONS, Columns
from flows.messages.raw import Rejected
from schemas.event import EXCLUSIONS

AMPLITUDE = b'{"event_type": "Signed Up", "user_id": "ana", "device_id": "d", "insert_id": "i", "time": 1795942890250}'


def poll(
    records: int,
    rejected: int,
    *,
    payload: bytes = AMPLITUDE,
    reason: str = "missing_field",
    message: str = "$.type: missing",
    offset: int = 0,
    excluded: int = 0,
) -> tuple[Columns, list[Rejected]]:
    """A poll of `records`, the first of which, at `offset`, are rejected; as `Intake.read` returns it."""
    counts = np.zeros(len(REASONS), np.int64)
    counts[REASONS.index(reason)] = rejected
    columns = Columns(
        partition=0,
        partitions=1,
        rows=np.zeros(records - rejected - excluded, EVENT),
        clock_ms=NO_TIME,
        latest_ms=NO_TIME,
        consumed=records,
        rejected=counts,
        excluded=np.array([excluded, *[0] * (len(EXCLUSIONS) - 1)]),
        caught_up=False,
        monotonic_ms=None,
    )
    return columns, [Rejected(reason, message, "events", 0, offset + number, -1, payload) for number in range(rejected)]
