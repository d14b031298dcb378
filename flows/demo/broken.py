"""Records that no reader can use, with the reason that it has to give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

MOST_BYTES: Final = 900_000  # Kafka itself takes 1 MB

Breakage: TypeAlias = tuple[str, Callable[[int], bytes | None]]
"""The reason, and the value at a time (ms)."""


def breakages(record_bytes: int) -> Sequence[Breakage]:
    """All kinds, for a reader that takes records of at most so many bytes."""
    return [*BREAKAGES, _oversized(record_bytes)] if record_bytes < MOST_BYTES else BREAKAGES


def _written(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


def _oversized(limit_bytes: int) -> Breakage:
    return "too_large", lambda now_ms: _written(type="page", userId="u-1", timestamp=now_ms, name="x" * limit_bytes)


BREAKAGES: Final[Sequence[Breakage]] = (
    ("empty", lambda now_ms: b" "),
    ("not_json", lambda now_ms: b'{"type": "track", "event": "Product Vie'),
    ("not_json", lambda now_ms: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*\xa9"),
    ("not_an_object", lambda now_ms: b'[{"type": "page"}]'),
    ("missing_field", lambda now_ms: _written(type="track", userId="u-1", timestamp=now_ms)),
    ("missing_field", lambda now_ms: _written(type="page", timestamp=now_ms)),
    ("bad_id", lambda now_ms: _written(type="page", userId="undefined", timestamp=now_ms)),
    ("bad_type", lambda now_ms: _written(type="page", userId=[4711], timestamp=now_ms)),
    ("bad_timestamp", lambda now_ms: _written(type="page", userId="u-1", timestamp="two days ago")),
    ("bad_timestamp", lambda now_ms: _written(type="page", userId="u-1", timestamp="9999-12-31T23:59:59Z")),
)
