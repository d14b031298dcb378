"""Snapshots as Redis would hold them, and held against the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from flows.audit import Record
from flows.audit.comparison import Compared, compare
from flows.audit.cut import History
from flows.audit.published import Published
from flows.config.model import Config
from flows.messages.snapshot import Snapshot
from flows.publish.redis.layout import format_value, live_fields

Period = TypeVar("Period", int, str)


def published(snapshot: Snapshot, minutes: Mapping[int, Mapping[str, int]]) -> Published:
    """What a publish of the snapshot says; `minutes`, and its days, are all that were closed until then."""
    return Published(
        {name: format_value(value) for name, value in live_fields(snapshot).items()},
        _texts(minutes),
        top=snapshot.top,
        days=_texts(snapshot.days),
    )


def _texts(closed: Mapping[Period, Mapping[str, int]]) -> dict[Period, dict[str, str]]:
    return {period: {name: str(number) for name, number in counts.items()} for period, counts in closed.items()}


def audited(
    records: Sequence[Record], snapshot: Snapshot, minutes: Mapping[int, Mapping[str, int]], config: Config
) -> list[Compared]:
    """Every number of the snapshot beside the truth; `records` may go on beyond its cut."""
    return held(records, published(snapshot, minutes), config)


def held(records: Sequence[Record], said: Published, config: Config) -> list[Compared]:
    """Every number that was published beside the truth."""
    history = History(config)
    for record in records:
        history.add(record)
    return compare(said, history.truth(said), config)


def verdicts(records: Sequence[Record], said: Published, config: Config) -> dict[str, str]:
    """What is said of each cell."""
    return {row.cell: row.verdict for row in held(records, said, config)}


def wrong(rows: Sequence[Compared]) -> list[tuple[str, str, str | None, object]]:
    """What is not equal, but for minutes and days that depend on when late events were read."""
    return [
        (row.verdict, row.cell, row.published, row.truths)
        for row in rows
        if not row.equal and not (row.verdict == "undecided" and row.cell.startswith(("minute:", "day:")))
    ]
