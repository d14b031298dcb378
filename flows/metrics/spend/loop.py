"""What records do to the days that they are about: the loop of `Spending`; the rules are at its head."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.config.spend import CATEGORIES
from flows.metrics.local_calendar import day_at
from flows.state.days import Sheet, add_on, turn_to
from flows.state.table import Entries, known_row, row_of

RECORD: Final = np.dtype(
    [
        ("ts", "i8"),  # ms; when it was recorded, with the two below
        ("partition", "i8"),
        ("offset", "i8"),
        ("amount", "i8"),  # minor units
        ("dims", "u8"),  # its channel: a place among those of the config
        ("first", "i4"),  # day
        ("days", "i4"),  # how many
        ("category", "u1"),
        ("known", "u1"),
    ]
)
"""The newest record of one `spend_id`."""

AHEAD_DAYS: Final = 400
"""How long after a record its last day may be."""
KINDS: Final = len(CATEGORIES)
REFUSED, TOO_FAR_AHEAD = range(2)
"""Records that are not used: one more than are kept, or of days too long after it."""


class Ledger(NamedTuple):
    """What the loop writes to."""

    records: Entries  # dtype RECORD, by the hash of the spend_id
    dates: Sheet  # by day: of all channels, then of each, the categories
    not_used: NDArray[np.int64]  # REFUSED, TOO_FAR_AHEAD


@steady
def use_records(
    rows: NDArray[Any], now: int, remember: int, most: int, begins: NDArray[np.int64], ledger: Ledger
) -> None:
    """Let `rows` (the fact's dtype, by `used`) replace what they correct, and stand at `now` (ms).

    There must be room for new records; at most `most` are known.
    """
    turn_to(ledger.dates, day_at(begins, now) + AHEAD_DAYS)
    for i in range(len(rows)):
        row = rows[i]
        if row["first"] + row["days"] - 1 > day_at(begins, row["ts"]) + AHEAD_DAYS:
            ledger.not_used[TOO_FAR_AHEAD] += 1
            continue
        slot = known_row(ledger.records, row["key"])
        if slot < 0:
            if ledger.records.used[0] >= most:
                ledger.not_used[REFUSED] += 1
                continue
            slot = row_of(ledger.records, row["key"])
        record = ledger.records.rows[slot]
        if record["known"] and row["used"] - record["ts"] <= remember:
            if _before(row, record):
                continue
            _book(record, ledger.dates, -1)
        record["known"] = 1
        record["ts"] = row["ts"]
        record["partition"] = row["partition"]
        record["offset"] = row["offset"]
        record["amount"] = row["amount"]
        record["category"] = row["category"]
        record["dims"] = row["channel"]
        record["first"] = row["first"]
        record["days"] = row["days"]
        _book(record, ledger.dates, 1)


@inlined
def _before(row: Any, record: Any) -> bool:
    """Whether a record was made before the one that is known."""
    if row["ts"] != record["ts"]:
        return bool(row["ts"] < record["ts"])
    if row["partition"] != record["partition"]:
        return bool(row["partition"] < record["partition"])
    return bool(row["offset"] < record["offset"])


@inlined
def _book(record: Any, dates: Sheet, sign: int) -> None:
    """Add a record's share to each of its days that is held, in total and for its channel; or take it away."""
    amount, days, first = record["amount"], record["days"], record["first"]
    held = dates.head[0] - len(dates.counts) + 1
    category = int(record["category"])
    of_channel = (1 + int(record["dims"])) * KINDS + category
    for i in range(max(0, held - first), days):
        share = sign * (amount * (i + 1) // days - amount * i // days)
        add_on(dates, first + i, category, share)
        add_on(dates, first + i, of_channel, share)
